"""How long one operation keeps an event loop from anything else: ``python -m benchmarks.loop_watch URL REPEATS``.

A heartbeat asks to be called again at once, for ever; the longest time between two beats while an operation is under
way is how long the loop was blocked. The median over the repeats leaves out what the machine did to one of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import states
from benchmarks.cases import case

MIB = 1 << 20


class Heartbeat:
    """The longest time between two beats."""

    def __init__(self) -> None:
        self._last = self._longest = 0.0
        self._beats = False

    async def during(self, call: Callable[[], Awaitable[Any]]) -> float:
        """Milliseconds that the loop was blocked while ``call`` ran."""
        self._beats, self._longest, self._last = True, 0.0, time.perf_counter()
        self._beat()
        await call()
        self._beats = False
        await asyncio.sleep(0)
        return self._longest * 1000

    def _beat(self) -> None:
        now = time.perf_counter()
        self._longest, self._last = max(self._longest, now - self._last), now
        if self._beats:
            asyncio.get_running_loop().call_soon(self._beat)


def values() -> dict[str, tuple[str, Any]]:
    """By kind: a category and a value of nearly 1 MiB."""
    return {
        "json": ("prompt", case("json1m").value),
        "text": ("prompt", "ab" * (MIB // 2 - 16)),
        "bytes": ("static", os.urandom(MIB - 64)),
        "vector": ("static", np.zeros(MIB // 4 - 16, dtype=np.float32)),
    }


async def watched(cache: Any, kind: str, category: str, value: Any, repeats: int) -> dict[str, float]:
    """By operation: milliseconds, the median of the repeats."""
    beat, took = Heartbeat(), defaultdict[str, list[float]](list)

    async def give() -> Any:
        return value

    for turn in range(repeats):
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "set": partial(cache.set, category, kind, value),
            "get": partial(cache.get, category, kind),
            "get_or_compute": partial(cache.get_or_compute, category, f"{kind}{turn}", give),
            "delete": partial(cache.delete, category, kind),
        }
        for operation, call in calls.items():
            took[operation].append(await beat.during(call))
    return {f"{operation}/{kind}": statistics.median(each) for operation, each in took.items()}


async def all_of_them(url: str, repeats: int) -> dict[str, float]:
    """By operation and kind of value."""
    from cache import AsyncCache

    found: dict[str, float] = {}
    async with AsyncCache.from_url(url, read_deadline=2, write_deadline=2) as cache:
        for kind, (category, value) in values().items():
            found |= await watched(cache, kind, category, value, repeats)
    return found


def main(url: str, repeats: str) -> None:
    """Watch and tell."""
    states.enter("sampled", "ours")
    print(json.dumps(asyncio.run(all_of_them(url, int(repeats)))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
