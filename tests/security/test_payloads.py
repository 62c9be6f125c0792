"""Whatever stands in Redis is data: nothing of it ever runs, whichever way it got there."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from cache import MISS, AsyncCache, Cache, RedisCacheClient
from cache.core.entry import Sealer

PATIENT = {"read_deadline": 2, "write_deadline": 2}


class Harmless:
    """Unpickled, it makes a folder: proof that it ran."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it ran"


@pytest.fixture
def payload(marker: Path) -> bytes:
    """A pickle that would run; shown to be one."""
    data = pickle.dumps(Harmless(marker))
    pickle.loads(data)
    marker.rmdir()
    return data


def test_a_pickle_under_a_key_never_runs(payload: bytes, marker: Path, glasscache_url: str) -> None:
    """Raw, under the keys of every category and of our own bookkeeping: misses, repaired by the next write."""
    names = (
        "context:t:1", "prompt:k", "gen:category:prompt", "gen:tag:task:t", "seen:prompt:00", "fleet", "lock:ab",
    )  # fmt: skip
    with redis.Redis.from_url(glasscache_url) as server, Cache.from_url(glasscache_url, **PATIENT) as cache:
        for name in names:
            server.set(name, payload)
        assert cache.get("prompt", "k") is MISS
        assert cache.lookup("context", ("t", 1)).miss_reason == "version"
        assert cache.get_many("prompt", ["k"]) == [MISS]
        cache.explain("prompt", "k")
        assert cache.get_or_compute("prompt", "k", lambda: "computed") == "computed"
        assert cache.get("prompt", "k") == "computed"
        cache.invalidate(tags=["task:t"])
        cache.invalidate(pattern="prompt:*")
    with RedisCacheClient(glasscache_url) as client, redis.Redis.from_url(glasscache_url) as server:
        server.set("prompt:k", payload)
        assert client.get("prompt:k") is None
        assert client.get_json("prompt:k") is None
    assert not marker.exists()


@pytest.mark.parametrize("key", ["", "a signing key"], ids=["checksum", "signed"])
def test_a_pickle_in_a_sound_entry_never_runs(payload: bytes, marker: Path, key: str, glasscache_url: str) -> None:
    """Under every codec's number, with a right seal: bytes, or a counted miss, by both faces."""
    sealer, came_back = Sealer(key.encode()), []
    with (
        redis.Redis.from_url(glasscache_url) as server,
        Cache.from_url(glasscache_url, signing_key=key, **PATIENT) as cache,
    ):
        cache.set("static", "k", payload)
        sound = server.get("static:" + _suffix(server))
        assert payload in sound
        for codec in range(256):
            body = bytearray(sound[: -sealer.size])
            body[20] = codec
            server.set("static:" + _suffix(server), bytes(body) + sealer.seal(bytes(body)))
            found = cache.lookup("static", "k")
            if found.outcome == "hit":
                came_back.append((codec, found.value))
            else:
                assert (found.outcome, found.miss_reason) == ("miss", "corrupt")

        async def again() -> Any:
            async with AsyncCache.from_url(glasscache_url, signing_key=key, **PATIENT) as twin:
                return await twin.get("static", "k")

        assert asyncio.run(again()) is MISS
    # as bytes it is what was stored: bytes
    assert came_back == [(3, payload)]
    assert not marker.exists()


def _suffix(server: redis.Redis) -> str:
    (name,) = server.scan_iter("static:*")
    return name.decode().partition(":")[2]
