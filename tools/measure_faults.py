"""Measures how the cache lives through faults and writes the figures into ``docs/reliability.md``.

Every figure comes from a server of its own that is really frozen, killed or raced. Takes less than a minute:
``python tools/measure_faults.py``; with ``--print`` the figures are shown and nothing is written.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cache import MISS, AsyncCache, Cache  # noqa: E402
from cache.testing import EmbeddedServer, RoundTripProxy  # noqa: E402
from telemetry.recorder import Recorder  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"

CALLS = 50
CALLERS = 64
SCOPES, ROUNDS = 10, 2000
GIVE_UP_S = 10.0

Figures = dict[str, str]


def replaced(text: str, figures: Mapping[str, str]) -> str:
    """A page with new figures between their markers.

    Raises:
        ValueError: a figure has no marker.
    """
    for name, figure in figures.items():
        place = re.compile(rf"(<!-- figure:{name} -->).*?(<!-- /figure -->)", re.DOTALL)
        text, count = place.subn(lambda match, figure=figure: match[1] + figure + match[2], text)
        if not count:
            raise ValueError(f"no marker for the figure {name}")
    return text


def shown(seconds: float) -> str:
    """Seconds as milliseconds, or as microseconds below one."""
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"


def timed(call: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def until(holds: Callable[[], bool]) -> float:
    """Seconds until it holds, asked every 5 ms.

    Raises:
        TimeoutError: it never did.
    """
    began = time.perf_counter()
    while not holds():
        if time.perf_counter() - began > GIVE_UP_S:
            raise TimeoutError("it did not come back")
        time.sleep(0.005)
    return time.perf_counter() - began


def calls_in_trouble(cache: Cache, name: str) -> Figures:
    """``CALLS`` misses on a store that does not answer: how long they take, and what the caller sees."""
    errors = 0

    def ask(n: int) -> None:
        nonlocal errors
        try:
            errors += cache.get_or_compute("prompt", f"{name}{n}", lambda: n) != n
        except Exception:
            errors += 1

    took = [timed(lambda n=n: ask(n)) for n in range(CALLS)]
    return {
        f"{name}-total": shown(sum(took)),
        f"{name}-first": shown(took[0]),
        f"{name}-median": shown(statistics.median(took)),
        f"{name}-errors": str(errors),
    }


def asked_for(cache: Cache, seconds: float) -> None:
    """Go on asking, so that the breaker probes and its pauses grow to their longest."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        cache.get("prompt", "k")
        time.sleep(0.005)


def frozen() -> Figures:
    """SIGSTOP for 5 s, then SIGCONT."""
    with EmbeddedServer() as server, Cache.from_url(server.url) as cache:
        cache.set("prompt", "k", 1)
        server.freeze()
        try:
            figures = calls_in_trouble(cache, "frozen")
            asked_for(cache, 5)
        finally:
            server.thaw()
        return figures | {"thawed": shown(until(lambda: cache.get("prompt", "k") == 1))}


def killed() -> Figures:
    """SIGKILL, then an empty server at the same URL."""
    with EmbeddedServer() as server, Cache.from_url(server.url) as cache:
        cache.set("prompt", "k", 1)
        server.kill()
        figures = calls_in_trouble(cache, "killed")
        asked_for(cache, 5)
        server.start()
        computed: list[int] = []

        def comes_back() -> bool:
            cache.get_or_compute("prompt", "new", lambda: computed.append(1))
            return cache.get("prompt", "new") is not MISS

        return figures | {"restarted": shown(until(comes_back))}


def raced() -> Figures:
    """Invalidations race computations: how many old values were seen, and how many writes the fences refused."""
    recorder, truth, floor = Recorder(), [0] * SCOPES, [0] * SCOPES
    over, old = threading.Event(), []

    def ask(cache: Cache) -> None:
        while not over.is_set():
            for n in range(SCOPES):
                lowest = floor[n]
                if cache.get_or_compute("context", (f"t{n}", 0), lambda n=n: slowly(truth[n])) < lowest:
                    old.append(n)

    def slowly(read: int) -> int:
        over.wait(0)
        return read

    with (
        EmbeddedServer() as server,
        Cache.from_url(server.url, recorder=recorder, read_deadline=2, write_deadline=2) as cache,
        ThreadPoolExecutor(3) as pool,
    ):
        running = [pool.submit(ask, cache) for _ in range(3)]
        try:
            for round_ in range(1, ROUNDS + 1):
                truth[:] = [round_] * SCOPES
                cache.invalidate(tags=[f"task:t{n}" for n in range(SCOPES)])
                floor[:] = [round_] * SCOPES
        finally:
            over.set()
        for each in running:
            each.result(GIVE_UP_S)
    writes = recorder.ledger.figures().writes
    refused = sum(count for (_, result), count in writes.items() if result == "refused")
    stored = sum(count for (_, result), count in writes.items() if result == "stored")
    return {
        "race-invalidations": str(SCOPES * ROUNDS),
        "race-old": str(len(old)),
        "race-refused": str(refused),
        "race-stored": str(stored),
    }


