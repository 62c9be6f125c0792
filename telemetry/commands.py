"""Spans of Redis commands that a driver of our own sends past redis-py's ``execute_command``.

Each command has the span that redis-py under the instrumentation would have made: exactly one, none
where Redis is not instrumented or instrumentation is suppressed. Under our own set-up it is a light
one that says the same. Otherwise whatever wraps redis-py's entry point (the instrumentation, our
completion of it, an application's hooks) is run around the command. OpenTelemetry API only; redis-py's
classes are looked at, not used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from types import FunctionType
from typing import Any, Protocol

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from telemetry import quiet, redis_endings
from telemetry.current import KEY
from telemetry.light import Ids, LightSpan, Told, Undecided, Workshop
from telemetry.light_tracer import LightTracer
from telemetry.redis_endings import Ending
from telemetry.wrapped import Around, light_tracer, stand_in

ENTRY_POINTS = (("Redis", "execute_command"), ("Pipeline", "execute"))
"""What is wrapped of ``redis.asyncio.client`` for a command and for a pipeline."""

MOST_BEGINNINGS = 512
"""Shapes of commands whose name and attributes are kept; others are worked out each time."""

_CLIENT = SpanKind.CLIENT
_FIRST, _SECOND = quiet.KEYS


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

    def afterwards(self) -> bool:
        """True when a command's span may be made after its reply: it will be a light one, or there is none."""

    def ended(self, command: Sequence[Any], current: Context, above: Any, started_ns: int, ended_ns: int) -> None:
        """Hand on the span of a command that was answered, while nothing ran that could look at it.

        Args:
            current: the context that it was sent in.
            above: its parent, which is not current.
            started_ns: nanoseconds since the epoch, as ``ended_ns``.
        """

    def tell(
        self, command: Sequence[Any], sent_s: float, heard_s: float, error: BaseException | None, reply: Any
    ) -> None:
        """Make the span of a command that has ended, as a child of the current span.

        Args:
            sent_s: how many seconds ago it went out.
            heard_s: how many seconds ago it ended.
            error, reply: as ``CommandSpan.finish``.
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
    return _Spans({"db": database, **where}, dropped)


class _Spans:
    """Spans by what wraps redis-py at the moment of each command.

    Args:
        server: the keywords of redis-py's connection.
    """

    __slots__ = ("_beginnings", "_dropped", "_entries", "_methods", "_seen", "_server", "_workshops")

    def __init__(self, server: Mapping[str, Any], dropped: Callable[[], None]) -> None:
        self._server, self._dropped = server, dropped
        client = importlib.import_module("redis.asyncio.client")
        self._entries = tuple((vars(getattr(client, owner)), name) for owner, name in ENTRY_POINTS)
        self._seen: list[Any] = [None, None]
        self._workshops: list[Workshop | None] = [None, None]
        self._beginnings: dict[Any, Told] = {}

    def start(self, commands: Sequence[Sequence[Any]], pipeline: bool = False) -> CommandSpan | None:
        methods, name = self._entries[pipeline]
        entry = methods[name]
        if type(entry) is FunctionType:
            return None
        try:
            if entry is not self._seen[pipeline]:
                self._look(entry, pipeline)
            workshop = self._workshops[pipeline]
            if workshop is not None and workshop.light:
                current = workshop.variable.get()
                if current.get(_FIRST) or current.get(_SECOND):
                    return None
                parent = current.get(KEY)
                ids = workshop.leaf(parent)
                # a tuple, or nothing that would be recorded
                return self._light(workshop, ids, parent, commands, pipeline) if type(ids) is tuple else None
        except Undecided:
            pass
        except Exception:
            self._dropped()
            return None
        return self._around(entry, name, commands, pipeline)

    def afterwards(self) -> bool:
        methods, name = self._entries[0]
        entry = methods[name]
        if type(entry) is FunctionType:
            return True
        workshop = self._workshops[0]
        return entry is self._seen[0] and workshop is not None and workshop.light

    def ended(self, command: Sequence[Any], current: Context, above: Any, started_ns: int, ended_ns: int) -> None:
        workshop = self._workshops[0]
        methods, name = self._entries[0]
        if workshop is None or type(methods[name]) is FunctionType or current.get(_FIRST) or current.get(_SECOND):
            return
        try:
            ids = workshop.leaf(above)
            if type(ids) is tuple:
                span = self._light(workshop, ids, above, (command,), False)
                span.started_ns = started_ns
                if not span.close(ended_ns):
                    span.real().end(ended_ns)
        except Exception:
            self._dropped()

    def tell(
        self, command: Sequence[Any], sent_s: float, heard_s: float, error: BaseException | None, reply: Any
    ) -> None:
        span = self.start((command,))
        if isinstance(span, LightCommand):
            span.started_ns -= int(sent_s * 1e9)
            span.finish(error, reply, int(heard_s * 1e9))
        elif span is not None:
            span.finish(error, reply)

    def _light(
        self, workshop: Workshop, ids: Ids, parent: Any, commands: Sequence[Sequence[Any]], pipeline: bool
    ) -> LightCommand:
        span = LightCommand(workshop, ids, parent, _CLIENT)
        span.begun, span.dropped = self._begun(commands, pipeline), self._dropped
        if pipeline:
            span.pipeline = True
        return span

    def _look(self, entry: Any, pipeline: bool) -> None:
        """Find out whether the commands' spans can be light."""
        tracer = light_tracer(entry)
        self._workshops[pipeline] = tracer.workshop if isinstance(tracer, LightTracer) else None
        self._seen[pipeline] = entry

    def _around(self, entry: Any, name: str, commands: Sequence[Sequence[Any]], pipeline: bool) -> CommandSpan | None:
        try:
            current = context.get_current()
            if current.get(_FIRST) or current.get(_SECOND):
                return None
            instance = stand_in(self._server, commands if pipeline else None)
            return Around(entry, name, instance, () if pipeline else tuple(commands[0]), self._dropped)
        except Exception:
            self._dropped()
            return None

    def _begun(self, commands: Sequence[Sequence[Any]], pipeline: bool) -> Told:
        """Name and attributes at the start; the same for all commands of one name and number of arguments."""
        if pipeline:
            shape: Any = tuple([(args[0], len(args)) for args in commands]) if len(commands) <= 8 else None
        else:
            shape = (commands[0][0], len(commands[0]))
        found = self._beginnings.get(shape)
        if found is None:
            found = self._made(commands, pipeline)
            if shape is not None and len(self._beginnings) < MOST_BEGINNINGS:
                found = self._beginnings[shape] = found._replace(lasting=True)
        return found

    def _made(self, commands: Sequence[Sequence[Any]], pipeline: bool) -> Told:
        server = self._server
        name, attributes = redis_endings.beginning(commands, str(server["db"]), pipeline=pipeline)
        if pipeline:
            attributes["db.redis.pipeline_length"] = len(commands)
        else:
            attributes["db.redis.args_length"] = len(commands[0])
        if "path" in server:
            attributes |= {"server.address": server["path"], "network.transport": "unix"}
        else:
            attributes |= {"server.address": server["host"], "network.transport": "tcp", "server.port": server["port"]}
        return Told(name, attributes)


class LightCommand(LightSpan):
    """The light span of a command."""

    begun: Told
    ending: Ending | None = None
    pipeline = False
    dropped: Callable[[], None]

    def told(self) -> Told:
        begun, ending = self.begun, self.ending
        if ending is None or not self.ended_ns:
            return begun
        attributes = {**begun.attributes, **ending.attributes()}
        if not ending.exception:
            return Told(begun.name, attributes)
        status = Status(StatusCode.ERROR, ending.error_type)
        return Told(begun.name, attributes, status, [("exception", {"exception.type": ending.exception})])

    def finish(self, error: BaseException | None, reply: Any = None, ago_ns: int = 0) -> None:
        """End it; see ``CommandSpan``. ``ago_ns``: how long ago it ended, nanoseconds."""
        try:
            if error is not None or self.pipeline:
                self.ending = redis_endings.ending(error, reply, pipeline=self.pipeline)
            ended_ns = time_ns() - ago_ns
            if not self.close(ended_ns):
                span = self.real()
                if self.ending is not None:
                    self.ending.tell(span)
                span.end(ended_ns)
        except Exception:
            self.dropped()
