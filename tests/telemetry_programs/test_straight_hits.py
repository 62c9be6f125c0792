"""Hits that are recorded afterwards: the spans and the numbers are those of the ordinary way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from opentelemetry import context, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from cache import MISS, AsyncCache, Cache
from cache.testing import RoundTripProxy
from telemetry import redis as instrumentation
from telemetry import schema, tally
from telemetry.light_provider import LightProvider
from telemetry.recorder import Recorder
from telemetry.tally import Tally
from telemetry.testing import Captured

KEY = ("read", {"path": "a.txt"})
PATIENT_S = 2.0


class Kept:
    """Spans of our own set-up, in memory."""

    def __init__(self) -> None:
        self.tracer_provider, self._kept = LightProvider(Resource({}), NoOpMeterProvider()), InMemorySpanExporter()
        self.tracer_provider.add_exporter(self._kept, 4096, 512)

    def spans(self) -> list[ReadableSpan]:
        self.tracer_provider.force_flush()
        return list(self._kept.get_finished_spans())

    def clear(self) -> None:
        self.tracer_provider.force_flush()
        self._kept.clear()


@pytest.fixture
def light() -> Iterator[Kept]:
    """Redis instrumented for our own provider."""
    kept = Kept()
    instrumentation.instrument(kept.tracer_provider)
    yield kept
    instrumentation.uninstrument()
    kept.tracer_provider.shutdown()


@pytest.fixture
def url(client: redis.Redis, server_socket: str) -> str:
    return f"unix://{server_socket}?db=3"


def opened(kept: Kept | Captured, url: str, *, fast_path: bool = True) -> Cache:
    """A cache that has an open connection, with one entry."""
    recorder = Recorder(tracer_provider=kept.tracer_provider, meter_provider=NoOpMeterProvider())
    cache = Cache.from_url(
        url, recorder=recorder, fast_path=fast_path, read_deadline=PATIENT_S, write_deadline=PATIENT_S
    )
    assert cache.set("tool", KEY, {"text": "x"}, ttl=600)
    assert cache.get("tool", KEY) == {"text": "x"}
    kept.clear()
    return cache


def told(spans: list[ReadableSpan]) -> list[dict[str, Any]]:
    """All that they say, ids, times and the ages that go with them apart; a child ends before its parent."""
    names = {span.context.span_id: span for span in spans if span.context is not None}
    found = []
    for span in spans:
        above = names.get(span.parent.span_id) if span.parent else None
        assert span.start_time is not None and span.end_time is not None and span.start_time < span.end_time
        if above is not None:
            assert above.start_time is not None and above.end_time is not None
            assert above.start_time <= span.start_time and span.end_time <= above.end_time
        attributes = dict(span.attributes or {})
        for name in (schema.TTL, schema.ENTRY_AGE, schema.COMPUTE_DURATION):
            if name in attributes:
                assert 0 <= float(str(attributes[name])) <= 1800
                attributes[name] = "seconds"
        found.append(
            {
                "name": span.name,
                "kind": span.kind,
                "scope": span.instrumentation_scope and span.instrumentation_scope.name,
                "attributes": attributes,
                "status": (span.status.status_code, span.status.description),
                "events": [event.name for event in span.events],
                "above": above.name if above is not None else span.parent is not None,
            }
        )
    return found


def hit(cache: Cache, _: redis.Redis) -> None:
    assert cache.get("tool", KEY) == {"text": "x"}


def tagged(cache: Cache, _: redis.Redis) -> None:
    assert cache.set("tool", KEY, {"text": "y"}, tags=["run:7"])
    assert cache.get("tool", KEY, tags=["run:7"]) == {"text": "y"}
    assert cache.get("tool", KEY, tags=["run:8"]) is MISS


def asked_for(cache: Cache, _: redis.Redis) -> None:
    assert cache.get_or_compute("tool", KEY, lambda: 1) == {"text": "x"}


def computed(cache: Cache, _: redis.Redis) -> None:
    assert cache.get_or_compute("tool", ("read", {"path": "c.txt"}), lambda: 1) == 1
    assert cache.get_or_compute("tool", ("read", {"path": "c.txt"}), lambda: 2, tags=["tool:read"]) == 1
    assert not cache._engine.flights._groups


def absent(cache: Cache, _: redis.Redis) -> None:
    assert cache.get("tool", ("read", {"path": "b.txt"})) is MISS


def invalidated(cache: Cache, _: redis.Redis) -> None:
    cache.invalidate(tags=["tool:read"])
    assert cache.get("tool", KEY) is MISS


def foreign(cache: Cache, client: redis.Redis) -> None:
    with suppress_instrumentation():
        (name,) = client.keys("tool:*")
        client.set(name, "somebody else's")
    assert cache.get("tool", KEY) is MISS


def deleted_generations(cache: Cache, client: redis.Redis) -> None:
    with suppress_instrumentation():
        client.delete(*client.keys("gen:*"))
    assert cache.get("tool", KEY) is MISS


def refused(cache: Cache, client: redis.Redis) -> None:
    with suppress_instrumentation():
        client.acl_setuser("default", enabled=True, commands=["-mget"], nopass=True, keys="*", reset_keys=True)
    try:
        assert cache.get("tool", KEY) is MISS
    finally:
        with suppress_instrumentation():
            client.acl_setuser("default", enabled=True, commands=["+mget"], nopass=True, keys="*", reset_keys=True)


WAYS = [hit, tagged, asked_for, computed, absent, invalidated, foreign, deleted_generations, refused]


@pytest.mark.parametrize("what", WAYS)
def test_spans_and_numbers_are_those_of_the_ordinary_way(
    light: Kept, url: str, client: redis.Redis, what: Callable[[Cache, redis.Redis], None]
) -> None:
    """Whatever the reply shows: the span of the operation, its Redis command below it, and what is counted."""
    found = []
    for fast_path in (True, False):
        with suppress_instrumentation():
            client.flushall()
        with opened(light, url, fast_path=fast_path) as cache:
            before = cache._engine.recorder.ledger.figures()
            what(cache, client)
            after = cache._engine.recorder.ledger.figures()
            counted = after.requests - before.requests, dict(after.errors), dict(after.invalidations), after.dropped
            found.append((told(light.spans()), counted))
    assert found[0] == found[1]
    assert len(found[0][0]) >= 2


@pytest.mark.parametrize("what", [hit, tagged, asked_for, computed, absent, invalidated, refused])
def test_the_twin_that_awaits_says_the_same(
    light: Kept, url: str, client: redis.Redis, what: Callable[[Any, redis.Redis], None]
) -> None:
    """The same script, each call awaited, by the way that asks straight away and by the plain one."""
    found = []
    for fast_path in (True, False):
        with suppress_instrumentation():
            client.flushall()
        with asyncio.Runner() as runner:
            cache = AsyncCache.from_url(
                url,
                recorder=Recorder(tracer_provider=light.tracer_provider, meter_provider=NoOpMeterProvider()),
                fast_path=fast_path,
                read_deadline=PATIENT_S,
                write_deadline=PATIENT_S,
            )
            face = Awaited(cache, runner)
            assert face.set("tool", KEY, {"text": "x"}, ttl=600)
            assert face.get("tool", KEY) == {"text": "x"}
            light.clear()
            before = cache._engine.recorder.ledger.figures()
            what(face, client)
            after = cache._engine.recorder.ledger.figures()
            counted = after.requests - before.requests, dict(after.errors), dict(after.invalidations), after.dropped
            found.append((told(light.spans()), counted))
            runner.run(cache.aclose())
    assert found[0] == found[1]
    assert len(found[0][0]) >= 2


class Awaited:
    """The awaiting cache behind the face of the blocking one."""

    def __init__(self, cache: AsyncCache, runner: asyncio.Runner) -> None:
        self._cache, self._runner, self._engine = cache, runner, cache._engine

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cache, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            async def awaited() -> Any:
                return await method(*args, **kwargs)

            return self._runner.run(awaited())

        return call


def test_a_hit_that_is_awaited_takes_no_step_either(light: Kept, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(light, url), asyncio.Runner() as runner:
        cache = AsyncCache.from_url(url, recorder=Recorder(tracer_provider=light.tracer_provider))
        face: Any = Awaited(cache, runner)
        assert face.get("tool", KEY) == {"text": "x"}
        monkeypatch.setattr(cache, "_run", None)
        hit(face, None)  # type: ignore[arg-type]
        asked_for(face, None)  # type: ignore[arg-type]
        runner.run(cache.aclose())


def test_a_task_that_is_cancelled_while_it_waits_is_recorded(light: Kept, url: str) -> None:
    """Its operation ends without an outcome, its command was cancelled, and nothing is left of the flight."""
    with RoundTripProxy(url) as proxy, asyncio.Runner() as runner:
        cache = AsyncCache.from_url(
            proxy.url, recorder=Recorder(tracer_provider=light.tracer_provider), read_deadline=PATIENT_S
        )
        face: Any = Awaited(cache, runner)
        face.get("tool", KEY)
        light.clear()
        proxy.hold()

        async def cancelled() -> None:
            waiting = asyncio.create_task(cache.get_or_compute("tool", KEY, lambda: 1))
            before = len(proxy.tally.commands)
            give_up = time.monotonic() + 10
            while len(proxy.tally.commands) == before:
                assert time.monotonic() < give_up
                await asyncio.sleep(0.001)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        runner.run(cancelled())
        proxy.heal()
        command, operation = light.spans()
        assert (command.name, operation.name) == ("MGET", "cache.get_or_compute tool")
        assert command.parent is not None and operation.context is not None
        assert command.parent.span_id == operation.context.span_id
        assert not cache._engine.flights._groups
        runner.run(cache.aclose())


def test_a_hit_takes_no_step(light: Kept, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way that is measured is the one that is taken."""
    with opened(light, url) as cache:
        monkeypatch.setattr(cache, "_run", None)
        hit(cache, None)  # type: ignore[arg-type]
        asked_for(cache, None)  # type: ignore[arg-type]


