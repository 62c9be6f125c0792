"""Client resources: rows 37 to 45."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cache import AsyncCache, Cache
from faults.callers import Load, name_of
from faults.figures import Figures, Limits
from faults.place import Place
from faults.registry import Catalogue
from faults.truth import KEYS
from faults.watching import holding, settled
from faults.web import Site, Web

ROWS = Catalogue("Client resources")

ASYNC = (("asyncio", "fast"), ("asyncio", "plain"))
EITHER = (("sync", "fast"), ("sync", "plain"))
QUIET = Limits(burst_ms=None, lag_ms=None, recovery_s=None)
TESTS = Path(__file__).resolve().parent.parent


def settings(path: str, **more: Any) -> dict[str, Any]:
    """Of a cache that takes one of the ways."""
    return {"fast_path": path == "fast", **more}


@ROWS.fault("37", "pool exhausted", "proxy: +20 ms, 12 callers, 2 connections", proxy=True, callers=12,
            pace_s=0.01, settings={"max_connections": 2}, lasts_s=4,
            limits=Limits(burst_ms=None, p99_ms=200.0, lag_ms=50.0),
            variants=(("sync", "fast"), ("sync", "plain"), ("asyncio", "fast"), ("asyncio", "plain")),
            tests=("tests/stores/test_store_concurrency.py::test_an_exhausted_pool_is_a_bounded_wait",
                   "tests/stores/test_store_concurrency.py::test_a_thousand_tasks_over_ten_connections_all_end"),
)  # fmt: skip
def exhausted(place: Place) -> Iterator[None]:
    try:
        place.network.delay(0.02)
        yield
    finally:
        place.network.heal()


@ROWS.trial("38", "cancellation at every await", "cancel after 0, 1, 2 ... turns of the loop, beside other tasks",
            variants=ASYNC, limits=QUIET,
            tests=("tests/stores/test_store_concurrency.py::test_cancelled_calls_leave_no_wrong_value_and_no_connection",
                   "tests/stores/test_lanes.py::test_ten_thousand_calls_by_64_tasks_never_get_anothers_reply"),
)  # fmt: skip
def cancelled(place: Place, form: str, path: str) -> Figures:
    """10^5 cancellations, in CI 3,000; another task's calls go on meanwhile."""
    count, figures, truth = (3_000 if place.short else 100_000), Figures(), place.truth
    before = holding()

    async def main() -> None:
        async with AsyncCache.from_url(place.url, **settings(path, read_deadline=2, write_deadline=2)) as cache:
            over = asyncio.Event()

            async def ask(key: int) -> None:
                lowest = truth.floor(key)
                value = await cache.get_or_compute("context", name_of(key), lambda: truth.compute(key))
                figures.wrong += not truth.legal(key, lowest, value)

            async def others() -> None:
                while not over.is_set():
                    await ask(random.randrange(KEYS))
                    figures.calls += 1
                    key = random.randrange(KEYS)
                    version = truth.change(key)
                    done = await cache.invalidate(tags=[f"task:t{key}"])
                    truth.raise_floor(key, version, everywhere=done > 0)

            beside = [asyncio.create_task(others()) for _ in range(2)]
            ended = 0
            for n in range(count):
                task = asyncio.create_task(ask(random.randrange(KEYS)))
                for _ in range(n % 24):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    ended += 1
            over.set()
            await asyncio.gather(*beside)
            figures.more |= {"cancelled": count, "ended by it": ended}
            figures.errors += bool(cache._engine.flights._groups)
        figures.leaks = len(asyncio.all_tasks()) - 1

    asyncio.run(main())
    figures.leaks = (figures.leaks or 0) + settled(lambda: holding().above(before)).leaks
    made = place.admin.info("stats")["total_connections_received"]
    figures.more["connections for each cancellation"] = round(made / count, 4)
    return figures


@ROWS.trial("39", "the client of an application goes away", "a middleware; the leader's and followers' sockets closed",
            variants=(("web", "fast"),), limits=QUIET,
            tests=("tests/http/test_api.py::test_a_broken_request_harms_nobody",
                   "tests/clients/test_flights.py::test_a_cancelled_leader_hands_over"))  # fmt: skip
