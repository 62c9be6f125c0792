"""Own writes: a push that our own write caused must not evict what was just written.

A push says that a key changed, not who changed it, and one push may stand for several changes. So nobody
guesses: what we wrote is set aside when its push comes, the server is asked which write stands under the key, on
the connection that brings the pushes, and the entry returns when it is ours. A change after that answer has a push
after it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from cache.core.entry import HEAD_SIZE
from cache.core.held import STAMP_AT, Held
from cache.core.steps import Arg

EXPECTED = 4096
"""Beyond so many writes whose push has not come the oldest is forgotten: its push evicts."""


class Question(NamedTuple):
    """What the listener asks the server for the tier.

    Args:
        commands: read commands, sent together.
        answered: told their replies, refusals as exceptions.
    """

    commands: tuple[tuple[Arg, ...], ...]
    answered: Callable[[list[Any]], None]


class OwnWrites:
    """What this process wrote and has not yet been heard of; changes are the tier's to serialise."""

    def __init__(self, limit: int = EXPECTED) -> None:
        self._limit = limit
        self._expected: OrderedDict[str, None] = OrderedDict()
        self._aside: dict[str, Held] = {}

    def expect(self, name: str) -> None:
        """A push for a key that we wrote will come."""
        self._expected[name] = None
        self._expected.move_to_end(name)
        if len(self._expected) > self._limit:
            self._expected.popitem(last=False)

    def expected(self, name: str) -> bool:
        """True when a push that comes now may be for what we wrote; the next one is not."""
        return self._expected.pop(name, self) is not self

    def set_aside(self, held: Held) -> bool:
        """Keep it from answering until the server was asked; False when there is no room for more."""
        if len(self._aside) >= self._limit:
            return False
        self._aside[held.name] = held
        return True

    def forget(self, name: str) -> Held | None:
        """The key was changed by ourselves once more, or may have been; gives what was set aside for it."""
        self._expected.pop(name, None)
        return self._aside.pop(name, None)

    def settle(self, held: Held) -> bool:
        """True once for each that was set aside and not forgotten since."""
        if self._aside.get(held.name) is not held:
            return False
        del self._aside[held.name]
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._expected.clear()
        self._aside.clear()


def which_write(name: str) -> tuple[tuple[Arg, ...], ...]:
    """Commands that tell one write of a key from another; their replies are compared with ``Held.stamp``."""
    return (("GETRANGE", name, STAMP_AT, HEAD_SIZE - 1), ("GETRANGE", name, -4, -1))
