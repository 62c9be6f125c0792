"""CLIENT spans of the Redis client: exact names, attributes and their types, in sync and async."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import redis.asyncio
from opentelemetry import context, trace
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from telemetry import redis as instrumentation
from telemetry.testing import Captured

SCRIPT = "return ARGV[1]"
CANARY = "canary7f3a"

COMMANDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "GET": (lambda c: c.get("k"), "GET ?"),
    "SET": (lambda c: c.set("k", "v", ex=5), "SET ? ? ? ?"),
    "MGET": (lambda c: c.mget(["a", "b"]), "MGET ? ?"),
    "EVAL": (lambda c: c.eval(SCRIPT, 1, "k", "v"), "EVAL ? ? ? ?"),
    "SCRIPT LOAD": (lambda c: c.script_load(SCRIPT), "SCRIPT LOAD ?"),
    "CONFIG GET": (lambda c: c.config_get("maxmemory"), "CONFIG GET ?"),
}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def only(captured: Captured) -> ReadableSpan:
    (span,) = captured.spans()
    return span


def run_async(server_socket: str, use: Callable[[redis.asyncio.Redis], Any]) -> Any:
    """The result of ``use`` on an async client of the server."""

    async def main() -> Any:
        async with redis.asyncio.Redis(unix_socket_path=server_socket, db=3) as client:
            return await use(client)

    return asyncio.run(main())


def check_command(span: ReadableSpan, name: str, query: str, path: str) -> None:
    assert (span.name, span.kind, span.status.status_code) == (name, SpanKind.CLIENT, StatusCode.UNSET)
    assert attributes(span) == {
        "db.system.name": "redis",
        "db.operation.name": name,
        "db.namespace": "3",
        "db.query.text": query,
        "db.redis.args_length": query.count("?") + 1,
        "server.address": path,
        "network.transport": "unix",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_makes_a_client_span_of_the_stable_convention(
    client: redis.Redis, captured: Captured, server_socket: str, name: str
) -> None:
    """The span of a synchronous command has the convention's name and attributes, and no argument."""
    use, query = COMMANDS[name]
    use(client)
    check_command(only(captured), name, query, server_socket)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_async_command_makes_the_same_span(
    client: redis.Redis, captured: Captured, server_socket: str, name: str
) -> None:
    """The asynchronous client's span is the synchronous one's."""
    use, query = COMMANDS[name]
    run_async(server_socket, use)
    check_command(only(captured), name, query, server_socket)


def test_evalsha_is_named_by_its_command(client: redis.Redis, captured: Captured) -> None:
    """A registered script runs as EVALSHA, after one SCRIPT LOAD when the server does not know it."""
    with suppress_instrumentation():
        client.script_flush()
    assert client.register_script("return 'evalsha'")(keys=["k"]) == b"evalsha"
    assert [span.name for span in captured.spans()] == ["EVALSHA", "SCRIPT LOAD", "EVALSHA"]
    assert attributes(captured.spans()[0])["db.response.status_code"] == "NOSCRIPT"


