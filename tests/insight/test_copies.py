"""Copies of blocks: what the server lost is known to who saw it, and never more than was seen."""

from __future__ import annotations

import asyncio

from support.faces import Stage

from cache.core.copies import Copies
from cache.core.seen import HEADER, SLOT, SLOTS, block_of, fingerprint_of, tick

NOW, BIRTH, OTHER = 1_700_000_000.0, b"birthday", b"another!"
DIGESTS = [b"\0" + (1000 + n).to_bytes(2, "big") + bytes(29) for n in range(SLOTS + 40)]


def slot(n: int, ends: float = NOW + 60) -> bytes:
    return fingerprint_of(DIGESTS[n]) + bytes(3) + tick(ends).to_bytes(4, "big")


def block(*slots: bytes, until: float = 0.0, birth: bytes = BIRTH) -> bytes:
    return (tick(until) if until else 0).to_bytes(4, "big") + birth + b"".join(slots)


def test_what_is_there_counts_and_what_is_lost_is_remembered() -> None:
    """A copy answers for a block that is gone, under the same birth alone, and goes along with the next write once."""
    copies, whole = Copies(), block(slot(1), slot(2))
    assert copies.of(0, None, BIRTH, NOW) is None
    assert copies.of(0, whole, BIRTH, NOW) == whole
    assert copies.rest(DIGESTS[1]) == b""
    for gone in (None, block(slot(9), birth=OTHER), whole[:-1], ["other type"]):
        assert copies.of(0, gone, BIRTH, NOW) == whole
    assert copies.of(0, None, OTHER, NOW) is None
    # the key's own slot comes with the write
    assert copies.rest(DIGESTS[1]) == block(slot(2))
    copies.wrote(DIGESTS[1], slot(1, NOW + 90))
    assert copies.rest(DIGESTS[1]) == b""
    assert copies.of(0, None, BIRTH, NOW) == block(slot(1, NOW + 90), slot(2))


def test_a_block_that_somebody_began_again_is_mended() -> None:
    """Its new slots are added to what was seen before, and the doubt is over; who saw nothing stays in doubt."""
    copies, began = Copies(), block(slot(3), slot(2, NOW + 99), until=NOW + 7200)
    assert Copies().of(0, began, BIRTH, NOW) == began
    copies.of(0, block(slot(1), slot(2)), BIRTH, NOW)
    assert copies.of(0, began, BIRTH, NOW) == block(slot(1), slot(2, NOW + 99), slot(3))
    assert copies.rest(DIGESTS[3]) == block(slot(1), slot(2, NOW + 99))


def test_a_copy_is_bounded_and_says_what_it_forgot() -> None:
    """What expires first goes, and until that is over the copy is in doubt: it hands nothing over."""
    copies = Copies()
    copies.of(0, block(*[slot(n, NOW + 100 + n) for n in range(SLOTS)]), BIRTH, NOW)
    copies.wrote(DIGESTS[SLOTS], slot(SLOTS, NOW + 999))
    held = copies.of(0, None, BIRTH, NOW) or b""
    assert len(held) == HEADER + SLOTS * SLOT
    assert held[:4] == tick(NOW + 100).to_bytes(4, "big")
    full = block(*[slot(n, NOW + 200 + n) for n in range(20, SLOTS + 20)], until=NOW + 150)
    assert copies.of(0, full, BIRTH, NOW) == full
    assert copies.rest(DIGESTS[30]) == b""


def test_the_fleet_gets_back_what_one_process_saw(glasscache_url: str) -> None:
    """A block that was evicted is mended by the next write of who saw it: a process that never saw it reads it then."""
    stage = Stage("sync", glasscache_url)

    async def play() -> None:
        async def reasons(cache: object, *keys: str) -> list[str]:
            return [str((await cache.lookup("prompt", key)).miss_reason) for key in keys]  # type: ignore[attr-defined]

        keys = (f"n{n}" for n in range(100_000))
        want = stage.engine.shelf("prompt").want
        block_5 = (key for key in keys if block_of(want(key).address.digest) == 5)
        one, other, new, never = (next(block_5) for _ in range(4))
        await stage.cache.set("prompt", one, 1)
        await stage.cache.set("prompt", other, 1)
        with stage.server() as server:
            server.delete(f"prompt:{one}")
            assert await reasons(stage.cache, one, never) == ["evicted", "cold"]
            server.delete("seen:prompt:05")
            stranger = stage.another()
            assert await reasons(stranger, one, never) == ["unknown", "unknown"]
            assert await reasons(stage.cache, one, never) == ["evicted", "cold"]
            # begun again by one that knows nothing, then mended
            assert await stranger.set("prompt", new, 1)
            assert await reasons(stage.another(), one, never) == ["unknown", "unknown"]
            assert await reasons(stage.cache, one, never) == ["evicted", "cold"]
            assert await stage.cache.set("prompt", other, 2)
            assert await reasons(stage.another(), one, never) == ["evicted", "cold"]
        await stage.cache.aclose()

    asyncio.run(play())
