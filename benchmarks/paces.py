"""How calls are made and timed: paced, one after the other, by many tasks, by many threads."""

from __future__ import annotations

import asyncio
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from benchmarks.contenders import Job
from benchmarks.method import quantile

IDLE_S = 0.003
"""An exporter's thread that took less than a sixth of this long, in this long, is at rest."""

Found = dict[str, Any]


def paced(job: Job, loop: AbstractEventLoop, n: int, rate: float) -> Found:
    """Calls at a steady rate, each timed from its start to its end; the exporter's thread works beside them.

    Args:
        rate: calls a second; one that is late is made at once and the ones after it keep to the clock.

    Returns:
        ``p50`` and ``p99``, µs; ``wrong``: calls that gave nothing.
    """
    took: list[int] = []
    wrong = (
        loop.run_until_complete(_paced_async(job, n, rate, took)) if job.asynchronous else _paced(job, n, rate, took)
    )
    settle()
    return {"calls": n, "wrong": wrong, "p50": quantile(took, 0.5) / 1000, "p99": quantile(took, 0.99) / 1000}


def _paced(job: Job, n: int, rate: float, took: list[int]) -> int:
    call, absent, clock, wrong = job.call, job.absent, time.perf_counter_ns, 0
    began = time.perf_counter()
    for turn in range(n):
        if (left := began + turn / rate - time.perf_counter()) > 0:
            time.sleep(left)
        start = clock()
        got = call()
        took.append(clock() - start)
        wrong += got is absent
    return wrong


async def _paced_async(job: Job, n: int, rate: float, took: list[int]) -> int:
    call, absent, clock, wrong = job.call, job.absent, time.perf_counter_ns, 0
    began = time.perf_counter()
    for turn in range(n):
        await asyncio.sleep(max(0.0, began + turn / rate - time.perf_counter()))
        start = clock()
        got = await call()
        took.append(clock() - start)
        wrong += got is absent
    return wrong


def settle() -> None:
    """Wait until the other threads of this process are at rest, at most a second."""
    give_up = time.monotonic() + 1
    while time.monotonic() < give_up:
        before = time.process_time()
        time.sleep(IDLE_S)
        if time.process_time() - before < IDLE_S / 6:
            return


def flood(job: Job, loop: AbstractEventLoop, seconds: float, limit: int, flush: Callable[[], bool]) -> Found:
    """One call after the other.

    Returns:
        ``per_s``: calls a second, the clock stops when the exporter has sent all; ``cpu``: µs of the whole process a
        call; ``p50``: µs of a call.
    """
    took: list[int] = []
    cpu, began = time.process_time(), time.perf_counter()
    wrong = loop.run_until_complete(_flood_async(job, seconds, limit, took)) if job.asynchronous else 0
    if not job.asynchronous:
        wrong = _flood(job, seconds, limit, took)
    flush()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    n = len(took)
    return {"calls": n, "wrong": wrong, "per_s": n / wall, "cpu": cpu / n * 1e6, "p50": quantile(took, 0.5) / 1000}


def _flood(job: Job, seconds: float, limit: int, took: list[int]) -> int:
    call, absent, clock, wrong = job.call, job.absent, time.perf_counter_ns, 0
    end = clock() + int(seconds * 1e9)
    before = clock()
    while before < end and len(took) < limit:
        wrong += call() is absent
        after = clock()
        took.append(after - before)
        before = after
    return wrong


async def _flood_async(job: Job, seconds: float, limit: int, took: list[int]) -> int:
    call, absent, clock, wrong = job.call, job.absent, time.perf_counter_ns, 0
    end = clock() + int(seconds * 1e9)
    before = clock()
    while before < end and len(took) < limit:
        wrong += await call() is absent
        after = clock()
        took.append(after - before)
        before = after
    return wrong


def burst(call: Callable[[], Any], size: int) -> float:
    """µs of one of ``size`` calls in a row."""
    began = time.perf_counter_ns()
    for _ in range(size):
        call()
    return (time.perf_counter_ns() - began) / size / 1000


def bursts(job: Job, count: int, size: int, pause_s: float) -> Found:
    """Bursts of calls with pauses between them; ``took``: µs of one call in each burst."""
    took = []
    for _ in range(count):
        time.sleep(pause_s)
        took.append(burst(job.call, size))
    return {"calls": count * size, "took": took}


def crowd(job: Job, loop: AbstractEventLoop, tasks: int, seconds: float, limit: int) -> Found:
    """Calls of many tasks of one loop at a time."""
    took: list[int] = []
    wrong = [0]

    async def each(end: int) -> None:
        await _until(job, end, limit, took, wrong)

    async def all_of_them() -> float:
        began = time.perf_counter()
        end = time.perf_counter_ns() + int(seconds * 1e9)
        await asyncio.gather(*(each(end) for _ in range(tasks)))
        return time.perf_counter() - began

    return _crowded(took, loop.run_until_complete(all_of_them()), wrong[0])


async def _until(job: Job, end: int, limit: int, took: list[int], wrong: list[int]) -> None:
    call, absent, clock = job.call, job.absent, time.perf_counter_ns
    start = clock()
    while start < end and len(took) < limit:
        start = clock()
        wrong[0] += await call() is absent
        took.append(clock() - start)


def threads(job: Job, count: int, seconds: float, limit: int) -> Found:
    """Calls of many threads at a time, which start together."""
    took: list[int] = []
    wrong: list[int] = []
    start = threading.Barrier(count + 1)

    def each() -> None:
        start.wait()
        mine: list[int] = []
        wrong.append(_flood(job, seconds, limit // count, mine))
        took.extend(mine)

    running = [threading.Thread(target=each) for _ in range(count)]
    for thread in running:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in running:
        thread.join()
    return _crowded(took, time.perf_counter() - began, sum(wrong))


def _crowded(took: list[int], wall: float, wrong: int) -> Found:
    found = {"p50": quantile(took, 0.5) / 1000, "p99": quantile(took, 0.99) / 1000}
    return {"calls": len(took), "wrong": wrong, "per_s": len(took) / wall, **found}
