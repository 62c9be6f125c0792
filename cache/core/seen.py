"""Tells a key that was never written from one that is gone, and why it is gone: a table of fingerprints in Redis.

Each category has 128 blocks; a key's digest picks one, and 16 other bits of it are its fingerprint there. Its slot
holds when its entry expires and eight bits each of the category's token, of the tags' names and of the tags' tokens
that the entry was made under. A lookup fetches the block in the MGET it makes anyway, a write fills the slot inside its
script: no round trip, and every process of the fleet reads what any of them wrote. An absent key is

- ``cold`` when it has no slot, in a block that has held every write since its doubt was over;
- ``invalidated`` when a scope has another token now, or a pattern's sweep said so in the slot;
- ``expired`` when its time is over, for Redis drops it only later; so what expired never looks evicted;
- ``evicted`` otherwise: the server let it go before its time (or a stranger deleted it), and more memory would have
  made this a hit;
- ``unknown`` where its block was lost, or had to forget a slot whose time was not over, and nobody here knows (see
  ``copies``).

A block holds 256 slots, so a category 32,768 keys in at most 300 KB. In a full block a new key takes the slot that
expires first of eight neighbours: what is over makes room, so that the table rotates with expiry. One that forgets a
living slot, or is begun again after it was lost, is in doubt until all that it forgot has expired, and says so.

With n slots in its block a new key has another one's fingerprint with probability n / 65,536: 0.15 % at 13,000 keys of
a category, 0.4 % when full. A change of a token is overlooked once in 256.

Source: B. Fan, D. Andersen, M. Kaminsky, M. Mitzenmacher, "Cuckoo Filter: Practically Better Than Bloom", 2014 (a
fingerprint in place of a key, section 3; its error rate, section 5); F. Putze, P. Sanders, J. Singler, "Cache-, Hash-
and Space-Efficient Bloom Filters", 2007 (one block for each key); K. Psounis, B. Prabhakar, "Efficient Randomized
Web-Cache Replacement Schemes Using Samples From Past Eviction Times", 2002 (the best of a small sample gives way).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from zlib import crc32

from cache.core.generations import TOKEN, CategoryRecord
from cache.core.marks import CODES, Cause, why_changed
from telemetry.vocabulary import MissReason, MissTrigger

BLOCKS = 128
"""Blocks of a category; the first seven bits of the digest pick one. Fewer would be larger in each answer, more would
be asked for so seldom that a server short of memory evicts them before the entries that they tell of."""

SLOTS = 256
"""Most slots of a block."""

HEADER = 12
"""Bytes before a block's slots: until when it is in doubt, and the category's birth."""

FINGERPRINT = 2
"""Bytes of the digest, after the one that picks the block, that tell keys of a block apart."""

_SLOT = struct.Struct(">2sBBBI")

SLOT = _SLOT.size
"""Bytes of a slot: fingerprint, category's token, tags' names, tags' tokens, expiry."""

TICKS = 4
"""Ticks of the table's clock in a second, from ``EPOCH`` on; times are rounded down."""

EPOCH = 1_577_836_800
"""2020-01-01 in seconds since the epoch: 32 bits of ticks reach to 2054."""

_FIRST, _LAST = 16, (1 << 32) - 1
"""Ticks that are times; lower ones are the marks of what was swept."""

_COLD: Cause = (MissReason.COLD, None)
_EXPIRED: Cause = (MissReason.EXPIRED, None)
_EVICTED: Cause = (MissReason.EVICTED, None)
_UNKNOWN: Cause = (MissReason.UNKNOWN, None)


def block_of(digest: bytes) -> int:
    """Number of the block that a key falls into, 0..127."""
    return digest[0] >> 1


def fingerprint_of(digest: bytes) -> bytes:
    """What tells a key from the others of its block."""
    return digest[1 : 1 + FINGERPRINT]


def begun(record: CategoryRecord, number: int) -> bool:
    """Whether a block was ever begun; one that was not proves that none of its keys was written."""
    return bool(record.begun[number >> 3] & (0x80 >> (number & 7)))


