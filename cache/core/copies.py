"""Copies: what this process saw last of the blocks of ``seen``, so that one that the server lost is made again.

Under memory pressure a block may be evicted like any key. Who has seen it judges by its copy, and hands that over with
the next write, whose script begins the block with it, or adds what somebody else's beginning lacks. What others wrote
between the copy and the loss is missing in it: little, for what is least recently used is lost. Whoever begins a block
without a copy puts it in doubt instead. At most 300 KB a category; looked at and kept on misses and writes only.
"""

from __future__ import annotations

from collections.abc import Iterator

from cache.core import seen
from cache.core.seen import HEADER, SLOT, SLOTS


class Copies:
    """The copies of one category; safe for threads, for each step of them is one of the interpreter's."""

    __slots__ = ("_held", "_lost")

    def __init__(self) -> None:
        self._held: list[bytes] = [b""] * seen.BLOCKS
        self._lost: set[int] = set()

    def of(self, number: int, raw: object, birth: bytes, now: float) -> bytes | None:
        """A block as far as it is known here: as Redis has it, and what it has lost.

        Args:
            number: of the block.
            raw: what Redis has under its name.
            birth: of the category's record.
            now: seconds since the epoch.
        """
        held = self._held[number]
        known = held[4:HEADER] == birth
        if not isinstance(raw, bytes) or raw[4:HEADER] != birth or not seen.is_whole(raw):
            if known:
                self._lost.add(number)
                return held
            return raw if isinstance(raw, bytes) else None
        whole = _merged(held, raw) if known and seen.doubtful(raw, now) else raw
        if seen.doubtful(raw, now) and not seen.doubtful(whole, now):
            self._lost.add(number)
        else:
            # where both forgot something, what Redis has counts
            self._lost.discard(number)
            whole = raw
        self._held[number] = whole
        return whole

    def rest(self, digest: bytes) -> bytes:
        """What a write of a key hands over beside its slot: the rest of its block where that lost it."""
        number = seen.block_of(digest)
        if number not in self._lost:
            return b""
        held, own = self._held[number], seen.fingerprint_of(digest)
        return held[:HEADER] + b"".join([slot for slot in _slots(held) if not slot.startswith(own)][: SLOTS - 1])

    def wrote(self, digest: bytes, slot: bytes) -> None:
        """Keep what was written, where there is a copy."""
        number = seen.block_of(digest)
        held = self._held[number]
        self._lost.discard(number)
        if held:
            self._held[number] = _merged(held, held[:HEADER] + slot)


def _slots(block: bytes) -> Iterator[bytes]:
    return (block[at : at + SLOT] for at in range(HEADER, len(block), SLOT))


def _merged(old: bytes, new: bytes) -> bytes:
    """The old block with the slots of the new one; in doubt like the old one, and where it had to forget some."""
    slots = [*{slot[: seen.FINGERPRINT]: slot for block in (old, new) for slot in _slots(block)}.values()]
    doubt = old[:4]
    if len(slots) > SLOTS:
        slots.sort(key=_ends)
        doubt = max(doubt, _ends(slots[-SLOTS - 1]))
    return doubt + old[4:HEADER] + b"".join(slots[-SLOTS:])


def _ends(slot: bytes) -> bytes:
    return slot[-4:]
