"""Touches: which keys changed lately, so that what was read before a change is not kept after it.

A look takes a ticket before it asks the store. What it brings back is kept only when nobody touched
the key since: a push or a change of our own that came in between may be newer than the answer.
"""

from __future__ import annotations

from collections import OrderedDict

REMEMBERED = 8192
"""Beyond so many keys the oldest is forgotten, and tickets from before its touch count as overtaken."""


class Touches:
    """The keys that were touched, in order; changes are the tier's to serialise.

    Attributes:
        now: the ticket of a look that begins now.
    """

    def __init__(self, limit: int = REMEMBERED) -> None:
        self.now = 0
        self._floor = 0
        self._limit = limit
        self._last: OrderedDict[str, int] = OrderedDict()

    def touch(self, name: str) -> None:
        """A key (its Redis name) changed, or may have."""
        self.now += 1
        self._last[name] = self.now
        self._last.move_to_end(name)
        if len(self._last) > self._limit:
            _, self._floor = self._last.popitem(last=False)

    def touch_all(self) -> None:
        """Every key may have changed."""
        self.now += 1
        self._floor = self.now
        self._last.clear()

    def since(self, name: str, ticket: int) -> bool:
        """True when the key was touched after the ticket was taken, or nobody knows any more."""
        return ticket < self._floor or self._last.get(name, 0) > ticket
