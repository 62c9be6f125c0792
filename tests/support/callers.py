"""Callers that go on calling while a store is in trouble, and what became of each call."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

from cache import AsyncCache, Cache


@dataclass
class Calls:
    """What callers met.

    Attributes:
        wrong: values that were none of the legal ones.
        errors: exceptions that reached a caller.
        slow_s: the longest call.
        lag_s: how late the event loop was at most.
        count: how many calls there were.
    """

    wrong: list[Any] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    slow_s: float = 0.0
    lag_s: float = 0.0
    count: int = 0


class Callers:
    """Callers that ask for the same keys again and again, each value known beforehand.

    Args:
        cache: blocking or awaiting.
        keys: how many.
        crowd: how many threads, or tasks of one event loop.
    """

    def __init__(self, cache: Cache | AsyncCache, keys: int = 30, crowd: int = 2) -> None:
        self.cache, self.keys, self.calls = cache, [f"key{n}" for n in range(keys)], Calls()
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._loop = asyncio.new_event_loop() if isinstance(cache, AsyncCache) else None
        work = self._in_threads if self._loop is None else self._in_a_loop
        self._threads = [threading.Thread(target=work, daemon=True) for _ in range(crowd if self._loop is None else 1)]
        self._crowd = crowd

    def _in_threads(self) -> None:
        while not self._stop.is_set():
            for key in self.keys:
                began = time.perf_counter()
                try:
                    value = self.cache.get_or_compute("prompt", key, lambda key=key: {"of": key}, tags=[f"tag:{key}"])
                except BaseException as error:
                    self._ended(key, began, None, error)
                else:
                    self._ended(key, began, value, None)

    def _in_a_loop(self) -> None:
        assert self._loop is not None
        self._loop.run_until_complete(self._all_tasks())

    async def _all_tasks(self) -> None:
        await asyncio.gather(self._watch(), *(self._task() for _ in range(self._crowd)))
        await self.cache.aclose()

    async def _watch(self) -> None:
        """Note how late the loop is."""
        while not self._stop.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            self.calls.lag_s = max(self.calls.lag_s, time.perf_counter() - began - 0.005)

    async def _task(self) -> None:
        cache: Any = self.cache
        while not self._stop.is_set():
            for key in self.keys:
                began = time.perf_counter()
                try:
                    value = await cache.get_or_compute("prompt", key, lambda key=key: {"of": key}, tags=[f"tag:{key}"])
                except BaseException as error:
                    self._ended(key, began, None, error)
                else:
                    self._ended(key, began, value, None)
                # a call that asks nobody gives nobody else a turn
                await asyncio.sleep(0)

    def _ended(self, key: str, began: float, value: Any, error: BaseException | None) -> None:
        took = time.perf_counter() - began
        with self._lock:
            self.calls.count += 1
            self.calls.slow_s = max(self.calls.slow_s, took)
            if error is not None:
                self.calls.errors.append(error)
            elif value != {"of": key}:
                self.calls.wrong.append(value)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        if self._loop is None:
            self.cache.close()
        else:
            self._loop.close()

    def all_hit(self) -> bool:
        """Whether every key is in the store, and can be read from it."""
        found = self.call("get_many", "prompt", self.keys)
        return all(value == {"of": key} for key, value in zip(self.keys, found, strict=True))

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call the cache beside the callers."""
        method = getattr(self.cache, name)
        if self._loop is None:
            return method(*args, **kwargs)
        return asyncio.run_coroutine_threadsafe(method(*args, **kwargs), self._loop).result(10)


def seconds_until_all_hit(callers: Callers, within_s: float = 20.0) -> float:
    """How long it takes until every key hits again."""
    began = time.perf_counter()
    while not callers.all_hit():
        assert time.perf_counter() - began < within_s, "the cache did not come back"
        time.sleep(0.01)
    return time.perf_counter() - began
