"""Mixed load for an hour, or for some minutes: ``python -m benchmarks.soak 60``. What grows is a leak.

Threads and tasks share one process: hits, misses, batches, writes, deletes, invalidations, values from 10 bytes to
100 KiB, a local tier, and a store that is frozen or restarted now and then. Every few seconds memory, descriptors,
threads and the p99 of calls are taken down; the last third is compared with the second one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cache import AsyncCache, Cache
from cache.stores.embedded import EmbeddedServer

KEYS = 2_000
SAMPLES = 60
"""How often figures are taken down, whatever the length."""

GROWTH_MIB, GROWTH = 8.0, 0.1
"""Memory may be so much more in the last third than in the second: the larger of both, the latter as a share."""

SLOWER = 3.0
"""Times that the p99 of the last third may be that of the second, on a machine that others use too."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process held at one time, and how its calls went since the last."""

    at_s: float
    mib: float
    descriptors: int
    threads: int
    calls: int
    p99_ms: float
    errors: int


class Load:
    """Callers of one process."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, threading.Event()
        self._took: list[float] = []
        self._errors = 0
        self._payload = os.urandom(100 * 1024).hex()

    def _value(self) -> dict[str, str]:
        return {"v": self._payload[: 10 ** random.randrange(1, 6)]}

    def _note(self, began: float) -> None:
        self._took.append(time.perf_counter() - began)

    def taken(self) -> tuple[int, float, int]:
        """Calls, their p99 in milliseconds and errors since the last question."""
        took, self._took = sorted(self._took), []
        errors, self._errors = self._errors, 0
        return len(took), 1000 * took[int(0.99 * len(took))] if took else 0.0, errors

    def threads(self) -> None:
        """Three threads on a cache with a local tier."""
        with Cache.from_url(self._url, local_categories="prompt", local_max_bytes=8 << 20) as cache:
            acts: list[Callable[[str], Any]] = [
                *[lambda key: cache.get_or_compute("prompt", key, self._value)] * 8,
                lambda key: cache.get_many("static", [f"{key}{n}" for n in range(10)]),
                lambda key: cache.set("static", key, self._value(), tags=["some"]),
                lambda key: cache.delete("prompt", key),
                lambda key: cache.invalidate(tags=["some"]) if random.random() < 0.1 else cache.get("static", key),
            ]

            def go_on() -> None:
                while not self._over.wait(0.002):
                    began = time.perf_counter()
                    try:
                        random.choice(acts)(f"k{random.randrange(KEYS)}")
                    except Exception:
                        self._errors += 1
                    self._note(began)

            with ThreadPoolExecutor(3) as pool:
                for each in [pool.submit(go_on) for _ in range(3)]:
                    each.result()

    async def tasks(self) -> None:
        """Eight tasks on an async cache; some are cancelled in the middle."""
        async with AsyncCache.from_url(self._url) as cache:

            async def compute() -> Any:
                await asyncio.sleep(0)
                return self._value()

            async def go_on() -> None:
                while not self._over.is_set():
                    await asyncio.sleep(0.004)
                    began = time.perf_counter()
                    try:
                        async with asyncio.timeout(0 if random.random() < 0.02 else None):
                            await cache.get_or_compute("tool", ("t", {"n": random.randrange(KEYS)}), compute)
                    except TimeoutError:
                        continue
                    except Exception:
                        self._errors += 1
                    self._note(began)

            await asyncio.gather(*(go_on() for _ in range(8)))

    def end(self) -> None:
        """No further calls."""
        self._over.set()


def held() -> tuple[float, int, int]:
    """MiB, descriptors and threads of this process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024, len(os.listdir("/proc/self/fd")), int(status["Threads"])


def soak(seconds: float, told: Callable[[Sample], None]) -> list[Sample]:
    """Let the load run for so long, with an outage of the store in each tenth; what was taken down meanwhile."""
    samples: list[Sample] = []
    with EmbeddedServer("64mb", port=0) as server:
        load = Load(server.tcp_url)
        running = [threading.Thread(target=load.threads), threading.Thread(target=lambda: asyncio.run(load.tasks()))]
        for each in running:
            each.start()
        began = time.monotonic()
        try:
            for turn in range(SAMPLES):
                if turn % 6 == 5:
                    _outage(server, long=turn % 12 == 5)
                time.sleep(max(0.0, began + seconds * (turn + 1) / SAMPLES - time.monotonic()))
                sample = Sample(time.monotonic() - began, *held(), *load.taken())
                samples.append(sample)
                told(sample)
        finally:
            load.end()
            for each in running:
                each.join(60)
    return samples


def _outage(server: EmbeddedServer, *, long: bool) -> None:
    if long:
        server.restart()
        return
    server.freeze()
    time.sleep(0.2)
    server.thaw()


def grown(samples: list[Sample]) -> list[str]:
    """What is not flat, in words: the last third beside the second one."""
    third = len(samples) // 3
    before, after = samples[third : 2 * third], samples[2 * third :]

    def median(some: list[Sample], name: str) -> float:
        return statistics.median(float(getattr(one, name)) for one in some)

    found = []
    for name, allowed in (("mib", GROWTH_MIB), ("descriptors", 2.0), ("threads", 1.0)):
        was, now = median(before, name), median(after, name)
        if now > was + max(allowed, GROWTH * was if name == "mib" else 0.0):
            found.append(f"{name} grew from {was:.1f} to {now:.1f}")
    was, now = median(before, "p99_ms"), median(after, "p99_ms")
    if now > SLOWER * was + 1:
        found.append(f"p99 grew from {was:.2f} ms to {now:.2f} ms")
    errors = sum(one.errors for one in samples)
    return [*found, f"{errors} errors reached callers"] if errors else found


def main(minutes: str = "60") -> int:
    """Soak and tell; 1 when something grew."""
    samples = soak(60 * float(minutes), lambda sample: print(json.dumps(asdict(sample)), flush=True))
    found = grown(samples)
    print("; ".join(found) or f"flat over {minutes} min: {sum(one.calls for one in samples):,} calls", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
