"""Payloads of 25 KiB that would unfold to 800 MiB: refused at once and without the memory, whatever they say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import zstandard

from cache import MISS, AsyncCache, Cache
from cache.core.codecs import BYTES, FLOATS, JSON, VECTOR, decode
from cache.core.entry import Sealer, parse
from cache.errors import CacheValueError

PATIENT: dict[str, Any] = {"read_deadline": 2, "write_deadline": 2}
MIB = 1 << 20
SIZE = 800 * MIB
CAP = MIB
CODECS = pytest.mark.parametrize("codec", [JSON, VECTOR, BYTES, FLOATS], ids=["JSON", "VECTOR", "BYTES", "FLOATS"])
SAYS = pytest.mark.parametrize("says", ["its size", "nothing", "less than the cap"])


def packed(*, size_is_said: bool) -> bytes:
    """So many zeros as one frame, made piece by piece."""
    packer = zstandard.ZstdCompressor(write_content_size=size_is_said)
    frame, piece = packer.compressobj(SIZE if size_is_said else -1), bytes(8 * MIB)
    return b"".join([frame.compress(piece) for _ in range(SIZE // len(piece))]) + frame.flush()


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """One frame for each thing that its header may say of the size."""
    honest = packed(size_is_said=True)
    said = SIZE.to_bytes(4, "little")
    at = honest.index(said)
    made = {
        "its size": honest,
        "nothing": packed(size_is_said=False),
        "less than the cap": honest[:at] + (CAP - 1).to_bytes(4, "little") + honest[at + 4 :],
    }
    sizes = [zstandard.frame_content_size(frame) for frame in made.values()]
    assert sizes == [SIZE, -1, CAP - 1]
    assert all(20_000 < len(frame) < 30_000 for frame in made.values())
    return made


@contextmanager
def harmless() -> Iterator[None]:
    """What is done inside takes less than 50 ms and, at its worst moment, fewer further bytes than the cap."""
    # the kernel's mark of the most that was resident begins anew. Source: proc(5), clear_refs
    Path("/proc/self/clear_refs").write_text("5")
    # by the thread's own time: what else the machine does is nobody's harm
    before, began = _most_resident(), time.thread_time()
    yield
    took, grown = time.thread_time() - began, _most_resident() - before
    assert took < 0.05
    assert grown < CAP


def _most_resident() -> int:
    """Bytes, the most since the mark was last set back."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def test_the_measure_itself(bombs: dict[str, bytes]) -> None:
    """A bomb that goes off is seen."""
    with pytest.raises(AssertionError), harmless():
        zstandard.ZstdDecompressor().decompress(packed_small(), max_output_size=256 * MIB)


def packed_small() -> bytes:
    """256 MiB of zeros: a third of the bomb, and five times as long as is allowed."""
    return zstandard.ZstdCompressor().compress(bytes(256 * MIB))


@CODECS
@SAYS
def test_a_bomb_is_refused_by_the_decoder(says: str, codec: int, bombs: dict[str, bytes]) -> None:
    """Under every codec's number, by name."""
    with pytest.raises(CacheValueError), harmless():
        decode(codec, True, bombs[says], max_bytes=CAP)


Call = Callable[[Any], Any]
CALLS: dict[str, tuple[Call, Any]] = {
    "get": (lambda cache: cache.get("prompt", "k"), MISS),
    "get_many": (lambda cache: cache.get_many("prompt", ["k"]), [MISS]),
    "lookup": (lambda cache: cache.lookup("prompt", "k"), None),
    "get_or_compute": (lambda cache: cache.get_or_compute("prompt", "k", lambda: "v"), "v"),
}


def planted(server: redis.Redis, cache: Cache | AsyncCache, codec: int, payload: bytes) -> None:
    """Put a payload into the entry that stands under the key, sealed as it should be."""
    want = cache._engine.want(cache.policies["prompt"], "k")
    sound = parse(server.get("prompt:k"), want.address.digest, want.scopes[0], Sealer())
    server.set("prompt:k", sound._replace(codec=codec, compressed=True, payload=payload).pack(Sealer()), ex=60)


@CODECS
@SAYS
def test_a_bomb_in_a_sound_entry_is_a_counted_miss(
    says: str, codec: int, bombs: dict[str, bytes], glasscache_url: str
) -> None:
    """By every call of both twins; the next write repairs it."""
    with redis.Redis.from_url(glasscache_url) as server, Cache.from_url(glasscache_url, **PATIENT) as cache:
        for call, expected in CALLS.values():
            cache.set("prompt", "k", "v")
            planted(server, cache, codec, bombs[says])
            with harmless():
                found = call(cache)
            assert getattr(found, "miss_reason", "corrupt") == "corrupt"
            assert expected is None or found == expected
        assert cache.get("prompt", "k") == "v"

    async def run() -> None:
        async with AsyncCache.from_url(glasscache_url, **PATIENT) as cache:
            for call, expected in CALLS.values():
                await cache.set("prompt", "k", "v")
                planted(server, cache, codec, bombs[says])
                with harmless():
                    found = await call(cache)
                assert expected is None or found == expected

    with redis.Redis.from_url(glasscache_url) as server:
        asyncio.run(run())
