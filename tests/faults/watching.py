"""What a process is doing: how long its loop lags, what it holds open; the machine's own part taken out."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETTLE_S = 10.0
"""How long a process may take to let go: a sixth of what is granted."""


def held_up() -> float:
    """Seconds that the scheduler has kept this thread from running though it could; 0 where nobody tells.

    Source: Documentation/scheduler/sched-stats.rst of Linux, ``/proc/<pid>/schedstat``.
    """
    try:
        descriptor = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
    except OSError:
        return 0.0
    try:
        return int(os.read(descriptor, 64).split()[1]) / 1e9
    finally:
        os.close(descriptor)


class Passes:
    """Seconds that the garbage collector has held the interpreter: over all that is imported a pass takes 75 ms."""

    def __init__(self) -> None:
        self.seconds, self._began = 0.0, 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began


PASSES = Passes()


class Stopwatch:
    """Seconds that the thread itself took: not those that it waited for a processor, nor passes of the collector."""

    def __init__(self) -> None:
        self._held, self._began = held_up() + PASSES.seconds, time.perf_counter()

    def read(self) -> float:
        """Seconds since the last reading or the start."""
        now, held = time.perf_counter(), held_up() + PASSES.seconds
        took = now - self._began - (held - self._held)
        self._began, self._held = now, held
        return max(0.0, took)


@dataclass(frozen=True, slots=True)
class Holding:
    """What a process holds."""

    descriptors: int
    threads: int
    tasks: int
    mib: float

    def above(self, other: Holding) -> Holding:
        """What is held beyond the other."""
        return Holding(
            self.descriptors - other.descriptors,
            self.threads - other.threads,
            self.tasks - other.tasks,
            round(self.mib - other.mib, 1),
        )

    @property
    def leaks(self) -> int:
        """Descriptors, threads and tasks."""
        return max(0, self.descriptors) + max(0, self.threads) + max(0, self.tasks)


def holding(tasks: int = 0) -> Holding:
    """What this process holds now."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return Holding(
        len(os.listdir("/proc/self/fd")) - 1,
        int(status["Threads"]),
        tasks,
        round(int(status["VmRSS"].split()[0]) / 1024, 1),
    )


def settled(look: Callable[[], Holding], seconds: float = SETTLE_S) -> Holding:
    """What is held when nothing is held any more, or when the time is over."""
    give_up = time.monotonic() + seconds
    while (held := look()).leaks and time.monotonic() < give_up:
        time.sleep(0.02)
    return held


class LoopWatch:
    """How long an event loop was at work before it looked again for who else is ready.

    A loop that is woken late out of an idle ``select`` lags by the machine's doing (4 to 10 ms on virtual ones); what a
    cache can do to a loop is to keep it at work.

    Attributes:
        longest: the longest turn since it was last set to 0, in seconds.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        select, watch = selector.select, Stopwatch()

        def watched(timeout: float | None = None) -> Any:
            self.longest = max(self.longest, watch.read())
            try:
                return select(timeout)
            finally:
                watch.read()

        selector.select = watched
        try:
            await asyncio.Event().wait()
        finally:
            selector.select = select
