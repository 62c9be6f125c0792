"""What goes to one server in one go, and what its replies belong to; the same for both twins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from cache.stores.cluster.words import Ask
from cache.stores.greeting import Identity, KnownScripts
from telemetry.commands import CommandSpan

_ASKING = ("ASKING",)


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


def commands_of(asks: Sequence[Ask], known: Known) -> list[tuple[Any, ...]]:
    """The commands as they are sent: scripts by digest where the server has them, or will have by then."""
    commands: list[tuple[Any, ...]] = []
    on_its_way: set[str] = set()
    for ask in asks:
        if ask.spot.asking:
            commands.append(_ASKING)
        script = ask.script
        if script is None:
            commands.append(ask.args)
        elif script.sha in on_its_way or known.scripts.has(script):
            commands.append(("EVALSHA", script.sha, *ask.args))
        else:
            on_its_way.add(script.sha)
            commands.append(("EVAL", script.text, *ask.args))
    return commands


def learn(asks: Sequence[Ask], commands: Sequence[Sequence[Any]], replies: Sequence[Any], known: Known) -> None:
    """Note which scripts the server has now."""
    answers = iter(_pairs(asks, commands, replies))
    for ask, (command, reply) in zip(asks, answers, strict=True):
        if isinstance(reply, NoScriptError):
            known.scripts.forget()
        elif ask.script is not None and command[0] == "EVAL" and not isinstance(reply, Exception):
            known.scripts.learn(ask.script)


def _pairs(
    asks: Sequence[Ask], commands: Sequence[Sequence[Any]], replies: Sequence[Any]
) -> list[tuple[Sequence[Any], Any]]:
    pairs = list(zip(commands, replies, strict=True))
    return pairs if len(pairs) == len(asks) else [pair for pair in pairs if pair[0] is not _ASKING]


def finish(span: CommandSpan, replies: Sequence[Any]) -> None:
    """End the span of what went to one server: a single command's refusal is its own, a pipeline's is within it."""
    alone = replies[0] if len(replies) == 1 else None
    if isinstance(alone, Exception):
        span.finish(alone)
    else:
        span.finish(None, list(replies) if len(replies) > 1 else alone)


def replies_to(asks: Sequence[Ask], replies: Sequence[Any]) -> list[Any]:
    """The reply to each ask, without those to what stood before it."""
    if len(asks) == len(replies):
        return list(replies)
    told, found = iter(replies), []
    for ask in asks:
        if ask.spot.asking:
            next(told)
        found.append(next(told))
    return found
