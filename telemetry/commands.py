"""Spans of Redis commands that a driver of our own sends past redis-py's ``execute_command``.

Each command has the span that redis-py under the instrumentation would have made: exactly one, none
where Redis is not instrumented or instrumentation is suppressed. Whatever wraps redis-py's own entry
point (the instrumentation, our completion of it, an application's hooks) is run around a pause in
which the driver sends its command. OpenTelemetry API only; redis-py's classes are looked at, not used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from types import FunctionType, SimpleNamespace
from typing import Any, Protocol

from opentelemetry import context

from telemetry import quiet

ENTRY_POINTS = (("Redis", "execute_command"), ("Pipeline", "execute"))
"""What is wrapped of ``redis.asyncio.client`` for a command and for a pipeline."""


class CommandSpan(Protocol):
    """The span of one command or pipeline that is under way."""

    def finish(self, error: BaseException | None, reply: Any = None) -> None:
        """End it, once, in any thread, task or context; nothing is ever raised.

        Args:
            error: what the caller is given instead of a reply, as redis-py would raise it.
            reply: what the caller is given; a pipeline's list may hold errors.
        """


class CommandSpans(Protocol):
    """Makes the spans of one connection's commands."""

    def start(self, commands: Sequence[Sequence[Any]], pipeline: bool = False) -> CommandSpan | None:
        """Begin the span of a command, as a child of the current span; nothing is ever raised.

        Args:
            commands: one, or all of a pipeline, each as its arguments: ``[("GET", key)]``.
            pipeline: True for what redis-py would send by ``Pipeline.execute``, of a single command too.

        Returns:
            None when nothing is to be recorded.
        """


def command_spans(*, database: int, address: str, port: int | None, dropped: Callable[[], None]) -> CommandSpans:
    """Make the spans of the commands that go to one server.

    Args:
        database: its number.
        address: host, or path of the Unix socket.
        port: None for a Unix socket.
        dropped: called for each span that a fault of the telemetry cost.
    """
    where = {"path": address} if port is None else {"host": address, "port": port}
    return _WrappedSpans({"db": database, **where}, dropped)


class _WrappedSpans:
    """Spans by what wraps redis-py at the moment of each command."""

    __slots__ = ("_dropped", "_entries", "_server")

    def __init__(self, server: Mapping[str, Any], dropped: Callable[[], None]) -> None:
        self._server, self._dropped = server, dropped
        client = importlib.import_module("redis.asyncio.client")
        self._entries = tuple((vars(getattr(client, owner)), name) for owner, name in ENTRY_POINTS)

    def start(self, commands: Sequence[Sequence[Any]], pipeline: bool = False) -> CommandSpan | None:
        methods, name = self._entries[pipeline]
        entry = methods[name]
        if type(entry) is FunctionType or _suppressed():
            return None
        try:
            return _Around(entry, name, self._instance(commands, pipeline), commands, self._dropped)
        except Exception:
            self._dropped()
            return None

    def _instance(self, commands: Sequence[Sequence[Any]], pipeline: bool) -> Any:
        """What stands for redis-py's client: the parts of it that the instrumentation reads."""
        pool = SimpleNamespace(connection_kwargs=dict(self._server))
        if not pipeline:
            return SimpleNamespace(connection_pool=pool)
        return SimpleNamespace(connection_pool=pool, command_stack=[(tuple(args), {}) for args in commands])


def _suppressed() -> bool:
    current = context.get_current()
    return any(current.get(key) for key in quiet.KEYS)


class _Pause:
    """Gives control back until the reply is there."""

    def __await__(self) -> Any:
        return (yield)


class _Around:
    """An entry point's wrappers around one command, halted where redis-py would have sent it.

    They run in a context of their own, so that the end may come in another task or thread than the start.
    """

    __slots__ = ("_context", "_dropped", "_running")

    def __init__(
        self, entry: Any, name: str, instance: Any, commands: Sequence[Sequence[Any]], dropped: Callable[[], None]
    ) -> None:
        self._dropped = dropped
        self._context = copy_context()
        self._running = _layered(entry, name, instance)(*(() if name == "execute" else commands[0]))
        self._context.run(self._running.send, None)

    def finish(self, error: BaseException | None, reply: Any = None) -> None:
        where = error.__traceback__ if error is not None else None
        try:
            if error is None:
                self._context.run(self._running.send, reply)
            else:
                self._context.run(self._running.throw, error)
        except StopIteration:
            return
        except BaseException as raised:
            if raised is not error:
                self._dropped()
        finally:
            if error is not None:
                error.__traceback__ = where


def _layered(layer: Any, name: str, instance: Any) -> Any:
    """The wrappers from ``layer`` inwards, around a pause in place of redis-py's own function."""
    around = getattr(layer, "_self_wrapper", None)
    if around is None:
        return _PAUSES[name]
    inner = _layered(layer.__wrapped__, name, instance)

    def run(*args: Any, **kwargs: Any) -> Any:
        return around(inner, instance, args, kwargs)

    # our completion tells a pipeline by the name of what it wraps
    run.__name__ = name
    return run


async def execute_command(*_: Any, **__: Any) -> Any:
    """Stands for the method of that name."""
    return await _Pause()


async def execute(*_: Any, **__: Any) -> Any:
    """Stands for a pipeline's method of that name."""
    return await _Pause()


_PAUSES = {"execute_command": execute_command, "execute": execute}