def tick(seconds: float) -> int:
    """A time (seconds since the epoch) on the table's clock."""
    return min(_LAST, max(_FIRST, int((seconds - EPOCH) * TICKS)))


def is_whole(block: bytes) -> bool:
    """Whether a block consists of a head and slots."""
    return HEADER <= len(block) <= HEADER + SLOTS * SLOT and (len(block) - HEADER) % SLOT == 0


def doubtful(block: bytes, now: float) -> bool:
    """Whether a block may have forgotten what is not over yet; ``now``: seconds since the epoch."""
    return int.from_bytes(block[:4], "big") > tick(now)


def slot(digest: bytes, scopes: tuple[str, ...], tokens: Sequence[bytes], expires: float) -> bytes:
    """What a write leaves in the table.

    Args:
        scopes: that the entry is made under, the category's first.
        tokens: of these scopes; of a tag's the last 16 bytes count.
        expires: of the entry, seconds since the epoch.
    """
    tags = tokens[1 : len(scopes)]
    mixed = _mixed([token[-TOKEN] for token in tags]) if tags else 0
    return _SLOT.pack(fingerprint_of(digest), tokens[0][0], _names(scopes), mixed, tick(expires))


def swept(trigger: MissTrigger) -> bytes:
    """What stands in a slot in the place of the expiry when its entry was removed by an invalidation."""
    code = next(code for code, named in CODES.items() if named is trigger)
    return code.to_bytes(4, "big")


def why_absent(
    digest: bytes,
    asked: Sequence[tuple[str, ...]],
    record: CategoryRecord,
    tokens: Mapping[str, bytes | None],
    block: bytes | None,
    now: float,
) -> Cause:
    """Why an absent entry is absent.

    Args:
        digest: the key's digest, 32 bytes.
        asked: the scopes that its entry may have had, likeliest first.
        record: the category's generation record.
        tokens: what all those scopes have now.
        block: the bytes of the key's block, None when Redis has none.
        now: seconds since the epoch.
    """
    if not isinstance(block, bytes) or block[4:HEADER] != record.birth:
        return _UNKNOWN if begun(record, block_of(digest)) else _COLD
    if not is_whole(block):
        return _UNKNOWN
    at = block.find(fingerprint_of(digest), HEADER)
    while at >= 0 and (at - HEADER) % SLOT:
        at = block.find(fingerprint_of(digest), at + 1)
    if at < 0:
        return _UNKNOWN if doubtful(block, now) else _COLD
    _, category, names, mixed, expires = _SLOT.unpack_from(block, at)
    if expires < _FIRST:
        return MissReason.INVALIDATED, CODES.get(expires)
    changed = _changed(asked, tokens, category, names, mixed)
    if changed is not None:
        return changed
    return _EXPIRED if expires <= tick(now) else _EVICTED


def _changed(
    asked: Sequence[tuple[str, ...]], tokens: Mapping[str, bytes | None], category: int, names: int, mixed: int
) -> Cause | None:
    """What changed since a slot was filled; None when nothing did that can be told."""
    scope = asked[0][0]
    token = tokens.get(scope)
    if token is None or token[0] != category:
        return why_changed(scope, token)
    for scopes in asked:
        if _names(scopes) == names:
            now = [tokens.get(tag) for tag in scopes[1:]]
            known = [token[0] for token in now if token]
            if len(known) == len(now) and _mixed(known) == mixed:
                return None
            causes = {why_changed(tag, token) for tag, token in zip(scopes[1:], now, strict=True)}
            return causes.pop() if len(causes) == 1 else (MissReason.INVALIDATED, MissTrigger.TAG)
    return None


@lru_cache(maxsize=4096)
def _names(scopes: tuple[str, ...]) -> int:
    """Eight bits of the names of tags, 0 for none."""
    return 1 + crc32("\0".join(scopes[1:]).encode()) % 255 if len(scopes) > 1 else 0


def _mixed(firsts: Sequence[int]) -> int:
    """Eight bits of the tags' tokens."""
    found = 0
    for first in firsts:
        found ^= first
    return found
