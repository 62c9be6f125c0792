"""Callers of a cache under load, as threads and as tasks; ``web`` has the third kind. The book notes how calls went."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from cache import AsyncCache, Cache
from faults.book import Book, now
from faults.truth import KEYS, Truth
from faults.watching import Holding, LoopWatch, Stopwatch, holding, settled
from telemetry.recorder import Recorder
from telemetry.vocabulary import BreakerState

PACE_S = 0.002
CHANGE_S = 0.05
"""Between two invalidations."""

BURST = 50


@dataclass(slots=True)
class Load:
    """What is called, and how.

    Args:
        url: of the store, as the callers reach it.
        callers: threads or tasks that ask.
        settings: of the cache.
        changing: versions are changed and invalidated meanwhile.
        pace_s: a caller's pause between two calls.
    """

    url: str
    truth: Truth
    callers: int = 4
    settings: dict[str, Any] = field(default_factory=dict)
    changing: bool = True
    pace_s: float = PACE_S


class Burst(list[float]):
    """Seconds that each of some calls took, one after the other."""


class Caller(Protocol):
    """One form of caller, under load while its context lasts."""

    book: Book

    def paused(self) -> Any:
        """A context in which it asks nothing."""

    def burst(self, count: int = BURST) -> Burst:
        """So many calls one after the other, of keys that are not kept; noted in the book too."""

    def lag(self) -> float | None:
        """Longest lag of an event loop since the last question, seconds; None where there is no loop."""

    def holds(self) -> Holding:
        """What the calling processes hold."""

    def transitions(self) -> int:
        """How often the breakers have changed."""

    def close(self) -> Holding:
        """End the load and the cache; what is held then beyond what was held before both."""


class Noting(Recorder):
    """Counts the breaker's changes too."""

    changes = 0

    def breaker(self, store: str, state: BreakerState) -> None:
        super().breaker(store, state)
        self.changes += 1


def name_of(key: int) -> tuple[str, int]:
    """A key of the load, as the category ``context`` has them; its tag is ``task:t<key>``."""
    return f"t{key}", 0


class Threads:
    """Threads that share a blocking cache."""

    def __init__(self, load: Load) -> None:
        self.book, self._load, self._truth = Book(), load, load.truth
        self._before = holding()
        self._recorder = Noting()
        self._cache = Cache.from_url(load.url, recorder=self._recorder, **load.settings)
        self._over, self._go = threading.Event(), threading.Event()
        self._go.set()
        self._asking = threading.Semaphore(load.callers + 1)
        self._pool = ThreadPoolExecutor(load.callers + 1)
        self._running = [self._pool.submit(self._repeat, self._ask_any, load.pace_s) for _ in range(load.callers)]
        if load.changing:
            self._running.append(self._pool.submit(self._repeat, self._change_any, CHANGE_S))

    def _repeat(self, act: Callable[[], None], pace_s: float) -> None:
        while not self._over.wait(pace_s):
            if not self._go.wait(1):
                continue
            with self._asking:
                act()

    def _ask_any(self) -> None:
        self._ask(random.randrange(KEYS))

    def _ask(self, key: int) -> float:
        computed: list[int] = []

        def compute() -> dict[str, int]:
            computed.append(key)
            return self._truth.compute(key)

        lowest, at, watch, error, value = self._truth.floor(key), now(), Stopwatch(), "", None
        try:
            value = self._cache.get_or_compute("context", name_of(key), compute)
        except Exception as trouble:
            error = f"{type(trouble).__name__}: {trouble}"
        took = watch.read()
        wrong = not error and not self._truth.legal(key, lowest, value)
        self.book.note(at, took, hit=not computed and not error, wrong=wrong, error=error)
        return took

    def _change_any(self) -> None:
        key = random.randrange(KEYS)
        version = self._truth.change(key)
        at = now()
        try:
            done = self._cache.invalidate(tags=[f"task:t{key}"])
        except Exception as trouble:
            self.book.note(at, now() - at, hit=False, error=f"invalidate: {type(trouble).__name__}: {trouble}")
            return
        self._truth.raise_floor(key, version, everywhere=done > 0)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._go.clear()
        held = self._load.callers + 1
        for _ in range(held):
            self._asking.acquire()
        try:
            for _ in range(held):
                self._asking.release()
            yield
        finally:
            self._go.set()

    def burst(self, count: int = BURST) -> Burst:
        return Burst(self._ask(n % KEYS) for n in range(count))

    def lag(self) -> float | None:
        return None

    def holds(self) -> Holding:
        return holding()

    def transitions(self) -> int:
        return self._recorder.changes

    def close(self) -> Holding:
        self._over.set()
        self._go.set()
        for each in self._running:
            each.result(30)
        self._pool.shutdown()
        self._cache.close()
        return settled(lambda: holding().above(self._before))


