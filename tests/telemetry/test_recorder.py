"""The recorder: names and attributes of spans, status, links, contexts that come and go."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from telemetry.recorder import Recorder
from telemetry.testing import Captured
from telemetry.vocabulary import (
    BreakerState,
    ErrorType,
    FlightScope,
    MissReason,
    Operation,
    Outcome,
    Tier,
    Trigger,
    WriteResult,
)

DIGEST = "0123456789abcdef"
SECRET = "hunter2"


@pytest.fixture
def captured() -> Captured:
    return Captured()


@pytest.fixture
def recorder(captured: Captured) -> Recorder:
    return captured.recorder()


def only(captured: Captured, name: str) -> ReadableSpan:
    (span,) = captured.spans(name)
    return span


def test_a_hits_span_says_what_it_was(captured: Captured, recorder: Recorder) -> None:
    """Exactly the contract's attributes stand on the span of a hit, with their types."""
    with recorder.operation("context", Operation.GET, digest=DIGEST) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=3.0, cost_s=0.5)
        event.ttl_s, event.breaker = 60.0, BreakerState.CLOSED
    span = only(captured, "cache.get context")
    assert dict(span.attributes or {}) == {
        "cache.category": "context",
        "cache.operation": "get",
        "cache.outcome": "hit",
        "cache.tier": "redis",
        "cache.key.digest": DIGEST,
        "cache.entry.age": 3.0,
        "cache.ttl": 60.0,
        "cache.breaker.state": "closed",
    }
    assert span.kind is trace.SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert all(type(value) in (str, float) for value in (span.attributes or {}).values())


def test_a_computed_miss_has_its_reason_and_its_computation_as_a_child(captured: Captured, recorder: Recorder) -> None:
    """A miss that computes and writes: reason, seconds, size and fence on its span; the computation below it."""
    with recorder.operation("tool", Operation.GET_OR_COMPUTE, digest=DIGEST) as event:
        with (
            recorder.compute(event),
            trace.get_tracer("mine", tracer_provider=captured.tracer_provider).start_as_current_span("mine"),
        ):
            pass
        event.looked(Outcome.MISS, reason=MissReason.CHANGED)
        event.wrote(WriteResult.REFUSED)
    assert captured.tree() == ["cache.get_or_compute tool", "  cache.compute tool", "    mine"]
    attributes = only(captured, "cache.get_or_compute tool").attributes or {}
    assert attributes["cache.miss.reason"] == "changed"
    assert attributes["cache.compute.duration"] == pytest.approx(0.001)
    assert attributes["cache.fence.refused"] is True
    assert attributes["cache.writes.refused"] == 1
    assert "cache.tier" not in attributes


def test_a_batch_is_one_span_with_its_counts(captured: Captured, recorder: Recorder) -> None:
    """The counts of a batch and its misses by reason are on its one span; its outcome is its worst lookup's."""
    with recorder.operation("embedding", Operation.GET_MANY, batch_size=6) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, n=3)
        event.looked(Outcome.MISS, reason=MissReason.COLD, n=2)
        event.looked(Outcome.MISS, reason=MissReason.EXPIRED)
    assert dict(only(captured, "cache.get_many embedding").attributes or {}) == {
        "cache.category": "embedding",
        "cache.operation": "get_many",
        "cache.batch.size": 6,
        "cache.outcome": "miss",
        "cache.batch.hits": 3,
        "cache.batch.misses": 3,
        "cache.batch.stale": 0,
        "cache.batch.errors": 0,
        "cache.batch.bypassed": 0,
        "cache.batch.miss.cold": 2,
        "cache.batch.miss.expired": 1,
    }


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((Outcome.HIT, Outcome.HIT), Outcome.HIT),
        ((Outcome.HIT, Outcome.STALE), Outcome.STALE),
        ((Outcome.HIT, Outcome.BYPASS), Outcome.BYPASS),
        ((Outcome.STALE, Outcome.MISS), Outcome.MISS),
        ((Outcome.MISS, Outcome.ERROR, Outcome.HIT), Outcome.ERROR),
        ((), Outcome.OK),
    ],
)
def test_a_batchs_outcome_is_its_worst_lookups(
    captured: Captured, recorder: Recorder, outcomes: tuple[Outcome, ...], expected: Outcome
) -> None:
    """Error before miss before stale before bypass before hit; ``ok`` without lookups."""
    with recorder.operation("tool", Operation.GET_MANY, batch_size=len(outcomes)) as event:
        for outcome in outcomes:
            event.looked(outcome, tier=Tier.REDIS)
    assert (only(captured, "cache.get_many tool").attributes or {})["cache.outcome"] == expected.value


