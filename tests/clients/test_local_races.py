"""The local tier never answers old in the process that changed something, nor in another beyond the lease."""

from __future__ import annotations

import mmap
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.faces import Stage
from support.local import LOCAL, ready, until

from cache import MISS, Cache
from cache.core.local import LEASE_S

SCOPES = 50
ROUNDS = 2_000
"""50 scopes a round: 10^5 invalidations."""

WRITES = 1_000


def test_no_old_value_comes_back_in_the_process_that_invalidates(glasscache_url: str) -> None:
    """10^5 invalidations race computations, looks and pushes of our own: 0 old values, though most hits were local."""
    stage = Stage("sync", glasscache_url, **LOCAL)
    cache: Cache = stage.cache.cache
    ready(cache)
    truth, floor = [0] * SCOPES, [0] * SCOPES
    over, old = threading.Event(), []

    def compute(n: int) -> int:
        """A slow computation: it reads the truth, time passes, it is stored."""
        read = truth[n]
        threading.Event().wait(0)
        return read

    def ask() -> None:
        while not over.is_set():
            for n in range(SCOPES):
                lowest = floor[n]
                value = cache.get_or_compute("context", (f"t{n}", 0), lambda n=n: compute(n))
                if value < lowest:
                    old.append((n, lowest, value))

    def look() -> None:
        while not over.is_set():
            for n in [n for n in range(SCOPES) for _ in range(3)]:
                lowest = floor[n]
                value = cache.get("context", (f"t{n}", 0))
                if value is not MISS and value < lowest:
                    old.append((n, lowest, value))

    def answered() -> int:
        return stage.count("hit", "context", **{"cache.tier": "local"})

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
                if round_ % 50 == 0:
                    # what was made anew answers from here before it is invalidated again
                    before = answered()
                    until(lambda before=before: answered() >= before + SCOPES)  # type: ignore[misc]
        finally:
            over.set()
        for each in running:
            each.result(30)

    assert old == []
    assert stage.telemetry.value("cache.invalidations") == SCOPES * ROUNDS
    assert answered() >= ROUNDS // 50 * SCOPES
    cache.close()


def test_who_writes_reads_what_it_wrote(glasscache_url: str) -> None:
    """Two writers and readers beside them: after a set or a delete has returned nobody reads what was before."""
    stage = Stage("sync", glasscache_url, **LOCAL)
    cache: Cache = stage.cache.cache
    ready(cache)
    floor, over, old = [0, 0], threading.Event(), []

    def write(n: int) -> None:
        for version in range(1, WRITES + 1):
            if version % 7 == 0:
                cache.delete("prompt", f"k{n}")
            assert cache.set("prompt", f"k{n}", {"version": version})
            floor[n] = version
            mine = cache.get("prompt", f"k{n}")
            if mine != {"version": version}:
                old.append((n, version, mine))

    def look() -> None:
        while not over.is_set():
            for n in range(2):
                lowest, value = floor[n], cache.get("prompt", f"k{n}")
                if value is not MISS and value["version"] < lowest:
                    old.append((n, lowest, value))

    with ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look), pool.submit(look)]
        try:
            for each in [pool.submit(write, n) for n in range(2)]:
                each.result(120)
        finally:
            over.set()
        for each in looking:
            each.result(30)

    assert old == []
    assert stage.count("hit", **{"cache.tier": "local"}) > 100
    cache.close()


OTHER = """
import mmap, struct, sys, time
from cache import Cache

url, path = sys.argv[1:]
file = open(path, "r+b")
shared = mmap.mmap(file.fileno(), 4096)
with Cache.from_url(url, read_deadline=2, write_deadline=2) as cache:
    for version in range(1, {rounds} + 1):
        struct.pack_into("q", shared, 0, version)
        if version % 2:
            cache.invalidate(tags=["task:t"])
        else:
            cache.set("context", ("t", 0), version)
        # the time first: whoever sees the version sees a time that is not too late
        struct.pack_into("d", shared, 64, time.monotonic())
        struct.pack_into("q", shared, 128, version)
        time.sleep(0.0005)
struct.pack_into("q", shared, 192, 1)
"""
"""Another process that changes one key for all, and says since when."""


def test_another_processs_changes_are_seen_within_the_lease(glasscache_url: str, tmp_path: Path) -> None:
    """Two processes: between a change and its push an old answer is possible, never for longer than the lease."""
    path = tmp_path / "shared"
    path.write_bytes(bytes(4096))
    stage = Stage("sync", glasscache_url, **LOCAL)
    cache: Cache = stage.cache.cache
    ready(cache)
    late: list[float] = []
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 4096) as shared:
        command = [sys.executable, "-c", OTHER.format(rounds=WRITES), glasscache_url, str(path)]
        other = subprocess.Popen(command)
        try:
            while other.poll() is None:
                (since,), (lowest,) = struct.unpack_from("d", shared, 64), struct.unpack_from("q", shared, 128)
                asked = time.monotonic()
                value = cache.get_or_compute("context", ("t", 0), lambda: struct.unpack_from("q", shared, 0)[0])
                # a time that was read before the first write is none
                if since and value < lowest:
                    late.append(asked - since)
        finally:
            other.kill()
            other.wait()
        assert struct.unpack_from("q", shared, 192) == (1,)

    hits = stage.count("hit", "context", **{"cache.tier": "local"})
    late.sort()
    median_ms, longest_ms = (late[len(late) // 2] * 1e3, late[-1] * 1e3) if late else (0, 0)
    print(f"{len(late)} old of {hits} local answers; median {median_ms:.1f} ms, longest {longest_ms:.1f} ms")
    assert hits > WRITES
    assert [age for age in late if age > LEASE_S] == []
    cache.close()
