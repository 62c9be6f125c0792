"""One of the processes whose callers all ask for one expired key.

``python -m benchmarks.flight_caller URL HOW CALLERS``: how is ``tasks`` or ``threads``.

Says ``ready``, waits for a line with the moment to begin (of the monotonic clock, the same for all processes), asks,
and answers when each caller had its value and when each computation began and ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

from cache import AsyncCache, Cache, Policy

CATEGORY = "bench_flight"

COMPUTE_S = 0.2
"""How long the computation takes."""

POLICY = Policy(name=CATEGORY, fleet=True, stale_window_s=300.0, jitter=0.0)

Spans = list[tuple[float, float]]


def by_threads(url: str, callers: int) -> tuple[list[float], Spans]:
    """Callers that block."""
    came: list[float] = []
    computed: Spans = []

    def compute() -> int:
        began = time.monotonic()
        time.sleep(COMPUTE_S)
        computed.append((began, time.monotonic()))
        return 1

    with Cache.from_url(url, policies=[POLICY]) as cache:
        while cache.lookup(CATEGORY, "warm").error is not None:
            time.sleep(0.05)
        start = threading.Event()

        def ask() -> None:
            start.wait()
            cache.get_or_compute(CATEGORY, "key", compute, ttl=3600)
            came.append(time.monotonic())

        running = [threading.Thread(target=ask) for _ in range(callers)]
        for thread in running:
            thread.start()
        time.sleep(max(0.0, _moment() - time.monotonic()))
        start.set()
        for thread in running:
            thread.join()
    return came, computed


async def by_tasks(url: str, callers: int) -> tuple[list[float], Spans]:
    """Callers on one event loop."""
    came: list[float] = []
    computed: Spans = []

    async def compute() -> int:
        began = time.monotonic()
        await asyncio.sleep(COMPUTE_S)
        computed.append((began, time.monotonic()))
        return 1

    cache: Any = AsyncCache.from_url(url, policies=[POLICY])
    async with cache:
        for _ in range(100):
            if (await cache.lookup(CATEGORY, "warm")).error is None:
                break
            await asyncio.sleep(0.05)

        async def ask() -> None:
            await cache.get_or_compute(CATEGORY, "key", compute, ttl=3600)
            came.append(time.monotonic())

        moment = await asyncio.to_thread(_moment)
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        await asyncio.gather(*(ask() for _ in range(callers)))
    return came, computed


def _moment() -> float:
    print("ready", flush=True)
    return float(sys.stdin.readline())


def main(url: str, how: str, callers: str) -> None:
    """Ask, then say what happened."""
    found: Any = by_threads(url, int(callers)) if how == "threads" else asyncio.run(by_tasks(url, int(callers)))
    print(json.dumps({"came": found[0], "computed": found[1]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