def test_trouble_with_the_store_is_an_attribute_not_a_status(captured: Captured, recorder: Recorder) -> None:
    """Nothing failed for the caller, so the span's status stays unset."""
    with recorder.operation("context", Operation.GET) as event:
        event.fail(ErrorType.TIMEOUT)
        event.looked(Outcome.ERROR)
    span = only(captured, "cache.get context")
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["error.type"] == "timeout"


def test_a_failed_computation_is_an_error_without_its_text(captured: Captured, recorder: Recorder) -> None:
    """Both spans have status ERROR, the error passes unchanged, its class is told and its text is not."""
    fault = ValueError(SECRET)
    with pytest.raises(ValueError) as raised, recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with recorder.compute(event):
            raise fault
    assert raised.value is fault
    assert [span.status.status_code for span in captured.spans()] == [StatusCode.ERROR, StatusCode.ERROR]
    compute = only(captured, "cache.compute tool")
    assert (compute.attributes or {})["error.type"] == "other"
    assert [dict(event.attributes or {}) for event in compute.events] == [{"exception.type": "builtins.ValueError"}]
    assert not any(SECRET in span.to_json() for span in captured.spans())
    assert captured.points("cache.compute.duration").keys() == {(("cache.category", "tool"), ("error.type", "other"))}


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_a_cancellation_is_recorded_and_is_no_error(
    captured: Captured, recorder: Recorder, kind: type[BaseException]
) -> None:
    """What ends the caller from outside leaves no ERROR, no error.type, and is recorded all the same."""
    with pytest.raises(kind), recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with recorder.compute(event):
            raise kind
    assert [span.status.status_code for span in captured.spans()] == [StatusCode.UNSET, StatusCode.UNSET]
    assert all("error.type" not in (span.attributes or {}) for span in captured.spans())
    assert recorder.ledger.figures().durations["tool", Outcome.OK].count == 1


def test_a_follower_is_linked_to_its_leader(captured: Captured, recorder: Recorder) -> None:
    """The span of a wait links to the leader's; the wait is counted and is no overhead."""
    with recorder.operation("tool", Operation.GET_OR_COMPUTE) as leading:
        leader = recorder.current_span_context()
        leading.looked(Outcome.MISS)
    with recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with recorder.wait(event, FlightScope.PROCESS, leader):
            pass
        event.looked(Outcome.MISS, reason=MissReason.COLD)
    span = only(captured, "cache.wait tool")
    assert leader is not None
    assert [link.context.span_id for link in span.links] == [leader.span_id]
    assert captured.value("cache.flight.waits", **{"cache.flight.scope": "process"}) == 1
    assert event.wait_s == pytest.approx(0.001)


def test_a_refresh_is_a_root_of_its_own_linked_to_its_cause(captured: Captured, recorder: Recorder) -> None:
    """A background refresh starts a trace, even when a span is current, and names its cause by a link."""
    with recorder.operation("context", Operation.GET) as event:
        cause = recorder.current_span_context()
        with recorder.refresh("context", cause), recorder.operation("context", Operation.SET):
            pass
        event.looked(Outcome.STALE, tier=Tier.REDIS)
    refresh, inner = only(captured, "cache.refresh context"), only(captured, "cache.set context")
    assert cause is not None and refresh.context is not None and inner.parent is not None
    assert refresh.parent is None
    assert refresh.context.trace_id != cause.trace_id
    assert [link.context.span_id for link in refresh.links] == [cause.span_id]
    assert inner.parent.span_id == refresh.context.span_id


