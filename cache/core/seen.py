"""Tells a key that was never written from one that is gone: a blocked Bloom filter in Redis.

Each category has 256 blocks of 512 bits; a key's digest picks its block and four bits of it.
A lookup fetches the block in the MGET it makes anyway, a write sets the bits inside its
script, so it costs no round trip. ``cold`` is said only when it is certain: the bits are
not all set in a block that is known to be whole. A block that was lost (evicted) and begun
again is marked partial and proves nothing. A batch leaves out the blocks of keys whose entries
this process saw under the same record: those were written, whatever their blocks say.

Source: F. Putze, P. Sanders, J. Singler, "Cache-, Hash- and Space-Efficient Bloom Filters",
2007 (blocked filters). At 13,000 keys a category about 1 in 100 new keys reads as seen.
"""

from __future__ import annotations

from cache.core.generations import CategoryRecord
from telemetry.vocabulary import MissReason

BLOCKS = 256
"""Blocks of a category; the first byte of the digest picks one."""

HEADER = 9
"""Bytes before a block's bits: one mark and eight of the category's birth."""

WHOLE = b"C"
"""Mark of a block that has held every write since the category's birth."""

_BITS = 64


def block_of(digest: bytes) -> int:
    """Number of the block that a key falls into, 0..255."""
    return digest[0]


def bits_of(digest: bytes) -> tuple[int, int, int, int]:
    """The four bit positions of a key inside its block, 0..511, counted as SETBIT counts."""
    word = int.from_bytes(digest[1:6], "big")
    return word & 511, (word >> 9) & 511, (word >> 18) & 511, (word >> 27) & 511


def begun(record: CategoryRecord, number: int) -> bool:
    """Whether a block was ever begun; one that was not proves that none of its keys was written."""
    return bool(record.begun[number >> 3] & (0x80 >> (number & 7)))


def reason_for_absent(digest: bytes, record: CategoryRecord, block: bytes | None) -> MissReason:
    """Why an absent entry is absent: ``cold`` when that is certain, else ``unknown``.

    Args:
        digest: the key's digest, 32 bytes.
        record: the category's generation record.
        block: the bytes of the key's block, None when Redis has none.
    """
    number = block_of(digest)
    if block is None or block[1:HEADER] != record.birth:
        return MissReason.UNKNOWN if begun(record, number) else MissReason.COLD
    if block[:1] != WHOLE or len(block) != HEADER + _BITS:
        return MissReason.UNKNOWN
    bits = block[HEADER:]
    seen = all(bits[bit >> 3] & (0x80 >> (bit & 7)) for bit in bits_of(digest))
    return MissReason.UNKNOWN if seen else MissReason.COLD