def flown_together() -> Figures:
    """64 callers on one cold key, as threads and as tasks: how many computations there were."""
    computed: dict[str, int] = {"threads": 0, "tasks": 0}

    def in_threads(url: str) -> None:
        start = threading.Barrier(CALLERS)

        def compute() -> int:
            computed["threads"] += 1
            time.sleep(0.1)
            return 1

        def ask(_: int) -> int:
            start.wait()
            return cache.get_or_compute("prompt", "threads", compute)

        with Cache.from_url(url, read_deadline=2, write_deadline=2) as cache, ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(ask, range(CALLERS)))

    async def in_tasks(url: str) -> None:
        async def compute() -> int:
            computed["tasks"] += 1
            await asyncio.sleep(0.1)
            return 1

        async with AsyncCache.from_url(url, read_deadline=2, write_deadline=2) as cache:
            await asyncio.gather(*(cache.get_or_compute("prompt", "tasks", compute) for _ in range(CALLERS)))

    with EmbeddedServer() as server:
        in_threads(server.url)
        asyncio.run(in_tasks(server.url))
    return {f"flight-{kind}": str(count) for kind, count in computed.items()}


def round_trips() -> Figures:
    """Requests flushed and replies awaited, for each operation, as a proxy counts them."""
    counted: list[tuple[str, int]] = []
    keys = [f"k{n}" for n in range(50)]
    with EmbeddedServer() as server, RoundTripProxy(server.url) as proxy:
        with Cache.from_url(proxy.url, read_deadline=2, write_deadline=2) as cache:

            def count(label: str, call: Callable[[], Any]) -> None:
                proxy.tally.clear()
                call()
                counted.append((label, proxy.tally.round_trips))

            # a server that lacks a script costs one round trip more, once
            cache.get_or_compute("static", "warm", lambda: 1, tags=["warm"])
            cache.invalidate(tags=["warm"])
            cache.delete("static", "warm")
            count("`get_or_compute`, first miss of a category", lambda: cache.get_or_compute("prompt", "a", lambda: 1))
            count("`get_or_compute`, miss", lambda: cache.get_or_compute("prompt", "b", lambda: 1))
            count("`get_or_compute`, hit", lambda: cache.get_or_compute("prompt", "b", lambda: 1))
            count("`get`, hit", lambda: cache.get("prompt", "b"))
            count("`get`, miss", lambda: cache.get("prompt", "c"))
            count("`set`", lambda: cache.set("prompt", "b", 2))
            count("`set_many` of 50", lambda: cache.set_many("prompt", dict.fromkeys(keys, 1)))
            count("`get_many` of 50", lambda: cache.get_many("prompt", keys))
            count("`get_or_compute_many` of 50, hits", lambda: cache.get_or_compute_many("prompt", keys, list))
            count("`explain`", lambda: cache.explain("prompt", "b"))
            count("`delete`", lambda: cache.delete("prompt", "b"))
            count("`invalidate`, any number of tags", lambda: cache.invalidate(tags=["task:t", "task:u"]))
            count("`invalidate`, a category", lambda: cache.invalidate(category="prompt"))
            cache.set("prompt", "tagged", 1, tags=["red"])
            count("`get`, hit with a tag that the call does not name", lambda: cache.get("prompt", "tagged"))
    rows = [f"| {label} | {trips} |" for label, trips in counted]
    return {"round-trips": "\n\n" + "\n".join(["| Operation | Round trips |", "|---|---|", *rows]) + "\n\n"}


def started() -> Figures:
    """How long an embedded server takes until it answers: the median of five."""
    took = []
    for _ in range(5):
        server = EmbeddedServer()
        took.append(timed(server.start))
        server.stop()
    return {"start": shown(statistics.median(took))}


def machine() -> Figures:
    """Where it was measured."""
    with EmbeddedServer() as server, Cache.from_url(server.url) as cache:
        cache.get("prompt", "k")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"machine": f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores} cores"}


MEASUREMENTS = (machine, started, frozen, killed, raced, flown_together, round_trips)


def main(arguments: list[str]) -> int:
    """Measure all of it; write or print the figures."""
    figures: Figures = {}
    for measure in MEASUREMENTS:
        figures |= measure()
    for name, figure in figures.items():
        print(f"{name}: {figure.strip()}")
    if "--print" not in arguments:
        PAGE.write_text(replaced(PAGE.read_text(), figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
