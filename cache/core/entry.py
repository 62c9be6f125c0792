"""The bytes of an entry: self-describing, bound to its key, checked before anything is believed.

    0   magic        2  (not UTF-8, so that text clients see at once that it is not theirs)
    2   version      1
    3   kind         1  0 entry, 1 tombstone
    4   own token   16  at a fixed place, in every version: the write script compares it
    20  codec        1
    21  flags        1  1 compressed, 2 signed
    22  digest      32  SHA-256 of namespace, category and key; the write script takes the block of ``seen`` from it
    54  created      8  seconds since the epoch
    62  expires      8  logical expiry
    70  cost         4  seconds the computation took
    74  tags         2  how many
    76  files        2  how many
    78  payload      4  length in bytes
    82  category's token 16  its name follows from the digest
    98  tags (name length 2, name, token)*, files, payload, seal

The seal is a CRC-32 over all before it, or HMAC-SHA256 with a signing key. Which of the two
is expected comes from the settings, never from the entry.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from cache.core import fingerprint
from cache.core.fingerprint import Fingerprint
from cache.core.generations import NO_TOKEN, TOKEN
from telemetry.vocabulary import MissReason

MAGIC = b"\xffg"
VERSION = 2
ENTRY, TOMBSTONE = 0, 1
COMPRESSED, SIGNED = 1, 2

PREFIX = MAGIC + bytes([VERSION])
"""What every record of this version begins with."""

_ENTRY_BEGINS = PREFIX + bytes([ENTRY])
_HEAD = struct.Struct(">2sBB16sBB32sddfHHI")
_UNPACK = _HEAD.unpack_from
_LENGTH = struct.Struct(">H")

HEAD_SIZE = _HEAD.size
"""Bytes before the category's token."""


class BadEntryError(Exception):
    """The bytes are no entry that can be believed.

    Args:
        reason: how the miss is counted: version, corrupt or collision.
    """

    def __init__(self, reason: MissReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Sealer:
    """Seals entries and checks seals.

    Args:
        key: signing key; empty for the checksum that finds accidents, not attackers.
        old: the key before it; empty: there was none.
        old_holds: whether what ``old`` sealed is still believed; nothing is sealed by it any more.
    """

    def __init__(self, key: bytes = b"", old: bytes = b"", old_holds: Callable[[], bool] = bool) -> None:
        self._key, self._old, self._old_holds = key, old, old_holds
        self.flag = SIGNED if key else 0
        self.size = 32 if key else 4

    def sealed(self, head: bytes, payload: bytes) -> bytes:
        """Both and the seal over them."""
        if self._key:
            return head + payload + self.seal(head + payload)
        return b"".join((head, payload, zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "big")))

    def seal(self, data: bytes) -> bytes:
        """The seal over ``data``."""
        if self._key:
            return hmac.digest(self._key, data, hashlib.sha256)
        return zlib.crc32(data).to_bytes(4, "big")

    def holds(self, raw: bytes) -> bool:
        """True when the seal at the end of ``raw`` fits what stands before it."""
        if self._key:
            body, seal = raw[: -self.size], raw[-self.size :]
            if hmac.compare_digest(self.seal(body), seal):
                return True
            if not self._old or not self._old_holds():
                return False
            return hmac.compare_digest(hmac.digest(self._old, body, hashlib.sha256), seal)
        return zlib.crc32(memoryview(raw)[:-4]) == int.from_bytes(raw[-4:], "big")


class Entry(NamedTuple):
    """An entry, taken apart. Times are seconds since the epoch; the category's scope is the first."""

    digest: bytes
    codec: int
    compressed: bool
    payload: bytes
    created: float
    expires: float
    cost_s: float
    scopes: tuple[tuple[str, bytes], ...]
    files: tuple[Fingerprint, ...] = ()
    own: bytes = NO_TOKEN

    def pack(self, sealer: Sealer) -> bytes:
        """The bytes to store."""
        scopes = b"".join([label(name) + token for name, token in self.scopes[1:]])
        return pack(self, self.scopes[0][1] + scopes, len(self.scopes), sealer)


def pack(item: Entry, scopes: bytes, count: int, sealer: Sealer) -> bytes:
    """The bytes of an entry whose scopes are known as bytes already.

    Args:
        item: its own ``scopes`` are not looked at.
        scopes: as an entry holds them.
        count: how many they are.
    """
    flags, payload, files = sealer.flag, item.payload, item.files
    head = _HEAD.pack(
        MAGIC, VERSION, ENTRY, item.own, item.codec, flags | COMPRESSED if item.compressed else flags, item.digest,
        item.created, item.expires, item.cost_s, count - 1, len(files), len(payload),
    )  # fmt: skip
    return sealer.sealed(head + scopes + fingerprint.pack(files) if files else head + scopes, payload)