def test_a_lost_connection_is_told_and_asked_again(light: Kept, url: str) -> None:
    """Two spans of Redis, the first of them failed, and one hit."""
    found = []
    for fast_path in (True, False):
        with RoundTripProxy(url) as proxy, opened(light, proxy.url, fast_path=fast_path) as cache:
            proxy.cut_after(3)
            found_before = proxy.tally.accepted
            value = cache.get("tool", KEY)
            assert value is MISS or proxy.tally.accepted > found_before
            found.append([(each["name"], each["status"][0]) for each in told(light.spans())])
    assert found[0] == found[1]
    assert found[0][0][1] is trace.StatusCode.ERROR and len(found[0]) == 3


def test_under_a_parent_it_belongs_to_its_trace(light: Kept, url: str) -> None:
    """Of a run that is traced, of one that is not, and of one that suppresses the instrumentation."""
    tracer = trace.get_tracer("t", tracer_provider=light.tracer_provider)
    with opened(light, url) as cache:
        with tracer.start_as_current_span("run") as run:
            hit(cache, None)  # type: ignore[arg-type]
        command, operation, _ = light.spans()
        assert operation.parent is not None and operation.parent.span_id == run.get_span_context().span_id
        assert command.parent is not None and operation.context is not None
        assert command.parent.span_id == operation.context.span_id

        light.clear()
        unsampled = NonRecordingSpan(SpanContext(7 << 64, 9, False, TraceFlags(0)))
        token = context.attach(trace.set_span_in_context(unsampled))
        try:
            hit(cache, None)  # type: ignore[arg-type]
        finally:
            context.detach(token)
        assert light.spans() == []

        with suppress_instrumentation():
            hit(cache, None)  # type: ignore[arg-type]
        assert [span.name for span in light.spans()] == ["cache.get tool"]


def test_the_run_around_it_counts_it(light: Kept, url: str) -> None:
    with opened(light, url) as cache:
        sums = Tally()
        token = tally.enter(sums)
        try:
            hit(cache, None)  # type: ignore[arg-type]
        finally:
            tally.leave(token)
    assert (sums.hits, sums.misses) == (1, 0)


def test_foreign_providers_see_it_as_ever(url: str) -> None:
    """Where spans are not light, the ordinary way is taken, or the span is told when it began."""
    kept = Captured()
    instrumentation.instrument(kept.tracer_provider)
    try:
        with opened(kept, url) as cache:
            hit(cache, None)  # type: ignore[arg-type]
            assert len(told(kept.spans())) == 2
    finally:
        instrumentation.uninstrument()
    # nobody instruments Redis, and the operation's span is theirs: it began before it was made
    kept = Captured()
    with opened(kept, url) as cache:
        hit(cache, None)  # type: ignore[arg-type]
        (only,) = kept.spans()
        assert only.start_time is not None and only.end_time is not None and only.start_time < only.end_time
        assert dict(only.attributes or {})[schema.OUTCOME] == "hit"
