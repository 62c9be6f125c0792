"""Single flight: one computation for all who ask, in threads, in tasks and, where a policy says so, in a fleet."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.faces import Stage

from cache import AsyncCache, Cache, Policy
from cache.testing import EmbeddedServer

CALLERS = 64


def test_64_threads_compute_once(glasscache_url: str) -> None:
    """64 threads on one cold key: 1 computation, 64 equal values, 63 waits or hits."""
    stage = Stage("sync", glasscache_url, max_connections=CALLERS)
    start, running, calls = threading.Barrier(CALLERS), threading.Event(), []

    def compute() -> dict[str, int]:
        calls.append(1)
        running.wait(0.1)
        return {"n": 1}

    def ask(_: int) -> dict[str, int]:
        start.wait()
        return stage.cache.cache.get_or_compute("prompt", "k", compute)

    with ThreadPoolExecutor(CALLERS) as pool:
        values = list(pool.map(ask, range(CALLERS)))

    assert calls == [1]
    assert values == [{"n": 1}] * CALLERS
    assert len({id(value) for value in values}) == CALLERS
    assert stage.count("miss") + stage.count("hit") == CALLERS
    assert stage.telemetry.value("cache.flight.waits", **{"cache.flight.scope": "process"}) > 0
    stage.cache.cache.close()


def test_64_tasks_compute_once(glasscache_url: str) -> None:
    """64 tasks on one cold key: 1 computation, and each follower's wait is linked to the leader's span."""
    stage = Stage("async", glasscache_url)
    calls: list[int] = []

    async def compute() -> dict[str, int]:
        calls.append(1)
        await asyncio.sleep(0.05)
        return {"n": 1}

    async def main() -> list[dict[str, int]]:
        asked = (stage.cache.get_or_compute("prompt", "k", compute) for _ in range(CALLERS))
        values = await asyncio.gather(*asked)
        await stage.cache.aclose()
        return values

    values = asyncio.run(main())

    assert calls == [1]
    assert values == [{"n": 1}] * CALLERS
    waits = stage.telemetry.spans("cache.wait prompt")
    leaders = {link.context.span_id for wait in waits for link in wait.links}
    assert len(waits) == CALLERS - 1
    assert len(leaders) == 1


def test_a_leaders_error_reaches_its_followers(glasscache_url: str) -> None:
    """All callers get the one error of the one computation, and it is not kept."""
    stage = Stage("async", glasscache_url)
    error, calls = KeyError("origin"), []

    async def compute() -> Any:
        calls.append(1)
        await asyncio.sleep(0.02)
        raise error

    async def main() -> list[Any]:
        asked = (stage.cache.get_or_compute("prompt", "k", compute) for _ in range(10))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert await stage.cache.get_or_compute("prompt", "k", lambda: 5) == 5
        await stage.cache.aclose()
        return answers

    answers = asyncio.run(main())

    assert calls == [1]
    assert all(answer is error for answer in answers)


def test_a_cancelled_leader_hands_over(glasscache_url: str) -> None:
    """When the leader is cancelled a follower computes; nobody else sees the cancellation."""
    stage = Stage("async", glasscache_url)
    calls: list[int] = []

    async def main() -> list[Any]:
        begun = asyncio.Event()

        async def compute() -> int:
            calls.append(1)
            begun.set()
            await asyncio.sleep(0.02 if len(calls) > 1 else 30)
            return len(calls)

        leader = asyncio.create_task(stage.cache.get_or_compute("prompt", "k", compute))
        await begun.wait()
        followers = [asyncio.create_task(stage.cache.get_or_compute("prompt", "k", compute)) for _ in range(5)]
        await asyncio.sleep(0.01)
        leader.cancel()
        values = await asyncio.gather(leader, *followers, return_exceptions=True)
        await stage.cache.aclose()
        return values

    values = asyncio.run(main())

    assert isinstance(values[0], asyncio.CancelledError)
    assert values[1:] == [2] * 5
    assert len(calls) == 2


def test_a_batch_that_fails_counts_the_keys_that_it_followed(glasscache_url: str) -> None:
    """Each key of a batch is counted once, also one that another caller was computing when the batch failed."""
    stage = Stage("sync", glasscache_url)
    cache, begun, go_on = stage.cache.cache, threading.Event(), threading.Event()

    def slow(keys: list[str]) -> list[str]:
        begun.set()
        go_on.wait(5)
        return keys

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(cache.get_or_compute_many, "prompt", ["shared"], slow)
        assert begun.wait(5)
        with pytest.raises(ZeroDivisionError):
            cache.get_or_compute_many("prompt", ["shared", "own", "shared"], lambda keys: [1 / 0])
        go_on.set()
        assert other.result(5) == ["shared"]
    assert stage.count("miss") == 1 + 3
    cache.close()


def test_a_computation_may_ask_for_its_own_key(glasscache_url: str) -> None:
    """Re-entrancy ends: the inner call computes by itself instead of waiting for itself."""
    with Cache.from_url(glasscache_url, read_deadline=2, write_deadline=2) as cache:

        def outer() -> int:
            return cache.get_or_compute("prompt", "k", lambda: 20) + 1

        assert cache.get_or_compute("prompt", "k", outer) == 21


def test_a_flight_from_before_an_invalidation_is_not_joined(glasscache_url: str) -> None:
    """Who asks after an invalidation gets a computation that began after it."""
    cache = Cache.from_url(glasscache_url, read_deadline=2, write_deadline=2)
    begun, go_on = threading.Event(), threading.Event()

    def old() -> str:
        begun.set()
        assert go_on.wait(10)
        return "old"

    with cache, ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get_or_compute, "prompt", "k", old, tags=["t"])
        assert begun.wait(10)
        cache.invalidate(tags=["t"])
        second = cache.get_or_compute("prompt", "k", lambda: "new", tags=["t"])
        go_on.set()

        assert (first.result(10), second) == ("old", "new")
        assert cache.get("prompt", "k") == "new"


def test_sync_and_async_share_a_flight(glasscache_url: str) -> None:
    """A decorated coroutine and a blocking call of one cache compute once between them."""
    calls: list[int] = []
    with Cache.from_url(glasscache_url, read_deadline=2, write_deadline=2) as cache:

        @cache.cached("prompt", version="1")
        async def slow(n: int) -> int:
            calls.append(n)
            await asyncio.sleep(0.01)
            return n * 2

        async def main() -> list[int]:
            return list(await asyncio.gather(*(slow(4) for _ in range(8))))

        assert asyncio.run(main()) == [8] * 8
        assert asyncio.run(main()) == [8] * 8
        assert calls == [4]


_WORKER = """
import json, sys, time
from cache import Cache, Policy
cache = Cache.from_url(sys.argv[1], policies=[Policy(name="shared", fleet=True)], read_deadline=2, write_deadline=2)
calls = []
def compute():
    calls.append(1)
    time.sleep(0.3)
    return {"by": len(calls)}