class Tasks:
    """Tasks of one event loop, in a thread of its own, that share an async cache."""

    def __init__(self, load: Load) -> None:
        self.book, self._load, self._truth = Book(), load, load.truth
        self._before = holding()
        self._recorder = Noting()
        self._watch = LoopWatch()
        self._ready = threading.Event()
        self._tasks_left = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="faults-loop")
        self._thread.start()
        if not self._ready.wait(30):
            raise TimeoutError("the loop did not start")

    async def _main(self) -> None:
        self._loop, self._over, self._go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._go.set()
        self._under_way = 0
        cache = self._cache = AsyncCache.from_url(self._load.url, recorder=self._recorder, **self._load.settings)
        acts = [self._repeat(self._ask_any, self._load.pace_s) for _ in range(self._load.callers)]
        if self._load.changing:
            acts.append(self._repeat(self._change_any, CHANGE_S))
        watching = asyncio.create_task(self._watch.run())
        self._ready.set()
        try:
            await asyncio.gather(*acts)
        finally:
            watching.cancel()
            await cache.aclose()
            await asyncio.gather(watching, return_exceptions=True)
            self._tasks_left = len(asyncio.all_tasks()) - 1

    async def _repeat(self, act: Callable[[], Any], pace_s: float) -> None:
        while not self._over.is_set():
            await asyncio.sleep(pace_s)
            await self._go.wait()
            self._under_way += 1
            try:
                await act()
            finally:
                self._under_way -= 1

    async def _ask_any(self) -> None:
        await self._ask(random.randrange(KEYS))

    async def _ask(self, key: int) -> float:
        computed: list[int] = []

        def compute() -> dict[str, int]:
            computed.append(key)
            return self._truth.compute(key)

        lowest, at, watch, error, value = self._truth.floor(key), now(), Stopwatch(), "", None
        try:
            value = await self._cache.get_or_compute("context", name_of(key), compute)
        except Exception as trouble:
            error = f"{type(trouble).__name__}: {trouble}"
        took = watch.read()
        wrong = not error and not self._truth.legal(key, lowest, value)
        self.book.note(at, took, hit=not computed and not error, wrong=wrong, error=error)
        return took

    async def _change_any(self) -> None:
        key = random.randrange(KEYS)
        version = self._truth.change(key)
        at = now()
        try:
            done = await self._cache.invalidate(tags=[f"task:t{key}"])
        except Exception as trouble:
            self.book.note(at, now() - at, hit=False, error=f"invalidate: {type(trouble).__name__}: {trouble}")
            return
        self._truth.raise_floor(key, version, everywhere=done > 0)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._run(self._pause())
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._go.set)

    async def _pause(self) -> None:
        self._go.clear()
        while self._under_way:  # noqa: ASYNC110
            await asyncio.sleep(PACE_S)

    def burst(self, count: int = BURST) -> Burst:
        return self._run(self._burst(count))

    async def _burst(self, count: int) -> Burst:
        took = []
        for n in range(count):
            took.append(await self._ask(n % KEYS))
            # without a store no call waits for anything: 50 in one turn were the caller's doing
            await asyncio.sleep(0)
        return Burst(took)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def lag(self) -> float | None:
        longest, self._watch.longest = self._watch.longest, 0.0
        return longest

    def holds(self) -> Holding:
        return holding()

    def transitions(self) -> int:
        return self._recorder.changes

    def close(self) -> Holding:
        def end() -> None:
            self._over.set()
            self._go.set()

        self._loop.call_soon_threadsafe(end)
        self._thread.join(60)
        return settled(lambda: holding(self._tasks_left).above(self._before))
