"""Switches ``opentelemetry-instrumentation-redis`` on and completes what it leaves out of the database convention.

Its hooks are not called when a command raises, nor before a pipeline. So each entry point of
redis-py is first wrapped by a wrapper of ours, and instrumented afterwards: ours then runs inside
the CLIENT span, on success and on failure, sync and async alike. Nothing raw gets into a span:
no key, no value, no text of an exception. Imports the API and the instrumentation, never the SDK.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, Tracer, TracerProvider

from telemetry import redis_endings
from telemetry import redis_words as words

ENTRY_POINTS = (
    ("redis.client", "Redis", "execute_command"),
    ("redis.client", "Pipeline", "execute"),
    ("redis.client", "Pipeline", "immediate_execute_command"),
    ("redis.cluster", "RedisCluster", "execute_command"),
    ("redis.cluster", "ClusterPipeline", "execute"),
    ("redis.asyncio.client", "Redis", "execute_command"),
    ("redis.asyncio.client", "Pipeline", "execute"),
    ("redis.asyncio.client", "Pipeline", "immediate_execute_command"),
    ("redis.asyncio.cluster", "RedisCluster", "execute_command"),
    ("redis.asyncio.cluster", "ClusterPipeline", "execute"),
)
"""What the instrumentation wraps (0.66b2): module, class, method."""

OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Make a CLIENT span of every Redis command, with the stable database convention complete.

    An instrumentation that is on already (by ``opentelemetry-instrument``) is taken off and put
    back on around our wrappers; hooks that an application had given it are not kept. Calling it
    again changes nothing.

    Args:
        tracer_provider: where the spans go; None takes the global one, set now or later.

    Example:
        >>> instrument()
        >>> uninstrument()
    """
    if _is_ours():
        return
    os.environ.setdefault(OPT_IN, "database,http")
    instrumentor = RedisInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    for module, owner, method in ENTRY_POINTS:
        wrapt.wrap_function_wrapper(module, f"{owner}.{method}", _complete)
    instrumentor.instrument(tracer_provider=_QuietProvider(tracer_provider or trace.get_tracer_provider()))


def uninstrument() -> None:
    """Take the instrumentation and our wrappers off; redis-py is then as it was."""
    if not _is_ours():
        return
    instrumentor = RedisInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    for module, owner, method in ENTRY_POINTS:
        cls = getattr(importlib.import_module(module), owner)
        if _completes(vars(cls)[method]):
            setattr(cls, method, vars(cls)[method].__wrapped__)


def _is_ours() -> bool:
    """True while our wrapper is somewhere below the first entry point; redis-py itself holds the state."""
    module, owner, method = ENTRY_POINTS[0]
    layer = vars(getattr(importlib.import_module(module), owner))[method]
    while layer is not None and not _completes(layer):
        layer = getattr(layer, "__wrapped__", None)
    return layer is not None


def _completes(layer: Any) -> bool:
    return hasattr(getattr(layer, "_self_wrapper", None), redis_endings.COMPLETES)


class _QuietProvider(TracerProvider):
    """A provider whose tracers record no exception: message and stack trace may hold arguments."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        return _QuietTracer(self._provider.get_tracer(*args, **kwargs))


class _QuietTracer(Tracer):
    """The tracer that the instrumentation is given; ``_end`` says what there is to say of a failure."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> Span:
        return self.tracer.start_span(name, context, *args, **kwargs)

    # an API tracer is a generator function there; what it gives back is a context manager all the same
    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any:
        quiet = {**kwargs, "record_exception": False, "set_status_on_exception": False}
        return self.tracer.start_as_current_span(words.bounded_name(name), *args, **quiet)


def _complete(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run the wrapped entry point and complete the CLIENT span around it."""
    span = trace.get_current_span()
    if not _is_redis_span(span):
        return wrapped(*args, **kwargs)
    pipeline = getattr(wrapped, "__name__", "") == "execute"
    _begin(span, instance, words.commands(instance) if pipeline else [args], pipeline=pipeline)
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        _end(span, error)
        raise
    if inspect.isawaitable(result):
        return _await(span, result, pipeline=pipeline)
    return _end(span, None, result, pipeline=pipeline)


setattr(_complete, redis_endings.COMPLETES, True)


async def _await(span: Span, result: Any, *, pipeline: bool) -> Any:
    try:
        answer = await result
    except BaseException as error:
        _end(span, error)
        raise
    return _end(span, None, answer, pipeline=pipeline)


def _is_redis_span(span: Span) -> bool:
    """True inside a recording span of the instrumentation; never for an application's own span."""
    scope = getattr(span, "instrumentation_scope", None)
    return (
        scope is not None and scope.name == redis_endings.SCOPE and span.is_recording() and is_instrumentation_enabled()
    )


def _begin(span: Span, instance: Any, commands: list[tuple[Any, ...]], *, pipeline: bool) -> None:
    operation, attributes = redis_endings.beginning(commands, _database(instance), pipeline=pipeline)
    span.set_attributes(attributes | _legacy_to_stable(span, attributes["db.query.text"]))
    span.update_name(operation)


def _legacy_to_stable(span: Span, query_text: Any) -> dict[str, Any]:
    """What an instrumentation initialised without the opt-in wrote under older names, under today's too."""
    old = getattr(span, "attributes", None) or {}
    if "db.statement" not in old:
        return {}
    renamed = (("net.peer.name", "server.address"), ("net.peer.port", "server.port"))
    return {"db.statement": query_text} | {now: old[before] for before, now in renamed if before in old}


def _database(instance: Any) -> str:
    pool = getattr(instance, "connection_pool", None)
    return str(getattr(pool, "connection_kwargs", {}).get("db") or 0)


def _end(span: Span, error: BaseException | None, result: Any = None, *, pipeline: bool = False) -> Any:
    ending = redis_endings.ending(error, result, pipeline=pipeline)
    if ending is not None:
        ending.tell(span)
    return result