print("ready", flush=True)
sys.stdin.readline()
value = cache.get_or_compute("shared", "k", compute)
print(json.dumps({"calls": len(calls), "value": value}), flush=True)
cache.close()
"""


def test_a_fleet_computes_once(glasscache_url: str) -> None:
    """4 processes on one cold key of a fleet category: 1 computation among them all."""
    command = [sys.executable, "-c", _WORKER, glasscache_url]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline().strip() == "ready"
    answers = [json.loads(answer) for answer in _all_at_once(workers)]

    assert sum(answer["calls"] for answer in answers) == 1
    assert [answer["value"] for answer in answers] == [{"by": 1}] * 4


def _all_at_once(workers: list[subprocess.Popen[str]]) -> list[str]:
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = []
    for worker in workers:
        with worker:
            answers.append(worker.communicate(timeout=30)[0])
    return answers


def test_a_crashed_leaders_lock_ends(glasscache_url: str) -> None:
    """A lock that nobody gives back holds the fleet no longer than the policy's time."""
    import redis

    policy = Policy(name="shared", fleet=True, wait_s=0.2)
    with Cache.from_url(glasscache_url, policies=[policy], read_deadline=2, write_deadline=2) as cache:
        address = cache._engine.want(cache.policies["shared"], "k").address
        with redis.Redis.from_url(glasscache_url) as server:
            server.set(f"lock:{address.digest.hex()[:32]}", "dead", px=60_000)

        assert cache.get_or_compute("shared", "k", lambda: 7) == 7


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_follower_waits_a_bounded_time(kind: str, glasscache_url: str) -> None:
    """A follower whose leader hangs computes by itself when the policy's time is over."""
    policy = Policy(name="slow", wait_s=0.05)
    if kind == "thread":
        hanging = threading.Event()
        begun = threading.Event()
        with (
            Cache.from_url(glasscache_url, policies=[policy], read_deadline=2, write_deadline=2) as cache,
            ThreadPoolExecutor(1) as pool,
        ):
            first = pool.submit(
                cache.get_or_compute, "slow", "k", lambda: (begun.set(), hanging.wait(10), {"by": "leader"})[2]
            )
            assert begun.wait(10)
            assert cache.get_or_compute("slow", "k", lambda: {"by": "follower"}) == {"by": "follower"}
            hanging.set()
            assert first.result(10) == {"by": "leader"}
        return

    async def main() -> Any:
        async with AsyncCache.from_url(glasscache_url, policies=[policy], read_deadline=2, write_deadline=2) as cache:
            hangs = asyncio.Event()

            async def compute() -> str:
                await hangs.wait()
                return "leader"

            leader = asyncio.create_task(cache.get_or_compute("slow", "k", compute))
            await asyncio.sleep(0.02)
            value = await cache.get_or_compute("slow", "k", lambda: "follower")
            hangs.set()
            return value, await leader

    assert asyncio.run(main()) == ("follower", "leader")


async def _meanwhile(server: EmbeddedServer, between: Callable[[Any], Any]) -> tuple[Any, Any]:
    """A computation under way when the store dies, and what a caller who comes then is answered."""
    async with AsyncCache.from_url(server.url, read_deadline=1, write_deadline=1) as cache:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def compute() -> str:
            begun.set()
            await may_end.wait()
            return "leader"

        leader = asyncio.create_task(cache.get_or_compute("prompt", "k", compute))
        await begun.wait()
        server.kill()
        await between(cache)
        follower = asyncio.create_task(cache.get_or_compute("prompt", "k", lambda: "follower"))
        for _ in range(1_000_000):
            if follower.done() or _followed(cache, "prompt:k"):
                break
            await asyncio.sleep(0)
        may_end.set()
        return await leader, await follower


def _followed(cache: Any, name: str) -> bool:
    """Whether somebody waits for the flight of a key."""
    group = cache._engine.flights._groups.get(name)
    return group is not None and any(flight._callbacks for flight in group.flights.values())


def test_who_cannot_look_joins_whoever_computes() -> None:
    """A caller that the store did not answer shares the flight that is in the air."""
    with EmbeddedServer() as server:
        assert asyncio.run(_meanwhile(server, AsyncCache.health)) == ("leader", "leader")


def test_who_cannot_look_does_not_join_a_flight_from_before_an_invalidation() -> None:
    """An invalidation of this process sends the flight away, also when the store did not hear of it."""
    with EmbeddedServer() as server:
        answers = asyncio.run(_meanwhile(server, lambda cache: cache.invalidate(category="prompt")))
        assert answers == ("leader", "follower")
