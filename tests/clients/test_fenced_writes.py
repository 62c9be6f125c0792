"""The race that others lose: invalidations overtake computations, and no old value ever comes back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from support.faces import Stage

from cache import MISS, Cache

SCOPES = 10
ROUNDS = 10_000
"""10 scopes a round: 10^5 invalidations."""


def test_no_old_value_comes_back(glasscache_url: str) -> None:
    """10^5 invalidations race computations over a real server: 0 old values, and fences did refuse writes."""
    stage = Stage("sync", glasscache_url)
    cache: Cache = stage.cache.cache
    truth, floor = [0] * SCOPES, [0] * SCOPES
    over, old = threading.Event(), []

    def compute_and_store(n: int) -> int:
        """What a slow computation does: it reads the truth, time passes, it is stored."""
        read = truth[n]
        # another thread runs here, as often as not
        threading.Event().wait(0)
        return read

    def ask() -> int:
        count = 0
        while not over.is_set():
            for n in range(SCOPES):
                lowest = floor[n]
                value = cache.get_or_compute("context", (f"t{n}", 0), lambda n=n: compute_and_store(n))
                # a computation of our own began after we read the floor, so it is not older either
                if value < lowest:
                    old.append((n, lowest, value))
                count += 1
        return count

    def look() -> int:
        count = 0
        while not over.is_set():
            for n in range(SCOPES):
                lowest = floor[n]
                value = cache.get("context", (f"t{n}", 0))
                if value is not MISS and value < lowest:
                    old.append((n, lowest, value))
                count += 1
        return count

    tags = [f"task:t{n}" for n in range(SCOPES)]
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(ask), pool.submit(ask), pool.submit(look)]
        try:
            for round_ in range(1, ROUNDS + 1):
                for n in range(SCOPES):
                    truth[n] = round_
                assert cache.invalidate(tags=tags) == SCOPES
                for n in range(SCOPES):
                    floor[n] = round_
        finally:
            over.set()
        asked = [each.result(30) for each in running]

    assert old == []
    assert min(asked) > 0
    assert stage.telemetry.value("cache.invalidations") == SCOPES * ROUNDS
    assert stage.writes("refused", "context") > 0
    assert stage.writes("stored", "context") > 0
    assert stage.telemetry.value("cache.errors") == 0
    cache.close()
