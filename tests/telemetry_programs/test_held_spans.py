"""Steps over held connections have the spans that redis-py's client has: as many, and the same to the letter."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan

from cache.clock import Deadline, SystemClock
from cache.core.breaker import BreakerOptions
from cache.core.steps import Batch, Call, Lua, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores.connect import StoreOptions, open_store
from cache.stores.redis_store import RedisStore
from telemetry import redis as instrumentation
from telemetry.testing import Captured

CLOCK = SystemClock()
SCRIPT = Lua("test", "return {KEYS[1], ARGV[1]}")
FAILING = Lua("failing", "return redis.call('LPUSH', KEYS[1], 'x')")


def _call(*args: Any, seconds: float = 2, idempotent: bool = True) -> Callable[[], StoreStep]:
    return lambda: Call(args, Deadline(CLOCK, seconds), idempotent)


def _batch(*commands: tuple[Any, ...]) -> Callable[[], StoreStep]:
    return lambda: Batch(commands, Deadline(CLOCK, 2), True)


def _script(script: Lua) -> Callable[[], StoreStep]:
    return lambda: RunScript(script, ("text",), ("v",), Deadline(CLOCK, 2))


STEPS: dict[str, list[Callable[[], StoreStep]]] = {
    "read": [_call("GET", "k"), _call("MGET", "a", "b", "c")],
    "write": [_call("SET", "k", "v", "EX", 5, idempotent=False)],
    "words": [_call("CONFIG GET", "maxmemory"), _call("CONFIG", "GET", "maxmemory")],
    "refusal": [_call("LPUSH", "text", "x"), _call("NOSUCH", "x")],
    "no argument": [_call("SET", "k", {"no": "argument"})],
    "time-out": [_call("BLPOP", "nothing", 1, seconds=0.05, idempotent=False)],
    "batch": [_batch(("GET", "a"), ("GET", "b")), _batch(("GET", "a"), ("SET", "b", 1)), _batch(("GET", "a"))],
    "empty batch": [_batch()],
    "refusal in a batch": [_batch(("GET", "a"), ("LPUSH", "text", "x"))],
    "scripts": [_script(SCRIPT), _script(SCRIPT), _call("SCRIPT", "FLUSH"), _script(SCRIPT), _script(FAILING)],
    "cut off": [_call("CLIENT", "KILL", "SKIPME", "no"), _call("GET", "k")],
}


def _told(span: ReadableSpan) -> dict[str, Any]:
    """All that a span says, apart from its ids, its times and what the resource is."""
    scope = span.instrumentation_scope
    assert scope is not None
    return {
        "name": span.name,
        "kind": span.kind,
        "scope": (scope.name, scope.version, scope.schema_url),
        "attributes": dict(span.attributes or {}),
        "status": (span.status.status_code, span.status.description),
        "events": [(event.name, dict(event.attributes or {})) for event in span.events],
    }


@pytest.fixture
def instrumented() -> Iterator[Captured]:
    kept = Captured()
    instrumentation.instrument(kept.tracer_provider)
    yield kept
    instrumentation.uninstrument()


def _dropped() -> None:
    raise AssertionError("a span was dropped")


def _store(url: str, fast_path: bool) -> RedisStore:
    options = StoreOptions(fast_path=fast_path, breaker=BreakerOptions(failures=1000))
    return open_store(url, options, on_breaker=lambda *_: None, clock=CLOCK, on_dropped=_dropped)


def _spans(kept: Captured, store: RedisStore, steps: list[Callable[[], StoreStep]]) -> list[dict[str, Any]]:
    """What the steps' spans say, all of them children of one parent."""
    kept.clear()
    tracer = trace.get_tracer("t", tracer_provider=kept.tracer_provider)
    with tracer.start_as_current_span("parent") as parent:
        for step in steps:
            with contextlib.suppress(StoreError):
                store.execute(step())
    store.close()
    *children, _ = kept.spans()
    assert {span.parent.span_id for span in children if span.parent} <= {parent.get_span_context().span_id}
    assert all(span.parent for span in children)
    return [_told(span) for span in children]


@pytest.fixture
def url(client: redis.Redis, server_socket: str) -> str:
    client.set("text", "text")
    client.script_flush()
    return f"unix://{server_socket}?db=3"


@pytest.mark.parametrize("name", STEPS)
def test_spans_are_those_of_the_plain_path(
    instrumented: Captured, url: str, client: redis.Redis, server_socket: str, name: str
) -> None:
    """Names, attributes, status and events; one span for each command or pipeline, refused and repeated ones too."""
    with suppress_instrumentation(), redis.Redis(unix_socket_path=server_socket, db=3) as other:
        other.set("text", "text")
    held = _spans(instrumented, _store(url, True), STEPS[name])
    with suppress_instrumentation():
        client.script_flush()
    plain = _spans(instrumented, _store(url, False), STEPS[name])

    assert held == plain
    assert len(held) >= len(STEPS[name])


def test_a_server_that_is_not_there_is_told_alike(instrumented: Captured, tmp_path: Any) -> None:
    """By a Unix socket and by a port."""
    for url in (f"unix://{tmp_path}/none.sock", "redis://127.0.0.1:1/0"):
        held = _spans(instrumented, _store(url, True), STEPS["read"])
        assert held == _spans(instrumented, _store(url, False), STEPS["read"])
        assert [span["status"][0] for span in held] == [trace.StatusCode.ERROR] * 2


def test_without_instrumentation_there_is_no_span(url: str) -> None:
    """Nobody instrumented redis, or the caller suppresses it."""
    kept = Captured()
    assert _spans(kept, _store(url, True), STEPS["read"]) == []
    instrumentation.instrument(kept.tracer_provider)
    try:
        with suppress_instrumentation():
            assert _spans(kept, _store(url, True), STEPS["batch"]) == []
    finally:
        instrumentation.uninstrument()
