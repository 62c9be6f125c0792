"""Spans of commands that a driver of our own sends: those of redis-py under the instrumentation, to the letter."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis
from opentelemetry import trace
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability as stability
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry import redis as instrumentation
from telemetry.commands import CommandSpans, command_spans
from telemetry.light import LightSpan
from telemetry.light_provider import LightProvider
from telemetry.testing import Captured

CANARY = "canary7f3a"
Commands = Sequence[tuple[Any, ...]]

SINGLE: dict[str, tuple[Any, ...]] = {
    "get": ("GET", "k"),
    "mget": ("MGET", "a", "b"),
    "set": ("SET", "k", "v", "EX", 5),
    "two words": ("CONFIG GET", "maxmemory"),
    "two words apart": ("CONFIG", "GET", "maxmemory"),
    "long": ("MGET", *(f"{CANARY}{number}" for number in range(2000))),
    "wrong type": ("LPUSH", "text", CANARY),
    "unknown": (f"NOSUCH {CANARY}", CANARY),
    "no command": (f"{CANARY}:{CANARY}",),
    "script": ("EVAL", "return redis.error_reply(ARGV[1])", 1, "k", CANARY.upper()),
    "no script": ("EVALSHA", "0" * 40, 0),
}
PIPELINES: dict[str, Commands] = {
    "same": [("GET", "a"), ("GET", "b")],
    "mixed": [("GET", "a"), ("SET", "b", "1")],
    "one": [("GET", "a")],
    "none": [],
    "long": [("GET", f"{CANARY}{number}") for number in range(2000)],
    "failing": [("GET", "a"), ("LPUSH", "text", CANARY)],
}


def told(span: ReadableSpan) -> dict[str, Any]:
    """All that a span says, apart from its own id and its times."""
    scope = span.instrumentation_scope
    assert scope is not None and span.context is not None
    return {
        "name": span.name,
        "kind": span.kind,
        "scope": (scope.name, scope.version, scope.schema_url, dict(scope.attributes or {})),
        "attributes": dict(span.attributes or {}),
        "status": (span.status.status_code, span.status.description),
        "events": [(event.name, without_frames(event.attributes)) for event in span.events],
        "links": list(span.links),
        "parent": span.parent.span_id if span.parent else None,
        "flags": span.context.trace_flags,
        "resource": span.resource,
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
    }


def without_frames(attributes: Any) -> dict[str, Any]:
    """The attributes of an event; a stack trace that an application records has the frames of its own path."""
    return {name: name if name == "exception.stacktrace" else value for name, value in dict(attributes or {}).items()}


def outcome(call: Callable[[], Any]) -> tuple[BaseException | None, Any]:
    """The error or the reply of a call."""
    try:
        return None, call()
    except redis.RedisError as error:
        return error, None


def by_redis_py(client: redis.Redis, commands: Commands, pipeline: bool, raising: bool = True) -> Any:
    """What redis-py does and answers."""
    if not pipeline:
        return client.execute_command(*commands[0])
    waiting = client.pipeline(transaction=False)
    for command in commands:
        waiting.execute_command(*command)
    return waiting.execute(raise_on_error=raising)


def by_driver(made: CommandSpans, commands: Commands, pipeline: bool, call: Callable[[], Any]) -> None:
    """What a driver of our own does around the same command."""
    span = made.start(commands, pipeline)
    with suppress_instrumentation():
        error, reply = outcome(call)
    if span is not None:
        span.finish(error, reply)


def lost() -> None:
    raise AssertionError("a span was dropped")


@pytest.fixture
def spans(server_socket: str) -> CommandSpans:
    return command_spans(database=3, address=server_socket, port=None, dropped=lost)


@pytest.fixture
def text(client: redis.Redis) -> redis.Redis:
    """A client of a server that holds a text where a list is pushed to."""
    client.set("text", "text")
    return client


class Exported:
    """Our set-up's own provider, whose spans are light; what its exporter is given."""

    def __init__(self) -> None:
        self.tracer_provider, self._kept = LightProvider(Resource({}), NoOpMeterProvider()), InMemorySpanExporter()
        self.tracer_provider.add_exporter(self._kept, 2048, 512)

    def spans(self) -> list[ReadableSpan]:
        self.tracer_provider.force_flush()
        return list(self._kept.get_finished_spans())

    def clear(self) -> None:
        self.tracer_provider.force_flush()
        self._kept.clear()


