"""What is true of the origin: versions, floors and computations, in memory that several processes share.

One writer changes the versions. A floor says: who asks from now on must not get anything older. Floors are raised
where an invalidation is known to be done: for everybody when the store took it, else for its own process alone.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

KEYS = 48
SLOTS = 16
"""Processes that may ask."""

UNSURE = 4
"""Versions of a key that are remembered as written without an answer."""

_WORDS = KEYS * (2 + 2 * SLOTS + UNSURE)


class Truth:
    """The origin's ledger.

    Args:
        path: of the shared file; made when it is not there.
        slot: which of the processes this is, 0..15.
    """

    def __init__(self, path: Path, slot: int = 0) -> None:
        if not path.exists():
            path.write_bytes(bytes(8 * _WORDS))
        descriptor = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(descriptor, 8 * _WORDS)
        os.close(descriptor)
        # one aligned word at a time: neither threads nor processes see half of one
        self._words = memoryview(self._map).cast("q")
        self.slot = slot

    def version(self, key: int) -> int:
        """The version that is true now."""
        return self._words[key]

    def change(self, key: int) -> int:
        """Make a new version true; before it is invalidated."""
        self._words[key] += 1
        return self._words[key]

    def floor(self, key: int) -> int:
        """The oldest version that an answer to a question of now may have."""
        return max(self._words[KEYS + key], self._words[KEYS * (2 + self.slot) + key])

    def raise_floor(self, key: int, version: int, *, everywhere: bool) -> None:
        """The invalidation is done: in this process, or everywhere."""
        at = KEYS * (2 + self.slot) + key
        self._words[at] = max(self._words[at], version)
        if everywhere:
            self._words[KEYS + key] = max(self._words[KEYS + key], version)

    def compute(self, key: int) -> dict[str, int]:
        """What the origin answers; counted."""
        self._words[KEYS * (2 + SLOTS + self.slot) + key] += 1
        return {"key": key, "version": self.version(key)}

    def computed(self) -> int:
        """How often the origin was asked, by all processes."""
        return sum(self._words[KEYS * (2 + SLOTS) : KEYS * (2 + 2 * SLOTS)])

    def unsure(self, key: int, version: int) -> None:
        """A write of this version had no answer: it may still arrive, at any time."""
        at = KEYS * (2 + 2 * SLOTS) + UNSURE * key
        self._words[at + version % UNSURE] = version

    def is_unsure(self, key: int, version: int) -> bool:
        """Whether a write of this version had no answer."""
        at = KEYS * (2 + 2 * SLOTS) + UNSURE * key
        return version > 0 and self._words[at + version % UNSURE] == version

    def legal(self, key: int, lowest: int, value: object) -> bool:
        """Whether an answer may stand: of this key, not below the floor at the question, and true at some time."""
        if not isinstance(value, dict) or value.get("key") != key:
            return False
        return lowest <= value["version"] <= self.version(key)
