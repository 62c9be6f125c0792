"""The blocking store alone: one step over a held connection, against a bare ``GET`` of redis-py.

    python benchmarks/parts_held.py [--rounds 40] [--core 1] [--seconds 1]

Variants run interleaved in one process, client and server on one core; a figure is the median of the ratios of
pairs of the same round. Redis is not instrumented: what the spans cost stands in other rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cache.clock import Deadline, SystemClock
from cache.core.steps import Call
from cache.stores.connect import StoreOptions, open_store
from cache.stores.embedded import EmbeddedServer
from cache.stores.redis_store import RedisStore

CLOCK = SystemClock()
KEYS = tuple(f"tool:{number}:0123456789abcdef" for number in range(3))
CALLS = 60
"""Calls of a variant in one round."""

Job = Callable[[], object]


def opened(url: str, *, fast_path: bool = True) -> RedisStore:
    """A store as the cache opens it."""
    store = open_store(url, StoreOptions(fast_path=fast_path), on_breaker=lambda *_: None, clock=CLOCK)
    assert isinstance(store, RedisStore)
    return store


def asking(store: RedisStore, *args: str) -> Job:
    """A read with its deadline, as the cache asks it; a long one, for other programs may hold the machine."""
    return lambda: store.execute(Call(args, Deadline(CLOCK, 2), True))


def timed(job: Job) -> float:
    """Microseconds of a call."""
    began = time.perf_counter()
    for _ in range(CALLS):
        job()
    return (time.perf_counter() - began) / CALLS * 1e6


def alone(url: str, rounds: int) -> None:
    """One caller: median microseconds, and the ratio to the base."""
    client, held, plain = redis.Redis.from_url(url), opened(url), opened(url, fast_path=False)
    jobs: Mapping[str, Job] = {
        "redis-py GET (base)": lambda: client.get(KEYS[0]),
        "redis-py MGET of 3": lambda: client.mget(KEYS),
        "execute(GET)": asking(held, "GET", KEYS[0]),
        "execute(MGET of 3)": asking(held, "MGET", *KEYS),
        "execute(GET), plain path": asking(plain, "GET", KEYS[0]),
        "execute(MGET of 3), plain path": asking(plain, "MGET", *KEYS),
    }
    names, took = list(jobs), {name: list[float]() for name in jobs}
    for turn in range(-3, rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            microseconds = timed(jobs[name])
            if turn >= 0:
                took[name].append(microseconds)
    for name in names:
        ratios = [one / base for one, base in zip(took[name], took[names[0]], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"{url.partition(':')[0]:6}{name:32}{statistics.median(took[name]):8.1f} µs {middle:7.3f}"
            f"  ({low:.3f}..{high:.3f})"
        )
    held.close()
    plain.close()
    client.close()


def crowd(job: Job, threads: int, seconds: float) -> float:
    """Calls in a second of so many threads."""
    counts, end = [0] * threads, time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            job()
            counts[number] += 1

    crew = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return sum(counts) / seconds


def together(url: str, threads: int, seconds: float, rounds: int) -> None:
    """Many threads: throughput against redis-py with a pool."""
    client, held = redis.Redis.from_url(url), opened(url)
    jobs: Mapping[str, Job] = {
        "redis-py GET": lambda: client.get(KEYS[0]),
        "execute(GET)": lambda: held.execute(Call(("GET", KEYS[0]), Deadline(CLOCK, 2), True)),
        "execute(MGET of 3)": lambda: held.execute(Call(("MGET", *KEYS), Deadline(CLOCK, 2), True)),
    }
    took = {name: [crowd(job, threads, seconds)] for name, job in jobs.items()}
    for _ in range(rounds - 1):
        for name, job in jobs.items():
            took[name].append(crowd(job, threads, seconds))
    for name, calls in took.items():
        ratio = statistics.median(one / base for one, base in zip(calls, took["redis-py GET"], strict=True))
        print(f"{url.partition(':')[0]:6}{name}, {threads} threads: {statistics.median(calls):8.0f} /s {ratio:6.2f}")
    held.close()
    client.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--core", type=int, default=1, help="the core for all; -1: as the system likes")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run of the threads")
    given = parser.parse_args()
    if given.core >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {given.core})
    with EmbeddedServer(port=0) as server:
        with redis.Redis.from_url(server.url) as client:
            for key in KEYS:
                client.set(key, b"x" * 200)
        for url in (server.url, server.tcp_url):
            alone(url, given.rounds)
        for url in (server.url, server.tcp_url):
            together(url, 16, given.seconds, 3)


if __name__ == "__main__":
    main()