@pytest.fixture(params=["ours", "ours, light", "application's", "application's, with hooks"])
def instrumented(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Redis instrumented by us, or by the application alone."""
    kept, hooks = Captured() if request.param != "ours, light" else Exported(), {}
    if request.param.startswith("ours"):
        # whoever initialised the instrumentation first in this process did so without the opt-in
        stability._initialized, stability._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING = False, {}
        instrumentation.instrument(kept.tracer_provider)
        made = command_spans(database=0, address="s", port=None, dropped=lost).start([("GET", "k")])
        assert isinstance(made, LightSpan) is isinstance(kept, Exported)
        made.finish(None)
        yield kept
        instrumentation.uninstrument()
        return
    if "hooks" in request.param:
        hooks = {
            "request_hook": lambda span, instance, args, kwargs: span.set_attribute("asked", len(args)),
            "response_hook": lambda span, instance, response: span.set_attribute("told", type(response).__name__),
        }
    RedisInstrumentor().instrument(tracer_provider=kept.tracer_provider, **hooks)
    yield kept
    RedisInstrumentor().uninstrument()


def compared(captured: Any, both: Callable[[], None]) -> dict[str, Any]:
    """The two spans that ``both`` made under one parent are the same; what they say."""
    captured.clear()
    tracer = trace.get_tracer("t", tracer_provider=captured.tracer_provider)
    with tracer.start_as_current_span("parent") as parent:
        both()
    theirs, mine, _ = captured.spans()
    assert told(mine) == told(theirs)
    assert told(mine)["parent"] == parent.get_span_context().span_id
    return told(mine)


@pytest.mark.parametrize("name", SINGLE)
def test_a_command_has_redis_pys_span(text: redis.Redis, instrumented: Any, spans: CommandSpans, name: str) -> None:
    """Name, kind, scope, attributes, status, events and parent are the instrumented path's, of errors too."""

    def both() -> None:
        outcome(lambda: by_redis_py(text, [SINGLE[name]], False))
        by_driver(spans, [SINGLE[name]], False, lambda: by_redis_py(text, [SINGLE[name]], False))

    compared(instrumented, both)


@pytest.mark.parametrize("raising", [True, False])
@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_has_redis_pys_span(
    text: redis.Redis, instrumented: Any, spans: CommandSpans, name: str, raising: bool
) -> None:
    """Likewise for pipelines, whether their errors are raised or handed back in the reply."""

    def both() -> None:
        outcome(lambda: by_redis_py(text, PIPELINES[name], True, raising))
        by_driver(spans, PIPELINES[name], True, lambda: by_redis_py(text, PIPELINES[name], True, raising))

    compared(instrumented, both)


def test_a_timeout_and_a_refused_connection_have_redis_pys_span(
    instrumented: Any, server_socket: str, tmp_path: Any
) -> None:
    """A server that is silent or absent is told in the same words."""
    for path, command in ((server_socket, ("BLPOP", CANARY, 1)), (str(tmp_path / "none"), ("GET", CANARY))):
        made = command_spans(database=0, address=path, port=None, dropped=lost)
        with redis.Redis(unix_socket_path=path, socket_timeout=0.02, retry=None) as client:

            def both(client: redis.Redis = client, command: Any = command, made: CommandSpans = made) -> None:
                outcome(lambda: by_redis_py(client, [command], False))
                by_driver(made, [command], False, lambda: by_redis_py(client, [command], False))

            said = compared(instrumented, both)
        assert said["status"][0] is trace.StatusCode.ERROR


def test_a_server_at_a_port_has_redis_pys_span(instrumented: Any) -> None:
    """Host and port are told as redis-py's connection has them."""
    made = command_spans(database=0, address="127.0.0.1", port=1, dropped=lost)
    with redis.Redis(host="127.0.0.1", port=1, retry=None) as client:

        def both() -> None:
            outcome(lambda: by_redis_py(client, [("GET", "k")], False))
            by_driver(made, [("GET", "k")], False, lambda: by_redis_py(client, [("GET", "k")], False))

        assert compared(instrumented, both)["attributes"]


def test_a_cancelled_command_is_no_failure(captured: Captured, spans: CommandSpans, server_socket: str) -> None:
    """A cancelled task's command says cancelled, without ERROR status, as redis-py's does."""

    async def cancelled() -> None:
        async with redis.asyncio.Redis(unix_socket_path=server_socket, db=3) as client:
            task = asyncio.create_task(client.execute_command("BLPOP", "k", 5))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(cancelled())
    (theirs,) = captured.spans("BLPOP")
    captured.clear()
    span = spans.start([("BLPOP", "k", 5)])
    assert span is not None
    span.finish(asyncio.CancelledError())
    (mine,) = captured.spans()
    assert told(mine) == told(theirs)
    assert mine.attributes and mine.attributes["error.type"] == "cancelled"


def test_no_span_where_redis_is_not_instrumented(spans: CommandSpans) -> None:
    """Without an instrumentation there is nothing to begin."""
    assert spans.start([("GET", "k")]) is None


def test_no_span_where_instrumentation_is_suppressed(captured: Captured, spans: CommandSpans) -> None:
    """What accounts for others is not observed."""
    with suppress_instrumentation():
        assert spans.start([("GET", "k")]) is None
    assert captured.spans() == []


def test_the_instrumentation_can_come_and_go(spans: CommandSpans) -> None:
    """What is in force at the moment of the command counts."""
    kept = Captured()
    for _ in range(2):
        instrumentation.instrument(kept.tracer_provider)
        span = spans.start([("GET", "k")])
        assert span is not None
        instrumentation.uninstrument()
        assert spans.start([("GET", "k")]) is None
        span.finish(None, b"v")
    assert [span.name for span in kept.spans()] == ["GET", "GET"]


def test_a_span_ends_in_another_context_than_it_began_in(
    captured: Captured, spans: CommandSpans, caplog: pytest.LogCaptureFixture
) -> None:
    """Commands of many tasks may be ended by one reader, and leave nobody's current span changed."""
    began = contextvars.copy_context()
    tracer = trace.get_tracer("t", tracer_provider=captured.tracer_provider)
    with tracer.start_as_current_span("parent"):
        parent = trace.get_current_span()
        span = spans.start([("GET", "k")])
        assert span is not None and trace.get_current_span() is parent
        began.run(span.finish, None, b"v")
        assert trace.get_current_span() is parent
    assert captured.tree() == ["parent", "  GET"]
    assert caplog.records == []


def test_the_callers_error_is_left_as_it_is(captured: Captured, spans: CommandSpans) -> None:
    """An error that is told to a span keeps its own traceback."""
    error = redis.ConnectionError("gone")
    span = spans.start([("GET", "k")])
    assert span is not None
    span.finish(error)
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)


def test_a_fault_of_the_telemetry_is_counted(server_socket: str) -> None:
    """A provider that raises costs the span and nothing else."""

    class Broken(trace.TracerProvider):
        def get_tracer(self, *_: Any, **__: Any) -> Any:
            return Unable()

    class Unable(trace.NoOpTracer):
        def start_as_current_span(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError

    said: list[str] = []
    instrumentation.instrument(Broken())
    try:
        made = command_spans(database=0, address=server_socket, port=None, dropped=lambda: said.append("dropped"))
        assert made.start([("GET", "k")]) is None
    finally:
        instrumentation.uninstrument()
    assert said == ["dropped"]
