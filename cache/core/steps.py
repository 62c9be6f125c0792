"""What an operation asks of the outside world: plain data that a runner carries out.

Operations are generators that yield these steps and are sent the answers, so one
text of every rule serves the sync and the async runner. Tuples, for they are made at every call.
No I/O here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cache.clock import Deadline

Arg = bytes | str | int
"""One argument of a Redis command."""


@dataclass(frozen=True, slots=True)
class Lua:
    """A server-side script, sent by digest and by text once when the server lacks it."""

    name: str
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


class Call(NamedTuple):
    """One Redis command; ``idempotent`` ones may be sent again after a broken connection."""

    args: tuple[Arg, ...]
    deadline: Deadline
    idempotent: bool = False


class Batch(NamedTuple):
    """Commands that travel together in one round trip, without a transaction."""

    commands: tuple[tuple[Arg, ...], ...]
    deadline: Deadline
    idempotent: bool = False


class RunScript(NamedTuple):
    """One script over its keys; atomic on the server."""

    script: Lua
    keys: Sequence[Arg]
    args: Sequence[Arg]
    deadline: Deadline
    idempotent: bool = False


StoreStep = Call | Batch | RunScript
"""A step that costs one round trip to the store; it answers or raises ``StoreError``."""

STORE_STEPS = frozenset((Call, Batch, RunScript))
"""The same, to be asked for a step's type."""


class Compute(NamedTuple):
    """Run the caller's computation; its error comes back unchanged."""

    call: Callable[[], Any]


class Wait(NamedTuple):
    """Wait until another caller's flight has landed, or for ``seconds`` at most; answers True when it has."""

    flight: Any
    seconds: float


class Pause(NamedTuple):
    """Let ``seconds`` pass (polling another process's flight)."""

    seconds: float


class Background(NamedTuple):
    """Carry out another operation beside this one; answers at once, and nobody waits for it.

    The answer is False when there is too much in the background already, and it will not be done.
    """

    operation: Callable[[], Any]


Step = StoreStep | Compute | Wait | Pause | Background