@pytest.mark.parametrize(
    ("fill", "name", "size", "query"),
    [
        ([("GET", "a"), ("GET", "b")], "PIPELINE GET", 2, "GET ?; GET ?"),
        ([("GET", "a"), ("SET", "b", "1")], "PIPELINE", 2, "GET ?; SET ? ?"),
        ([("GET", "a")], "PIPELINE GET", None, "GET ?"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_pipeline_is_named_by_its_command_if_there_is_one(
    client: redis.Redis,
    captured: Captured,
    server_socket: str,
    is_async: bool,
    fill: Any,
    name: str,
    size: Any,
    query: str,
) -> None:
    """A pipeline's name is bounded, and its size is given from two commands on."""

    def use(target: Any) -> Any:
        pipeline = target.pipeline(transaction=False)
        for command in fill:
            pipeline.execute_command(*command)
        return pipeline.execute()

    _ = run_async(server_socket, use) if is_async else use(client)
    span = only(captured)
    assert span.name == attributes(span)["db.operation.name"] == name
    assert attributes(span).get("db.operation.batch.size") == size
    assert attributes(span)["db.query.text"] == query
    assert attributes(span)["db.namespace"] == "3"


def test_a_long_pipeline_has_a_bounded_text(client: redis.Redis, captured: Captured) -> None:
    """Five thousand commands make one span of one command's name and 1 KiB of text."""
    pipeline = client.pipeline(transaction=False)
    for number in range(5000):
        pipeline.get(f"{CANARY}{number}")
    pipeline.execute()
    span = only(captured)
    text = attributes(span)["db.query.text"]
    assert span.name == "PIPELINE GET" and len(text) == 1024 and text.endswith("...")
    assert attributes(span)["db.operation.batch.size"] == 5000


def test_an_empty_pipeline_is_a_pipeline(client: redis.Redis, captured: Captured) -> None:
    """Nothing to send is a batch of none."""
    client.pipeline().execute()
    span = only(captured)
    assert (span.name, attributes(span)["db.operation.batch.size"]) == ("PIPELINE", 0)


def _wrong_type(target: Any) -> Any:
    return target.lpush(f"k{CANARY}", CANARY)


def _lua(target: Any) -> Any:
    return target.eval("return redis.error_reply(ARGV[1])", 1, f"k{CANARY}", CANARY.upper() + " " + CANARY)


def _lua_raises(target: Any) -> Any:
    return target.eval("error(KEYS[1])", 1, CANARY)


def _pipeline(target: Any) -> Any:
    return target.pipeline(transaction=False).get(CANARY).lpush(f"k{CANARY}", CANARY).execute()


def _transaction(target: Any) -> Any:
    return target.pipeline().set(CANARY, CANARY).lpush(f"k{CANARY}", CANARY).execute()


def _unknown(target: Any) -> Any:
    return target.execute_command(f"NOSUCH {CANARY}", CANARY)


def _no_command(target: Any) -> Any:
    return target.execute_command(f"{CANARY}:{CANARY}")


FAILURES: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "wrong type": (_wrong_type, "LPUSH", "WRONGTYPE"),
    "a script's own error": (_lua, "EVAL", "ERR"),
    "a script that raises": (_lua_raises, "EVAL", "ERR"),
    "pipeline": (_pipeline, "PIPELINE", "WRONGTYPE"),
    "transaction": (_transaction, "PIPELINE", "WRONGTYPE"),
    "unknown command in one string": (_unknown, "NOSUCH", "ERR"),
    "no command's name": (_no_command, "?", "ERR"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_failure_says_its_kind_and_nothing_raw(
    client: redis.Redis, captured: Captured, server_socket: str, failure: str, is_async: bool
) -> None:
    """A failed command has error.type, the server's code and an exception event; no key, value or message text."""
    use, name, code = FAILURES[failure]
    with suppress_instrumentation():
        client.set(f"k{CANARY}", "text")
    with pytest.raises(redis.ResponseError):
        _ = run_async(server_socket, use) if is_async else use(client)
    span = only(captured)
    assert span.name == name
    assert (attributes(span)["error.type"], attributes(span)["db.response.status_code"]) == (code, code)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, code)
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        ("exception", {"exception.type": "redis.exceptions.ResponseError"})
    ]
    assert CANARY not in span.to_json().lower()


def test_an_error_within_a_reply_is_seen(client: redis.Redis, captured: Captured) -> None:
    """A pipeline that hands errors back, and raises none, has the first one's code and no ERROR status."""
    client.set("k", "text")
    client.pipeline(transaction=False).get("k").lpush("k", 1).execute(raise_on_error=False)
    span = captured.spans()[-1]
    assert attributes(span)["db.response.status_code"] == "WRONGTYPE"
    assert span.status.status_code is StatusCode.UNSET and not span.events


@pytest.mark.parametrize("is_async", [False, True])
def test_a_timeout_is_called_timeout(
    client: redis.Redis, captured: Captured, server_socket: str, is_async: bool
) -> None:
    """A server that does not answer in time makes error.type timeout, and no response code."""

    async def wait_async() -> None:
        async with redis.asyncio.Redis(unix_socket_path=server_socket, socket_timeout=0.02, retry=None) as slow:
            await slow.execute_command("BLPOP", CANARY, 1)

    def wait() -> None:
        with redis.Redis(unix_socket_path=server_socket, socket_timeout=0.02, retry=None) as slow:
            slow.execute_command("BLPOP", CANARY, 1)

    with pytest.raises(redis.TimeoutError):
        asyncio.run(wait_async()) if is_async else wait()
    span = only(captured)
    assert (span.name, attributes(span)["error.type"]) == ("BLPOP", "timeout")
    assert "db.response.status_code" not in attributes(span)
    assert span.status.status_code is StatusCode.ERROR
    assert CANARY not in span.to_json()


def test_a_refused_connection_has_its_class_as_type(captured: Captured, tmp_path: Any) -> None:
    """No server at all: the error's class is the type."""
    with pytest.raises(redis.ConnectionError):
        redis.Redis(unix_socket_path=str(tmp_path / "none"), retry=None).get(CANARY)
    assert attributes(only(captured))["error.type"] == "redis.exceptions.ConnectionError"
    assert CANARY not in only(captured).to_json()


def test_a_cancelled_command_is_no_failure(client: redis.Redis, captured: Captured, server_socket: str) -> None:
    """A cancelled task's command says cancelled, without ERROR status."""

    async def cancel(target: redis.asyncio.Redis) -> None:
        await target.ping()
        task = asyncio.create_task(target.execute_command("BLPOP", "k", 5))
        deadline = asyncio.get_running_loop().time() + 5
        while not client.info("clients")["blocked_clients"]:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(server_socket, cancel)
    (span,) = captured.spans("BLPOP")
    assert attributes(span)["error.type"] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET and not span.events


def test_a_lost_race_of_watch_is_no_failure(client: redis.Redis, captured: Captured, server_socket: str) -> None:
    """WatchError is a normal end of an optimistic transaction: no ERROR status."""
    with client.pipeline() as pipeline, redis.Redis(unix_socket_path=server_socket, db=3) as other:
        pipeline.watch("k")
        other.set("k", "changed")
        pipeline.multi()
        pipeline.set("k", "mine")
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    assert [span.name for span in captured.spans()] == ["WATCH", "SET", "PIPELINE SET"]
    assert captured.spans()[-1].status.status_code is StatusCode.UNSET


def test_search_results_are_not_copied(searching: redis.Redis, captured: Captured) -> None:
    """Query, index and documents of a search stay out of its span."""
    reply = searching.execute_command("FT.SEARCH", f"return {{1, 'doc', {{'field', '{CANARY}'}}}}", 0, CANARY)
    assert reply == [1, b"doc", [b"field", CANARY.encode()]]
    assert only(captured).name == "FT.SEARCH"
    assert CANARY not in only(captured).to_json() and "redis.search" not in only(captured).to_json()


def test_an_index_is_not_described(client: redis.Redis, captured: Captured) -> None:
    """The index's name and fields stay out of FT.CREATE's span, also when the command fails."""
    with pytest.raises(redis.ResponseError):
        client.execute_command("FT.CREATE", CANARY, "SCHEMA", CANARY, "TEXT")
    assert only(captured).name == "FT.CREATE"
    assert CANARY not in only(captured).to_json() and "create_index" not in only(captured).to_json()


def test_spans_nest_in_tasks_and_carried_threads(client: redis.Redis, captured: Captured, server_socket: str) -> None:
    """Tasks inherit their parent span; a thread does when the context is carried over."""
    tracer = trace.get_tracer("t", tracer_provider=captured.tracer_provider)

    def in_thread(carried: context.Context) -> None:
        token = context.attach(carried)
        client.get("thread")
        context.detach(token)

    with tracer.start_as_current_span("parent"):
        run_async(server_socket, lambda target: asyncio.wait_for(target.get("task"), 5))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_thread, context.get_current()).result()
    assert captured.tree() == ["parent", "  GET", "  GET"]


def test_an_applications_own_span_is_left_alone(client: redis.Redis, captured: Captured) -> None:
    """Where instrumentation is suppressed, the current span is somebody else's and stays as it is."""
    tracer = trace.get_tracer("t", tracer_provider=captured.tracer_provider)
    with tracer.start_as_current_span("mine"), suppress_instrumentation():
        client.get("k")
    assert (only(captured).name, attributes(only(captured))) == ("mine", {})


def test_instrumenting_twice_makes_one_span(client: redis.Redis, captured: Captured) -> None:
    """A second call changes nothing."""
    instrumentation.instrument(captured.tracer_provider)
    client.get("k")
    assert len(captured.spans()) == 1


def test_an_instrumented_client_is_completed_too(client: redis.Redis) -> None:
    """Redis instrumented by somebody else before gets our wrappers inside, and one span each."""
    captured = Captured()
    RedisInstrumentor().instrument(tracer_provider=captured.tracer_provider)
    instrumentation.instrument(captured.tracer_provider)
    try:
        client.set("k", "v")
        assert attributes(only(captured))["db.operation.name"] == "SET"
    finally:
        instrumentation.uninstrument()


def test_uninstrumenting_restores_redis(client: redis.Redis) -> None:
    """Afterwards redis-py's methods are the very functions they were."""

    def functions() -> list[Any]:
        owners = ((getattr(importlib.import_module(m), owner), name) for m, owner, name in instrumentation.ENTRY_POINTS)
        return [vars(owner)[name] for owner, name in owners]

    before = functions()
    captured = Captured()
    instrumentation.instrument(captured.tracer_provider)
    assert all(one is not other for one, other in zip(before, functions(), strict=True))
    instrumentation.uninstrument()
    instrumentation.uninstrument()
    assert all(one is other for one, other in zip(before, functions(), strict=True))
    client.get("k")
    assert captured.spans() == []


def test_a_caller_sees_the_error_as_it_was(client: redis.Redis, captured: Captured) -> None:
    """What is kept from the span is not kept from the caller."""
    client.set("k", "text")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE Operation against a key"):
        client.lpush("k", 1)