def gone(place: Place, form: str, path: str) -> Figures:
    """One asks and leaves, others ask for the same key: they have their answer, of one computation per process."""
    figures, rounds = Figures(), 4 if place.short else 20
    site = Site(place.folder, place.url, settings(path))
    before = {pid: held["descriptors"] + held["tasks"] for pid, held in site.held().items()}
    try:
        for key in range(rounds):
            computed = place.truth.computed()
            leaver = socket.create_connection(("127.0.0.1", site.port))
            leaver.sendall(b"GET /slow/%d?seconds=0.3 HTTP/1.1\r\nHost: x\r\n\r\n" % key)
            time.sleep(0.1)
            with ThreadPoolExecutor(4) as pool:
                asked = [pool.submit(site.fresh, f"/slow/{key}?seconds=0.3") for _ in range(4)]
                leaver.close()
                for each in asked:
                    try:
                        figures.wrong += each.result(30).get("key") != key
                    except Exception:
                        figures.errors += 1
            figures.calls += 4
            figures.origin = max(figures.origin or 0, (place.truth.computed() - computed) / 2)
        held = site.held()
        figures.leaks = sum(max(0, h["descriptors"] + h["tasks"] - before[pid] - 8) for pid, h in held.items())
    finally:
        figures.more["end, s"] = round(site.end(), 2)
    return figures


@ROWS.trial("40", "fork after use", "os.fork with live connections, flights and threads", variants=EITHER, limits=QUIET,
            tests=("tests/clients/test_forks.py::test_a_child_follows_no_flight_of_its_parent",
                   "tests/clients/test_forks.py::test_locks_of_the_parents_threads_are_not_waited_for",
                   "tests/clients/test_forks.py::test_a_child_refreshes_in_threads_of_its_own",
                   "tests/stores/test_store_concurrency.py::test_a_forked_child_has_its_own_connections",
                   "tests/stores/test_store_concurrency.py::test_a_child_forked_during_a_probe_can_probe_itself",
                   "tests/telemetry/test_ledger.py::test_a_forked_child_begins_at_zero_even_when_the_lock_was_held",
                   "tests/fleet/test_processes.py::test_a_forked_child_is_a_process_of_its_own"))  # fmt: skip
