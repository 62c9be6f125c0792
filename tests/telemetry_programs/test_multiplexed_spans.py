"""Spans of commands that many tasks send over one connection: those of redis-py's own path, each under its caller."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from cache.clock import Deadline, SystemClock
from cache.core.steps import Batch, Call, Lua, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores.async_redis_store import AsyncRedisStore
from cache.stores.connect import StoreOptions, open_async_store
from telemetry.testing import Captured

CLOCK = SystemClock()
ECHO = Lua("echo", "return ARGV[1]")
FAIL = Lua("fail", "return redis.error_reply('OOM ' .. ARGV[1])")


def steps() -> list[StoreStep]:
    """One of each kind, the second run of a script by its digest, refusals in each place."""
    soon = Deadline(CLOCK, 2)
    return [
        Call(("SET", "k", "v"), soon),
        Call(("MGET", "k", "absent"), soon),
        Call(("LPUSH", "k", "v"), soon),
        Batch((("GET", "a"), ("GET", "b")), soon),
        Batch((("GET", "a"), ("LPUSH", "k", "v"), ("DEL", "b")), soon),
        Batch((("GET", "a"),), soon),
        RunScript(ECHO, ("k",), ("v",), soon),
        RunScript(ECHO, ("k",), ("v",), soon),
        RunScript(FAIL, ("k",), ("v",), soon),
    ]


def opened(path: str, *, fast_path: bool) -> AsyncRedisStore:
    options = StoreOptions(fast_path=fast_path)
    return open_async_store(f"unix://{path}?db=3", options, on_breaker=lambda *_: None, clock=CLOCK)


async def carried_out(store: AsyncRedisStore) -> None:
    for step in steps():
        try:
            await store.execute(step)
        except StoreError:
            continue
    await store.aclose()


def told(captured: Captured) -> list[dict[str, Any]]:
    """All that the spans say, apart from their ids and times."""
    return [
        {
            "name": span.name,
            "kind": span.kind,
            "scope": span.instrumentation_scope,
            "attributes": dict(span.attributes or {}),
            "status": (span.status.status_code, span.status.description),
            "events": [(event.name, dict(event.attributes or {})) for event in span.events],
            "parent": span.parent,
        }
        for span in captured.spans()
    ]


def test_every_step_has_the_spans_of_the_plain_path(server_socket: str, client: Any, captured: Captured) -> None:
    """Name, kind, scope, attributes, status, events and parent are the same, and so is their number."""
    asyncio.run(carried_out(opened(server_socket, fast_path=False)))
    plain = told(captured)
    client.flushall()
    client.script_flush()
    captured.clear()

    asyncio.run(carried_out(opened(server_socket, fast_path=True)))

    assert told(captured) == plain
    assert [span["name"] for span in plain][-3:] == ["EVAL", "EVALSHA", "EVAL"]


def test_tasks_that_share_a_connection_have_their_own_spans(server_socket: str, captured: Captured) -> None:
    """Each command is the child of its caller's span, exactly one, whoever wrote it to the socket."""
    tracer = captured.tracer_provider.get_tracer("application")

    async def one(store: AsyncRedisStore, number: int) -> None:
        with tracer.start_as_current_span(f"caller {number}"):
            await store.execute(Call(("GET", f"k{number}"), Deadline(CLOCK, 2)))

    async def main() -> None:
        store = opened(server_socket, fast_path=True)
        for _ in range(2):
            await asyncio.gather(*(one(store, number) for number in range(16)))
        await store.aclose()

    asyncio.run(main())

    callers = {span.context.span_id for span in captured.spans() if span.name.startswith("caller") and span.context}
    parents = [span.parent.span_id for span in captured.spans() if span.name == "GET" and span.parent]
    assert len(callers) == 32
    assert sorted(parents) == sorted(callers)


@pytest.mark.parametrize("fast_path", [True, False])
def test_no_span_where_it_is_suppressed(server_socket: str, captured: Captured, fast_path: bool) -> None:
    """As the application says for its own calls; connecting and greeting make none anyway."""

    async def main() -> None:
        with suppress_instrumentation():
            await carried_out(opened(server_socket, fast_path=fast_path))

    asyncio.run(main())

    assert captured.spans() == []
