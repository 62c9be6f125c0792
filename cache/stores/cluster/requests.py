"""What goes to one server in one go, and what its replies belong to; the same for both twins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from cache.clock import Deadline
from cache.stores.cluster.words import Ask
from cache.stores.greeting import Identity, KnownScripts
from telemetry.commands import CommandSpan

_ASKING, _READING, _AS_EVER = ("ASKING",), ("READONLY",), ("READWRITE",)


class Known:
    """What is known of the server at a place.

    Attributes:
        identity: told the run id by each new connection.
        scripts: which it has.
    """

    def __init__(self) -> None:
        self.identity = Greeted()
        self.scripts = KnownScripts(self.identity)


class Greeted(Identity):
    """An identity that knows whether there ever was a greeting.

    Attributes:
        met: a server was greeted.
    """

    __slots__ = ("met",)

    def __init__(self) -> None:
        super().__init__()
        self.met = False

    def learn(self, info: Any) -> None:
        """Take the run id; the newest connection wins."""
        super().learn(info)
        self.met = True


Commands = list[tuple[Any, ...]]

WITHOUT = 0.5
"""Share of what is left of a call's deadline that a replica may take: its primary knows, if there is time to ask it."""


def until(asks: Sequence[Ask], deadline: Deadline) -> Deadline:
    """When a server must have answered."""
    return deadline.part(WITHOUT) if all(ask.spot.reading for ask in asks) else deadline


def commands_of(asks: Sequence[Ask], known: Known) -> tuple[Commands, list[int]]:
    """The commands as they are sent: scripts by digest where the server has them, or will have by then.

    Returns:
        The commands, and where among them each ask's own stands: others tell the server how to take those.
    """
    commands: Commands = []
    own: list[int] = []
    on_its_way: set[str] = set()
    reading = False
    for ask in asks:
        if ask.spot.reading is not reading:
            reading = ask.spot.reading
            commands.append(_READING if reading else _AS_EVER)
        if ask.spot.asking:
            commands.append(_ASKING)
        own.append(len(commands))
        script = ask.script
        if script is None:
            commands.append(ask.args)
        elif script.sha in on_its_way or known.scripts.has(script):
            commands.append(("EVALSHA", script.sha, *ask.args))
        else:
            on_its_way.add(script.sha)
            commands.append(("EVAL", script.text, *ask.args))
    if reading:
        # the connection serves others afterwards
        commands.append(_AS_EVER)
    return commands, own


def learn(asks: Sequence[Ask], commands: Commands, replies: Sequence[Any], known: Known) -> None:
    """Note which scripts the server has now.

    Args:
        commands: of the asks alone, as ``replies``.
    """
    for ask, command, reply in zip(asks, commands, replies, strict=True):
        if isinstance(reply, NoScriptError):
            known.scripts.forget()
        elif ask.script is not None and command[0] == "EVAL" and not isinstance(reply, Exception):
            known.scripts.learn(ask.script)


def finish(span: CommandSpan, replies: Sequence[Any]) -> None:
    """End the span of what went to one server: a single command's refusal is its own, a pipeline's is within it."""
    alone = replies[0] if len(replies) == 1 else None
    if isinstance(alone, Exception):
        span.finish(alone)
    else:
        span.finish(None, list(replies) if len(replies) > 1 else alone)
