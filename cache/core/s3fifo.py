"""S3-FIFO: three queues that decide what stays, without moving anything on a hit.

New items enter a small queue (a tenth of the bytes). What was asked for more than once there moves to
the main queue, the rest leaves and is remembered by a ghost; what the ghost remembers enters the main
queue at once. The main queue gives another round to what was asked for since.

Source: J. Yang, Y. Zhang, Z. Qiu, Y. Yue, K. V. Rashmi, "FIFO queues are all you need for cache
eviction", SOSP 2023, algorithm 1; here bounded by bytes, the ghost by a table of fingerprints
(section 4.2 of the paper).
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

GONE, SMALL, MAIN = 0, 1, 2
"""Where an item is."""

MOST_HITS = 3
"""A hit counter has two bits."""

PROMOTED_ABOVE = 1
"""Hits beyond which an item moves from the small to the main queue."""

_SMALL_SHARE = 10
_GHOST_BYTES = 512
_SHELLS = 1024
_SHELL_BYTES = 256


class Item(ABC):
    """Something that is kept under a name; hits are counted without a lock and may lose one.

    Args:
        name: what it is found by.
    """

    __slots__ = ("hits", "name", "place")

    def __init__(self, name: str) -> None:
        self.name, self.hits, self.place = name, 0, GONE

    @abstractmethod
    def size(self) -> int:
        """Bytes that it takes; always the same for one item."""

    @abstractmethod
    def empty(self) -> None:
        """Give back what it holds: a queue may keep the shell for a while."""


T = TypeVar("T", bound=Item)


class Ghost:
    """Remembers names that left, by fingerprints in a table: a newer one takes an older one's cell.

    Args:
        cells: how many, rounded up to a power of two; as many of the last departures count.
    """

    def __init__(self, cells: int) -> None:
        self._cells = 1 << max(4, (cells - 1).bit_length())
        self._view: memoryview[int] | None = None
        self._left = 1

    def add(self, name: str) -> None:
        """Remember a name that leaves."""
        if self._view is None:
            # not before the first departure: most tiers never fill
            self._view = memoryview(bytearray(8 * self._cells)).cast("Q")
        mark = zlib.crc32(name.encode("utf-8", "surrogateescape"))
        self._left += 1
        self._view[mark % self._cells] = (mark << 32) | (self._left & 0xFFFFFFFF)

    def take(self, name: str) -> bool:
        """True when the name left lately; it is forgotten then."""
        if self._view is None:
            return False
        mark = zlib.crc32(name.encode("utf-8", "surrogateescape"))
        cell = self._view[mark % self._cells]
        if not cell or cell >> 32 != mark or (self._left - cell) & 0xFFFFFFFF > self._cells:
            return False
        self._view[mark % self._cells] = 0
        return True

    def size(self) -> int:
        """Bytes of the table."""
        return 0 if self._view is None else 8 * self._cells


class S3Fifo(Generic[T]):
    """Items by name within a bound of bytes; changes are the caller's to serialise, ``index`` may be read freely.

    Args:
        max_bytes: bound over the items' sizes, the index, the queues and the ghost.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.ghost = Ghost(max_bytes // _GHOST_BYTES)
        self.index: dict[str, T] = {}
        self._small: deque[T] = deque()
        self._main: deque[T] = deque()
        self._bytes = [0, 0, 0]
        self._shells = 0

    def __len__(self) -> int:
        return len(self.index)

    @property
    def used(self) -> int:
        """Bytes in use, structures included."""
        structures = self.index.__sizeof__() + self._small.__sizeof__() + self._main.__sizeof__() + self.ghost.size()
        return self._bytes[SMALL] + self._bytes[MAIN] + self._shells * _SHELL_BYTES + structures

    def fits(self, item: T) -> bool:
        """False for an item that would push too much of the rest out."""
        return item.size() * _SMALL_SHARE <= self.max_bytes

    def put(self, item: T) -> None:
        """Take an item in, in place of one of its name; ``evict`` brings the bytes back under the bound."""
        before = self.index.get(item.name)
        if before is None:
            place = MAIN if self.ghost.take(item.name) else SMALL
        else:
            place, item.hits = before.place, max(item.hits, before.hits)
            self.remove(before)
        self.index[item.name] = item
        self._enter(item, place)

    def remove(self, item: T) -> None:
        """Let an item go; its shell leaves its queue later. One that is not kept is left alone."""
        if self.index.get(item.name) is not item:
            return
        del self.index[item.name]
        self._bytes[item.place] -= item.size()
        # in this order: a reader beside us that meets an emptied item sees that it is gone
        item.place = GONE
        item.empty()
        self._shells += 1
        if self._shells > _SHELLS + len(self.index):
            self._sweep()

    def evict(self) -> Iterator[T]:
        """Let items go until the bytes are within the bound; gives each."""
        while self.used > self.max_bytes and (self._small or self._main):
            gone = self._evict_small() if self._small_is_full() else self._evict_main()
            if gone is not None:
                yield gone

    def clear(self) -> int:
        """Let everything go at once; how many there were."""
        count = len(self.index)
        self.index, self._small, self._main = {}, deque(), deque()
        self._bytes, self._shells = [0, 0, 0], 0
        self.ghost = Ghost(self.max_bytes // _GHOST_BYTES)
        return count

    def _small_is_full(self) -> bool:
        return not self._main or self._bytes[SMALL] * _SMALL_SHARE >= self._bytes[SMALL] + self._bytes[MAIN]

    def _enter(self, item: T, place: int) -> None:
        item.place = place
        self._bytes[place] += item.size()
        (self._small if place == SMALL else self._main).append(item)

    def _evict_small(self) -> T | None:
        if not self._small:
            return self._evict_main()
        item = self._small.popleft()
        if item.place == GONE:
            self._shells -= 1
            return None
        self._bytes[SMALL] -= item.size()
        if item.hits > PROMOTED_ABOVE:
            item.hits = 0
            self._enter(item, MAIN)
            return None
        self.ghost.add(item.name)
        return self._gone(item)

    def _evict_main(self) -> T | None:
        if not self._main:
            return None
        item = self._main.popleft()
        if item.place == GONE:
            self._shells -= 1
            return None
        self._bytes[MAIN] -= item.size()
        if item.hits:
            item.hits -= 1
            self._enter(item, MAIN)
            return None
        return self._gone(item)

    def _gone(self, item: T) -> T:
        item.place = GONE
        del self.index[item.name]
        return item

    def _sweep(self) -> None:
        """Drop the shells; as often as there were removals for each item, so its share of each is constant."""
        self._small = deque(item for item in self._small if item.place != GONE)
        self._main = deque(item for item in self._main if item.place != GONE)
        self._shells = 0
