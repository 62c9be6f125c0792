"""Held: an entry in this process; as few objects as will do, for there may be a million.

Its header and seal stay as Redis has them. The payload is decoded anew for each caller, unless its
value cannot be changed: then that is kept in place of the payload.
"""

from __future__ import annotations

import struct
from typing import Any

from cache.core import codecs
from cache.core.bonds import Scopes, Ties
from cache.core.entry import COMPRESSED, HEAD_SIZE, Entry
from cache.core.fingerprint import Fingerprint
from cache.core.lookup import MISS
from cache.core.s3fifo import Item

STAMP_AT = 54
"""Where an entry's times begin."""

DIGEST = slice(22, 54)
"""Where the digest stands that it is bound to."""

_SEAL = 4
EXPIRES_AT = 62
"""Where its logical expiry stands, as ``unpack_expiry`` reads it."""

unpack_expiry = struct.Struct(">d").unpack_from

_TIMES = struct.Struct(">ddf")
_BODY = HEAD_SIZE + _SEAL
_COLLECTED = 16
_ATOMS = (str, int, float, bool, type(None))
_FILE_BYTES = 400


class Held(Item):
    """An entry that is kept in the process; quacks like ``Entry`` where a hit is accounted for.

    Args:
        name: its Redis key.
        data: the entry's header, the end of its seal, and the payload unless ``value`` is kept.
        value: what every caller may share; ``MISS`` when the payload is decoded for each.
        ties: what it depends on.
    """

    __slots__ = ("data", "ties", "value")

    files: tuple[Fingerprint, ...] = ()

    def __init__(self, name: str, data: bytes, value: Any, ties: Ties) -> None:
        super().__init__(name)
        self.data, self.value, self.ties = data, value, ties

    def again(self) -> Held:
        """The same entry as another item, which can be taken in again."""
        fresh = (
            HeldWithFiles(self.name, self.data, self.value, self.ties, self.files)
            if self.files
            else Held(self.name, self.data, self.value, self.ties)
        )
        fresh.hits = self.hits
        return fresh

    @property
    def stamp(self) -> tuple[bytes, bytes]:
        """What tells this write from every other one: times, cost, lengths and the seal's end."""
        return self.data[STAMP_AT:HEAD_SIZE], self.data[HEAD_SIZE:_BODY]

    @property
    def created(self) -> float:
        """Seconds since the epoch."""
        return float(_TIMES.unpack_from(self.data, STAMP_AT)[0])

    @property
    def expires(self) -> float:
        """Logical expiry, seconds since the epoch."""
        return float(_TIMES.unpack_from(self.data, STAMP_AT)[1])

    @property
    def cost_s(self) -> float:
        """Seconds that its computation took."""
        return float(_TIMES.unpack_from(self.data, STAMP_AT)[2])

    @property
    def times(self) -> tuple[float, float, float]:
        """Created, expires, cost: all three at once."""
        return _TIMES.unpack_from(self.data, STAMP_AT)

    @property
    def codec(self) -> int:
        """The codec's number."""
        return self.data[20]

    @property
    def compressed(self) -> bool:
        """True when the payload is a zstd frame."""
        return bool(self.data[21] & COMPRESSED)

    @property
    def own(self) -> bytes:
        """The entry's own token."""
        return self.data[4:20]

    @property
    def payload(self) -> bytes:
        """The encoded value; empty when ``value`` is kept."""
        return self.data[_BODY:]

    @property
    def scopes(self) -> Scopes:
        """The scopes it was made under, with their tokens."""
        return self.ties.key

    def size(self) -> int:
        """Bytes in memory, as the allocator rounds them."""
        size = self.__sizeof__() + _COLLECTED + _rounded(self.name.__sizeof__()) + _rounded(self.data.__sizeof__())
        size += len(self.files) * _FILE_BYTES
        return size if self.value is MISS else size + _value_size(self.value)

    def empty(self) -> None:
        """Give the value back; a reader beside us may still ask for the header, and then sees that it is gone."""
        self.data, self.value = self.data[:_BODY], MISS


class HeldWithFiles(Held):
    """One whose value was made from files, which each hit looks at."""

    __slots__ = ("files",)

    def __init__(self, name: str, data: bytes, value: Any, ties: Ties, files: tuple[Fingerprint, ...]) -> None:
        super().__init__(name, data, value, ties)
        self.files = files


def hold(name: str, raw: bytes, entry: Entry, value: Any, ties: Ties) -> Held:
    """Keep an entry.

    Args:
        raw: its bytes, as Redis has them.
        entry: the same, taken apart.
        value: decoded, or ``MISS`` when nobody has decoded it.
    """
    kept = value if value is not MISS and (codecs.shared(entry.codec) or type(value) in _ATOMS) else MISS
    data = raw[:HEAD_SIZE] + raw[-_SEAL:]
    if kept is MISS:
        data += entry.payload
    return HeldWithFiles(name, data, kept, ties, entry.files) if entry.files else Held(name, data, kept, ties)


def _rounded(size: int) -> int:
    return (size + 15) & ~15


def _value_size(value: Any) -> int:
    """Bytes of a value that cannot be changed; an array's stand in the payload that it looks into."""
    if isinstance(value, tuple):
        return sum(map(_value_size, value)) + _rounded(value.__sizeof__() + _COLLECTED)
    under = int(getattr(value, "nbytes", 0))
    views = 2 if getattr(value, "ndim", 1) > 1 else 1
    return views * _rounded(value.__sizeof__()) + (_rounded(under + 33) if under else 0)
