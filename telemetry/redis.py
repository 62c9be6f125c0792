"""Switches ``opentelemetry-instrumentation-redis`` on and completes what it leaves out of the database convention.

Its hooks are not called when a command raises, nor before a pipeline. So each entry point of
redis-py is first wrapped by a wrapper of ours, and instrumented afterwards: ours then runs
inside the CLIENT span, on success and on failure, sync and async alike.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

import wrapt
from opentelemetry import trace
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.trace import Span, Status, StatusCode, TracerProvider

from telemetry.vocabulary import ErrorType

_ENTRY_POINTS = (
    ("redis.client", "Redis", ("execute_command",)),
    ("redis.client", "Pipeline", ("execute", "immediate_execute_command")),
    ("redis.cluster", "RedisCluster", ("execute_command",)),
    ("redis.cluster", "ClusterPipeline", ("execute",)),
    ("redis.asyncio.client", "Redis", ("execute_command",)),
    ("redis.asyncio.client", "Pipeline", ("execute", "immediate_execute_command")),
    ("redis.asyncio.cluster", "RedisCluster", ("execute_command",)),
    ("redis.asyncio.cluster", "ClusterPipeline", ("execute",)),
)
"""What the instrumentation wraps (0.66b2); the same, and before it."""

_SCOPE = "opentelemetry.instrumentation.redis"
_LONGEST_QUERY = 1024
_MARK = "_glasscache_completes"


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Make a CLIENT span of every Redis command, with the stable database convention complete.

    An instrumentation that is on already (by ``opentelemetry-instrument``) is taken off and put
    back on around our wrappers. Calling it again changes nothing.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "database,http")
    instrumentor = RedisInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        if getattr(instrumentor, _MARK, False):
            return
        instrumentor.uninstrument()
    for module, owner, methods in _ENTRY_POINTS:
        for method in methods:
            wrapt.wrap_function_wrapper(module, f"{owner}.{method}", _complete)
    instrumentor.instrument(tracer_provider=tracer_provider)
    setattr(instrumentor, _MARK, True)


def uninstrument() -> None:
    """Take the instrumentation and our wrappers off."""
    instrumentor = RedisInstrumentor()
    if not getattr(instrumentor, _MARK, False):
        return
    instrumentor.uninstrument()
    setattr(instrumentor, _MARK, False)
    for module, owner, methods in _ENTRY_POINTS:
        cls = getattr(__import__(module, fromlist=[owner]), owner)
        for method in methods:
            wrapped = cls.__dict__.get(method)
            if hasattr(wrapped, "__wrapped__"):
                setattr(cls, method, wrapped.__wrapped__)


def _complete(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    span = trace.get_current_span()
    scope = getattr(span, "instrumentation_scope", None)
    if scope is None or scope.name != _SCOPE or not span.is_recording():
        return wrapped(*args, **kwargs)
    commands = _commands(instance, args)
    _begin(span, instance, commands)
    try:
        result = wrapped(*args, **kwargs)
    except Exception as error:
        _fail(span, error)
        raise
    return _await(span, result, commands) if inspect.isawaitable(result) else _succeed(span, result, commands)


async def _await(span: Span, result: Any, commands: Sequence[str]) -> Any:
    try:
        answer = await result
    except Exception as error:
        _fail(span, error)
        raise
    return _succeed(span, answer, commands)


def _commands(instance: Any, args: tuple[Any, ...]) -> list[str]:
    """The command's name, or the names of a pipeline's."""
    if args and isinstance(args[0], str | bytes):
        return [_word(args[0])]
    stack = getattr(instance, "command_stack", None) or getattr(instance, "command_queue", None) or ()
    return [_word(_first(item)) for item in stack]


def _first(item: Any) -> Any:
    arguments = item[0] if isinstance(item, tuple) else getattr(item, "args", ("?",))
    return arguments[0] if arguments else "?"


def _word(name: str | bytes) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)


def _is_pipeline(instance: Any) -> bool:
    return "Pipeline" in type(instance).__name__


def _begin(span: Span, instance: Any, commands: list[str]) -> None:
    operation = commands[0] if commands else "PIPELINE"
    if _is_pipeline(instance) and len(commands) != 1:
        same = len(set(commands)) == 1
        operation = f"PIPELINE {commands[0]}" if same else "PIPELINE"
        span.set_attribute("db.operation.batch.size", len(commands))
        query = getattr(span, "attributes", {}).get("db.query.text", "")
        span.set_attribute("db.query.text", "; ".join(query.splitlines())[:_LONGEST_QUERY])
    span.update_name(operation)
    span.set_attribute("db.operation.name", operation)
    database = getattr(instance, "connection_pool", None)
    number = getattr(database, "connection_kwargs", {}).get("db") if database is not None else None
    span.set_attribute("db.namespace", str(number or 0))
    # what the instrumentation records of an exception holds its message, and a message may hold arguments
    span.record_exception = functools.partial(_record_class, span)  # type: ignore[method-assign]
    span.set_status = functools.partial(_set_bare_status, type(span).set_status, span)  # type: ignore[method-assign]


def _record_class(span: Span, error: BaseException, *_: Any, **__: Any) -> None:
    span.add_event("exception", {"exception.type": f"{type(error).__module__}.{type(error).__qualname__}"})


def _set_bare_status(set_status: Callable[..., None], span: Span, status: Status | StatusCode, *_: Any) -> None:
    set_status(span, Status(status.status_code if isinstance(status, Status) else status))


def _succeed(span: Span, result: Any, commands: Sequence[str]) -> Any:
    """A pipeline's reply may hold errors that nobody raised."""
    if len(commands) != 1 and isinstance(result, list):
        failed = next((item for item in result if isinstance(item, Exception)), None)
        if failed is not None:
            _fail(span, failed)
    return result


def _fail(span: Span, error: Exception) -> None:
    span.set_attribute("error.type", _kind(error))
    prefix = _prefix(error)
    if prefix:
        span.set_attribute("db.response.status_code", prefix)


def _kind(error: Exception) -> str:
    """``timeout`` or the error's class: low in cardinality, nothing of its text."""
    return ErrorType.TIMEOUT.value if "Timeout" in type(error).__name__ else type(error).__qualname__


_PREFIXES = {
    "ReadOnlyError": "READONLY",
    "NoScriptError": "NOSCRIPT",
    "BusyLoadingError": "LOADING",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "AuthenticationError": "WRONGPASS",
}
"""redis-py strips the prefix of the errors that it has classes for."""


def _prefix(error: Exception) -> str:
    """The error reply's first word: WRONGTYPE, NOPERM and the like."""
    known = _PREFIXES.get(type(error).__name__)
    if known is not None:
        return known
    if type(error).__name__ != "ResponseError":
        return ""
    # redis-py puts a pipeline's command, arguments and all, before the server's own words
    word = str(error).rpartition("caused error: ")[2].partition(" ")[0]
    return word if word.isascii() and word.isalpha() and word.isupper() and len(word) <= 16 else "ERR"