def test_without_a_span_there_is_no_span_context(recorder: Recorder) -> None:
    """Outside of every span the current context is None, not an invalid one."""
    assert recorder.current_span_context() is None


def test_an_unknown_categorys_span_is_others(captured: Captured, recorder: Recorder) -> None:
    """A name that nobody registered is in no span's name."""
    with recorder.operation("task-abc123", Operation.DELETE) as event:
        event.deletes, event.trigger = 1, Trigger.API
    attributes = only(captured, "cache.delete other").attributes or {}
    assert (attributes["cache.deletes"], attributes["cache.trigger"]) == (1, "api")
    recorder.register_category("task-abc123")
    with recorder.operation("task-abc123", Operation.DELETE):
        pass
    assert only(captured, "cache.delete task-abc123")


def operating(recorder: Recorder) -> Iterator[None]:
    with recorder.operation("tool", Operation.GET) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS)
        yield


@pytest.mark.parametrize("copied", [False, True])
def test_a_generator_closed_in_another_context_is_recorded_in_silence(
    captured: Captured, recorder: Recorder, caplog: pytest.LogCaptureFixture, copied: bool
) -> None:
    """Giving the context back fails there; nothing is logged or raised, and the operation is counted."""
    with caplog.at_level(logging.DEBUG):
        generator = operating(recorder)
        begun = contextvars.copy_context()
        begun.run(next, generator)
        # a copy of the context it began in has its span current, and is another context all the same
        other = begun.run(contextvars.copy_context) if copied else contextvars.copy_context()
        other.run(generator.close)  # type: ignore[attr-defined]
    assert caplog.records == []
    assert recorder.ledger.figures().dropped == 0
    assert only(captured, "cache.get tool").end_time is not None


def test_an_abandoned_generator_leaves_the_current_span_of_others_alone(captured: Captured, recorder: Recorder) -> None:
    """One that is closed while another operation's span is current does not take that span's place."""

    def overlap() -> None:
        generator = operating(recorder)
        next(generator)
        with recorder.operation("context", Operation.GET) as event:
            mine = recorder.current_span_context()
            generator.close()  # type: ignore[attr-defined]
            assert recorder.current_span_context() == mine
            event.looked(Outcome.MISS)

    contextvars.copy_context().run(overlap)
    assert [span.name for span in captured.spans()] == ["cache.get tool", "cache.get context"]
    assert recorder.current_span_context() is None


def test_tasks_and_threads_have_their_own_current_spans(captured: Captured, recorder: Recorder) -> None:
    """Operations that overlap in tasks, and in threads, nest under nobody else's span."""

    async def ask(turn: asyncio.Event, own: asyncio.Event) -> None:
        with recorder.operation("context", Operation.GET) as event:
            own.set()
            await turn.wait()
            event.looked(Outcome.HIT, tier=Tier.REDIS)

    async def both() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        await asyncio.gather(ask(second, first), ask(first, second))

    asyncio.run(both())
    barrier = threading.Barrier(2)

    def work() -> None:
        with recorder.operation("tool", Operation.GET) as event:
            barrier.wait()
            event.looked(Outcome.HIT, tier=Tier.REDIS)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [span.parent for span in captured.spans()] == [None] * 4
    assert recorder.ledger.figures().requests.total() == 4


def test_record_makes_no_span(captured: Captured, recorder: Recorder) -> None:
    """What an application counts by itself is in the ledger and in no trace."""
    for count in (
        recorder.count_hit,
        recorder.count_miss,
        recorder.count_set,
        recorder.count_delete,
        recorder.count_error,
    ):
        count("tool")
    figures = recorder.ledger.figures()
    totals = (figures.requests, figures.writes, figures.deletes, figures.errors)
    assert [table.total() for table in totals] == [2, 1, 1, 1]
    assert captured.spans() == []
    assert captured.points("cache.operation.duration") == {}