def label(scope: str) -> bytes:
    """A tag's scope as an entry holds it before its token: the name's length, then its bytes."""
    name = scope.encode()
    return _LENGTH.pack(len(name)) + name


def parse(raw: bytes, digest: bytes, category: str, sealer: Sealer) -> Entry:
    """Take an entry apart after checking version, seal and the key it is bound to.

    Args:
        category: the scope of the key's category.

    Raises:
        BadEntryError: with the reason that the miss is counted under.
    """
    if raw[:3] != PREFIX or len(raw) < _HEAD.size + TOKEN + sealer.size or raw[3] != ENTRY:
        raise BadEntryError(MissReason.CORRUPT if raw[:3] == PREFIX else MissReason.VERSION)
    if (raw[21] & SIGNED) != sealer.flag or not sealer.holds(raw):
        raise BadEntryError(MissReason.CORRUPT)
    _, _, _, own, codec, flags, bound, created, expires, cost, tags, files, length = _HEAD.unpack_from(raw)
    if bound != digest:
        raise BadEntryError(MissReason.COLLISION)
    try:
        named, at = _tags(raw, tags)
        printed, used = fingerprint.unpack(raw[at:], files) if files else ((), 0)
    except (ValueError, UnicodeDecodeError, struct.error):
        raise BadEntryError(MissReason.CORRUPT) from None
    payload = raw[at + used : at + used + length]
    if at + used + length + sealer.size != len(raw):
        raise BadEntryError(MissReason.CORRUPT)
    scopes = ((category, raw[HEAD_SIZE : HEAD_SIZE + TOKEN]), *named)
    return Entry(bound, codec, bool(flags & COMPRESSED), payload, created, expires, cost, scopes, printed, own)


Opened = tuple[int, bool, bytes, float, float, float]
"""Codec, whether it is compressed, payload, created, expires, cost: what a hit needs of an entry."""


def open_one(data: bytes, digest: bytes, scopes: bytes, count: int, sealer: Sealer) -> Opened | None:
    """Open an entry that holds no files and was made under exactly these scopes and tokens.

    Args:
        scopes: the category's token, then names and tokens of the tags, as the entry holds them.
        count: how many scopes they are.

    Returns:
        None for any other entry, and for what ``parse`` would refuse.
    """
    size, at = sealer.size, _HEAD.size + len(scopes)
    if data[:4] != _ENTRY_BEGINS or len(data) < at + size:
        return None
    _, _, _, _, codec, flags, bound, created, expires, cost, tags, files, length = _UNPACK(data)
    same = bound == digest and tags + 1 == count and data.startswith(scopes, _HEAD.size)
    if not same or files or flags & SIGNED != sealer.flag or at + length + size != len(data):
        return None
    # the checksum is looked at here and not by another call: this is on the path of every hit
    if flags & SIGNED:
        held = sealer.holds(data)
    else:
        held = zlib.crc32(memoryview(data)[:-4]) == int.from_bytes(data[-4:], "big")
    if not held:
        return None
    return codec, flags & COMPRESSED != 0, data[at:-size], created, expires, cost


def _tags(raw: bytes, count: int) -> tuple[list[tuple[str, bytes]], int]:
    found, at = [], _HEAD.size + TOKEN
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(raw, at)
        name_end = at + 2 + length
        token = raw[name_end : name_end + TOKEN]
        if len(token) != TOKEN:
            raise ValueError("tags are cut short")
        found.append((raw[at + 2 : name_end].decode(), token))
        at = name_end + TOKEN
    return found, at


def tombstone(token: bytes) -> bytes:
    """The record that a delete leaves: it refuses writes that began before it."""
    return PREFIX + bytes([TOMBSTONE]) + token


def is_tombstone(raw: bytes) -> bool:
    """True when the key was deleted and nothing was written since."""
    return raw[:4] == PREFIX + bytes([TOMBSTONE]) and len(raw) == 4 + TOKEN


def own_token(raw: bytes | None) -> bytes:
    """The own token of whatever stands under a key, as the write script reads it: a record's of any version."""
    return raw[4:20] if raw is not None and raw[:2] == MAGIC and len(raw) >= 20 else NO_TOKEN
