"""Round trips per operation, counted by a loopback proxy: a request flushed, a reply awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.faces import Stage

from cache import fleet
from cache.settings import Settings
from cache.testing import RoundTripProxy
from telemetry.ledger import Ledger

pytestmark = pytest.mark.usefixtures("either_path")


@pytest.fixture
def proxy(glasscache_url: str) -> Iterator[RoundTripProxy]:
    """A proxy before the session's server."""
    with RoundTripProxy(glasscache_url) as running:
        yield running


Counted = list[tuple[str, int, list[str]]]


async def _measure(stage: Stage, proxy: RoundTripProxy) -> Counted:
    """Every kind of operation with the round trips and the commands that it took."""
    cache, counted = stage.cache, []

    async def count(label: str, awaitable: Any) -> None:
        proxy.tally.clear()
        await awaitable
        counted.append((label, proxy.tally.round_trips, list(proxy.tally.commands)))

    keys = [f"k{n}" for n in range(50)]
    # every script runs once before: a server that lacks one costs a round trip more, once
    await cache.get_or_compute("static", "warm", lambda: 1, tags=["warm"])
    await cache.invalidate(tags=["warm"])
    await cache.delete("static", "warm")

    await count("get_or_compute, first in its scope", cache.get_or_compute("prompt", "a", lambda: 1))
    await count("get_or_compute, miss", cache.get_or_compute("prompt", "b", lambda: 1))
    await count("get_or_compute, hit", cache.get_or_compute("prompt", "b", lambda: 1))
    await count("get, hit", cache.get("prompt", "b"))
    await count("get, miss", cache.get("prompt", "c"))
    await count("lookup, hit", cache.lookup("prompt", "b"))
    await count("set", cache.set("prompt", "b", 2))
    await count("set_many of 50", cache.set_many("prompt", dict.fromkeys(keys, 1)))
    await count("get_many of 50", cache.get_many("prompt", keys))
    await count("get_or_compute_many of 50, hits", cache.get_or_compute_many("prompt", keys, lambda missing: missing))
    await count("delete", cache.delete("prompt", "b"))
    await count("invalidate a tag", cache.invalidate(tags=["task:t"]))
    await count("invalidate two tags", cache.invalidate(tags=["task:t", "task:u"]))
    await count("invalidate a category", cache.invalidate(category="prompt"))
    await cache.set("prompt", "tagged", 1, tags=["red"])
    await count("get, hit with a tag that this process wrote it with", cache.get("prompt", "tagged"))
    await stage.another().set("prompt", "tagged", 2, tags=["red", "blue"])
    await count("get, hit with a tag that only the entry names", cache.get("prompt", "tagged"))
    await count("get, the same once more", cache.get("prompt", "tagged"))
    return counted


EXPECTED = {
    "get_or_compute, first in its scope": 3,
    "get_or_compute, miss": 2,
    "get_or_compute, hit": 1,
    "get, hit": 1,
    "get, miss": 1,
    "lookup, hit": 1,
    "set": 1,
    "set_many of 50": 1,
    "get_many of 50": 1,
    "get_or_compute_many of 50, hits": 1,
    "delete": 1,
    "invalidate a tag": 1,
    "invalidate two tags": 1,
    "invalidate a category": 1,
    "get, hit with a tag that this process wrote it with": 1,
    "get, hit with a tag that only the entry names": 2,
    "get, the same once more": 1,
}


@pytest.fixture(params=[False, True], ids=["alone", "reporting"])
def reporting(request: pytest.FixtureRequest, glasscache_url: str) -> Iterator[Callable[[Ledger], None]]:
    """Lets a ledger be reported to the fleet, beside the cache's own connections; or does nothing."""
    with ExitStack() as opened:

        def report(ledger: Ledger) -> None:
            if request.param:
                opened.enter_context(fleet.report(Settings.of(redis_url=glasscache_url), ledger))

        yield report


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_round_trips_are_as_promised(kind: str, proxy: RoundTripProxy, reporting: Callable[[Ledger], None]) -> None:
    """Each operation takes the promised number of round trips, whether the process reports to the fleet or not."""
    stage = Stage(kind, proxy.url)
    reporting(stage.recorder.ledger)

    async def run() -> Counted:
        counted = await _measure(stage, proxy)
        await stage.cache.aclose()
        return counted

    counted = asyncio.run(run())

    assert {label: trips for label, trips, _ in counted} == EXPECTED
    commands = {label: names for label, _, names in counted}
    assert commands["get, hit"] == commands["get_or_compute, hit"] == commands["get_many of 50"] == ["MGET"]
    assert set(commands["set_many of 50"]) <= {"EVALSHA", "EVAL"}


def test_the_servers_own_count_agrees(glasscache_url: str) -> None:
    """Ten hits are ten MGETs in the server's own statistics, and nothing else."""
    import redis

    stage = Stage("sync", glasscache_url)
    with stage.cache.cache as cache, redis.Redis.from_url(glasscache_url) as server:
        cache.set("prompt", "k", 1)
        server.config_resetstat()
        for _ in range(10):
            assert cache.get("prompt", "k") == 1
        calls = {name: found["calls"] for name, found in server.info("commandstats").items()}

    assert calls.pop("cmdstat_mget") == 10
    assert calls.keys() <= {"cmdstat_config|resetstat", "cmdstat_info"}
