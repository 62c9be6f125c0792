"""Runs and nodes: what the root span of a run says, across threads, tasks and runs inside runs."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Generator

import pytest
from opentelemetry.trace import StatusCode

from telemetry import runs
from telemetry.recorder import Recorder
from telemetry.testing import Captured
from telemetry.vocabulary import ErrorType, Operation, Outcome, Tier

SECRET = "hunter2"


def work(recorder: Recorder) -> None:
    """A hit that saves half a second, a miss, an error."""
    with recorder.operation("context", Operation.GET) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, cost_s=0.5)
    with recorder.operation("tool", Operation.GET) as event:
        event.looked(Outcome.MISS)
    with recorder.operation("prompt", Operation.GET) as event:
        event.fail(ErrorType.TIMEOUT)
        event.looked(Outcome.ERROR)


def sums(captured: Captured, name: str = "workflow.run") -> tuple[object, ...]:
    (span,) = captured.spans(name)
    return tuple((span.attributes or {})[f"cache.run.{key}"] for key in ("hits", "misses", "errors", "time_saved"))


def test_a_runs_span_carries_what_the_cache_did_in_it() -> None:
    """Hits, misses, errors and seconds saved of the run stand on its root span; nodes and operations are below."""
    captured = Captured()
    recorder = captured.recorder()
    work(recorder)
    captured.clear()
    with runs.run(recorder) as tally, runs.node("build_context", recorder):
        work(recorder)
    assert sums(captured) == (1, 1, 1, 0.5) == (tally.hits, tally.misses, tally.errors, tally.time_saved_s)
    assert captured.tree() == [
        "workflow.run",
        "  workflow.node build_context",
        "    cache.get context",
        "    cache.get tool",
        "    cache.get prompt",
    ]


def test_threads_and_tasks_that_copied_the_context_are_in_the_sum() -> None:
    """What a task, and a thread with the run's context, do is counted; a stranger's thread is not."""
    captured = Captured()
    recorder = captured.recorder()

    async def tasks() -> None:
        await asyncio.gather(asyncio.to_thread(work, recorder), asyncio.to_thread(work, recorder))

    with runs.run(recorder):
        asyncio.run(tasks())
        mine = threading.Thread(target=contextvars.copy_context().run, args=(work, recorder))
        strange = threading.Thread(target=contextvars.Context().run, args=(work, recorder))
        for thread in (mine, strange):
            thread.start()
            thread.join()
    assert sums(captured) == (3, 3, 3, 1.5)


def test_the_sum_of_a_run_includes_the_runs_inside_it() -> None:
    """A run inside a run has its own sum and adds to the outer one's."""
    captured = Captured()
    recorder = captured.recorder()
    with runs.run(captured.tracer_provider):
        work(recorder)
        with runs.run(recorder, "workflow.run inner"):
            work(recorder)
    assert sums(captured, "workflow.run inner") == (1, 1, 1, 0.5)
    assert sums(captured) == (2, 2, 2, 1.0)


def test_a_failed_node_is_named_by_its_errors_class_alone() -> None:
    """The error passes unchanged; the spans have status ERROR and nothing of its text."""
    captured = Captured()
    with pytest.raises(ValueError, match=SECRET), runs.run(captured.tracer_provider):
        with runs.node("one", captured.tracer_provider):
            raise ValueError(SECRET)
    assert [span.status.status_code for span in captured.spans()] == [StatusCode.ERROR] * 2
    assert not any(SECRET in span.to_json() for span in captured.spans())


def test_a_run_left_in_another_context_is_no_error() -> None:
    """A run that a generator holds open may end in another context than it began in."""
    captured = Captured()
    recorder = captured.recorder()

    def running() -> Generator[None, None, None]:
        with runs.run(recorder):
            work(recorder)
            yield

    generator = running()
    contextvars.copy_context().run(next, generator)
    generator.close()
    assert sums(captured) == (1, 1, 1, 0.5)


def test_without_any_provider_a_run_still_sums() -> None:
    """The sums need no SDK."""
    recorder = Recorder()
    with runs.run() as tally:
        work(recorder)
    assert (tally.hits, tally.misses, tally.errors) == (1, 1, 1)
