"""What the multiplexed connections of an event loop save: a GET by the store against redis.asyncio's own.

    python -m benchmarks.parts_multiplexed [ROUNDS]

Variants run interleaved in one process, client and server on one core where the system lets us; each figure is
the median of the paired ratios of all rounds, with their quartiles. redis.asyncio parses with hiredis and is not
instrumented. The last table says for how long one callback held the loop, in time of its own thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import redis.asyncio as aredis

from cache.clock import Deadline, SystemClock
from cache.core.steps import Call
from cache.stores.connect import StoreOptions, open_async_store
from cache.stores.embedded import EmbeddedServer

CLOCK = SystemClock()
SIZES = (200, 2_000)
TASKS = 64
Get = Callable[[], Awaitable[Any]]


async def seconds(get: Get, tasks: int, calls: int) -> tuple[float, list[float]]:
    """Seconds of a round, and of each of its calls."""
    took: list[float] = []

    async def caller() -> None:
        for _ in range(calls):
            began = time.perf_counter()
            await get()
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(tasks)))
    return time.perf_counter() - began, sorted(took)


def figures(whole: float, took: list[float]) -> dict[str, float]:
    """Calls a second; median and 99th percentile in microseconds."""
    return {
        "calls/s": len(took) / whole,
        "p50": took[len(took) // 2] * 1e6,
        "p99": took[int(len(took) * 0.99)] * 1e6,
    }


async def paired(ours: Get, theirs: Get, tasks: int, calls: int, rounds: int) -> list[tuple[dict[str, float], ...]]:
    """Figures of both, round by round, in turns."""
    return [
        (figures(*await seconds(ours, tasks, calls)), figures(*await seconds(theirs, tasks, calls)))
        for _ in range(rounds)
    ]


def show(name: str, rows: list[tuple[dict[str, float], ...]]) -> None:
    """One line for each figure: both medians and the ratio's quartiles."""
    for figure in ("calls/s", "p50", "p99"):
        ratios = [ours[figure] / theirs[figure] for ours, theirs in rows]
        low, middle, high = statistics.quantiles(ratios, n=4)
        ours, theirs = (statistics.median(row[side][figure] for row in rows) for side in (0, 1))
        print(f"{name:22} {figure:8} {ours:10.0f} {theirs:10.0f}   {middle:6.2f}  ({low:.2f} to {high:.2f})")
    late = statistics.median(ours["p99"] / theirs["p50"] for ours, theirs in rows)
    if not name.endswith(" 1 task"):
        print(f"{name:22} our p99 by their p50 {late:21.2f}")


class Holds:
    """Notes for how long single callbacks hold the loop, while it is entered."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    def __enter__(self) -> Self:
        self._run = run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            run(handle)
            self.longest_s = max(self.longest_s, time.thread_time() - began)

        setattr(asyncio.Handle, "_run", timed)  # noqa: B010
        return self

    def __exit__(self, *_: object) -> None:
        setattr(asyncio.Handle, "_run", self._run)  # noqa: B010


async def held(large: Get, rounds: int) -> tuple[float, float]:
    """Median and maximum of the longest callback, in milliseconds."""
    longest = []
    for _ in range(rounds):
        with Holds() as holds:
            await asyncio.sleep(0)  # the callback that is under way is not noted
            await large()
            await asyncio.sleep(0)
        longest.append(holds.longest_s * 1e3)
    return statistics.median(longest), max(longest)


async def measure(url: str, rounds: int) -> None:
    """All tables of one server."""
    store = open_async_store(url, StoreOptions(), on_breaker=lambda *_: None, clock=CLOCK)
    client = aredis.Redis.from_url(url, max_connections=2 * TASKS)
    print(f"{url.partition(':')[0]:31} {'ours':>10} {'theirs':>10}   ratio  (quartiles)")
    for size in SIZES:
        await client.set("key", os.urandom(size))

        async def ours() -> Any:
            return await store.execute(Call(("GET", "key"), Deadline(CLOCK, 2), True))

        async def theirs() -> Any:
            return await client.get("key")

        for tasks, calls in ((1, 300), (TASKS, 30)):
            await paired(ours, theirs, tasks, calls // 10, 3)
            show(f"{size} B, {tasks} task{'s'[: tasks - 1]}", await paired(ours, theirs, tasks, calls, rounds))

    value = os.urandom(1 << 20)
    writes: tuple[tuple[str, Get], ...] = (
        ("SET 1 MiB", lambda: store.execute(Call(("SET", "large", value), Deadline(CLOCK, 2)))),
        ("GET 1 MiB", lambda: store.execute(Call(("GET", "large"), Deadline(CLOCK, 2)))),
        ("redis.asyncio SET 1 MiB", lambda: client.set("large", value)),
        ("redis.asyncio GET 1 MiB", lambda: client.get("large")),
    )
    for name, large in writes:
        middle, most = await held(large, rounds)
        print(f"{name:24} longest callback {middle:6.2f} ms, at most {most:.2f} ms")
    await store.aclose()
    await client.aclose()


def main() -> None:
    """Measure over a Unix socket and over TCP."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with EmbeddedServer(port=0) as server:
        for url in (server.url, server.tcp_url):
            asyncio.run(measure(url, rounds))


if __name__ == "__main__":
    main()