def forked(place: Place, form: str, path: str) -> Figures:
    """Children are forked while threads of the parent are in the middle of calls; each asks 200 times."""
    figures, children, longest = Figures(), 5 if place.short else 40, 0.0
    truth, over = place.truth, threading.Event()
    with Cache.from_url(place.url, **settings(path, read_deadline=2, write_deadline=2)) as cache:

        def ask(times: int) -> int:
            wrong = 0
            for _ in range(times):
                key = random.randrange(KEYS)
                lowest = truth.floor(key)
                value = cache.get_or_compute("context", name_of(key), lambda key=key: truth.compute(key))
                wrong += not truth.legal(key, lowest, value)
            return wrong

        def parent() -> None:
            while not over.is_set():
                figures.wrong += ask(10)

        threads = [threading.Thread(target=parent) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(children):
            began = time.perf_counter()
            pid = os.fork()
            if pid == 0:
                signal.alarm(10)
                code = 1
                try:
                    code = 0 if ask(200) == 0 else 3
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            figures.errors += code not in (0, 3)
            figures.wrong += code == 3
            longest = max(longest, time.perf_counter() - began)
            figures.calls += 200
        over.set()
        for thread in threads:
            thread.join()
    figures.more |= {"children": children, "longest life, s": round(longest, 2)}
    return figures


@ROWS.trial("43", "1,000 threads and 1,000 tasks on one cache", "all at once, on few keys; in CI 200 and 200",
            variants=EITHER, limits=QUIET, patience_s=240)  # fmt: skip
def crowded(place: Place, form: str, path: str) -> Figures:
    """Threads call, tasks await the decorated twin; a watchdog of 120 s sees that all end."""
    count, figures, truth = (200 if place.short else 1000), Figures(), place.truth
    with Cache.from_url(place.url, **settings(path)) as cache:

        @cache.cached("context", key=name_of)
        async def awaited(key: int) -> dict[str, int]:
            await asyncio.sleep(0.001)
            return truth.compute(key)

        def called(n: int) -> None:
            key = n % KEYS
            value = cache.get_or_compute("context", name_of(key), lambda: truth.compute(key))
            figures.wrong += value["key"] != key

        async def all_tasks() -> None:
            values = await asyncio.gather(*(awaited(n % KEYS) for n in range(count)))
            figures.wrong += sum(value["key"] != n % KEYS for n, value in enumerate(values))

        threads = [threading.Thread(target=called, args=(n,), daemon=True) for n in range(count)]
        loop = threading.Thread(target=lambda: asyncio.run(all_tasks()), daemon=True)
        began = time.monotonic()
        for thread in (loop, *threads):
            thread.start()
        for thread in (loop, *threads):
            thread.join(max(0.0, 120 - (time.monotonic() - began)))
        figures.errors = sum(thread.is_alive() for thread in (loop, *threads))
    figures.calls = 2 * count
    figures.more |= {"computations": truth.computed(), "keys": KEYS, "seconds": round(time.monotonic() - began, 2)}
    return figures


@ROWS.trial("44", "memory of the local tier", "distinct keys of 10 KiB, ten times its bound of 64 MiB; in CI twice 32",
            limits=Limits(burst_ms=None, lag_ms=None, recovery_s=None, mib=64 * 1.2), maxmemory="64mb",
            variants=EITHER, tests=("tests/core/test_held.py::test_the_bytes_that_are_counted_are_those_that_are_taken",
                   "tests/core/test_s3fifo.py::test_the_bytes_keep_within_the_bound_and_are_counted_exactly"),
)  # fmt: skip
def bounded(place: Place, form: str, path: str) -> Figures:
    """The process grows by the bound and a fifth at most."""
    bound, times = (32 << 20, 2) if place.short else (64 << 20, 10)
    count = times * bound // 10_240
    local = {"local_categories": "static", "local_max_bytes": bound}
    with Cache.from_url(place.url, **settings(path, read_deadline=2, write_deadline=2, **local)) as cache:
        for n in range(500):
            cache.get_or_compute("static", f"warm{n}", lambda: os.urandom(10))
        before = holding().mib
        for n in range(count):
            cache.get_or_compute("static", f"k{n}", lambda: os.urandom(10_240))
        grown = holding().mib - before
    allowed = 1.2 * bound / (1 << 20)
    return Figures(calls=count, mib=grown, errors=int(grown > allowed), more={"bound, MiB": bound >> 20, "keys": count})


@ROWS.trial("45", "end with work under way", "SIGTERM under load, the store frozen and not",
            variants=(("web", "fast"),), limits=QUIET,
            tests=("tests/cli/test_serve_workers.py::test_the_end_comes_soon_and_loses_nothing",
                   "tests/cli/test_traffic.py::test_the_end_comes_at_once_in_the_middle_of_a_run",
                   "tests/clients/test_running.py::test_a_refresh_at_the_processs_end_harms_no_caller"))  # fmt: skip
def ended(place: Place, form: str, path: str) -> Figures:
    """Gone within 5 s, code 0, nothing on the error output."""
    figures, took = Figures(), {}
    for name in ("the store well", "the store frozen"):
        folder = place.folder / name.replace(" ", "-")
        folder.mkdir()
        web = Web(Load(place.url, place.truth, settings=settings(path)), folder)
        time.sleep(0.5)
        if "frozen" in name:
            place.server.freeze()
        took[name] = web.site.end()
        figures.errors += took[name] > 5 or web.site.process.returncode not in (0, -signal.SIGTERM)
        figures.errors += "Traceback" in (folder / "uvicorn.log").read_text()
        web.abandon()
        figures.calls += len(web.book.notes)
        place.server.thaw()
    figures.more |= {f"end, {name}, s": round(seconds, 2) for name, seconds in took.items()}
    return figures
