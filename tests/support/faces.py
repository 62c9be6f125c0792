"""One face for both twins: scenarios await the same calls, whichever cache answers."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis

from cache import AsyncCache, Cache
from cache.clock import Clock
from cache.core.policies import Policy
from cache.core.steps import StoreStep
from cache.testing.clock import ManualClock
from telemetry.testing import Captured


class Ticking(ManualClock):
    """A manual wall clock over real monotonic time: entries age by command, deadlines by themselves."""

    def monotonic(self) -> float:
        return time.perf_counter()

    def step(self, seconds: float) -> None:
        """Move the wall clock as a correction of the system's time does; may be negative."""
        self._epoch += seconds


class SyncFace:
    """A blocking cache whose calls can be awaited; computations that are coroutines are run to their end."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.cache, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call if inspect.ismethod(method) else method

    async def aclose(self) -> None:
        self.cache.close()


Scenario = Callable[["Stage"], Awaitable[None]]


class Stage:
    """What a scenario plays on.

    Args:
        kind: sync or async.
        url: the server's.
        policies: of the application.
        settings: as ``from_url`` takes them.
    """

    def __init__(self, kind: str, url: str, policies: tuple[Policy, ...] = (), **settings: Any) -> None:
        self.kind, self.url = kind, url
        self.telemetry = Captured()
        self.clock = Ticking()
        self.recorder = self.telemetry.recorder()
        self.cache: Any = self.another(policies, **settings)

    def another(self, policies: tuple[Policy, ...] = (), clock: Clock | None = None, **settings: Any) -> Any:
        """Another cache on the same server: another process's, as it were, but for the accounts."""
        # the ceiling: a busy machine must not look like a slow store where a test is not about time
        patience = {"read_deadline": 2, "write_deadline": 2}
        given = {**patience, "recorder": self.recorder, "clock": clock or self.clock, "policies": policies, **settings}
        if self.kind == "sync":
            return SyncFace(Cache.from_url(self.url, **given))
        return AsyncCache.from_url(self.url, **given)

    def server(self) -> Any:
        """A client of redis-py on the same server, or on all of them."""
        if "+cluster://" in self.url:
            host, port = self.url.partition("://")[2].split(",")[0].split(":")
            return redis.RedisCluster(host, int(port))
        return redis.Redis.from_url(self.url)

    @property
    def engine(self) -> Any:
        return (self.cache.cache if self.kind == "sync" else self.cache)._engine

    def count(self, outcome: str, category: str = "prompt", **attributes: str) -> int:
        """How many lookups ended so, as the metrics say."""
        wanted = {"cache.outcome": outcome, "cache.category": category, **attributes}
        return int(self.telemetry.value("cache.requests", **wanted))

    def writes(self, result: str, category: str = "prompt") -> int:
        """How many writes ended so."""
        return int(self.telemetry.value("cache.writes", **{"cache.result": result, "cache.category": category}))


def play(scenario: Scenario, stage: Stage) -> None:
    """Run a scenario to its end and close its cache."""

    async def run() -> None:
        try:
            await scenario(stage)
        finally:
            await stage.cache.aclose()

    asyncio.run(run())


class Recording:
    """Counts how often a computation ran, and returns what it is told."""

    def __init__(self, *values: Any) -> None:
        self.values, self.calls = list(values), 0

    def __call__(self, *_: Any) -> Any:
        value = self.values[min(self.calls, len(self.values) - 1)]
        self.calls += 1
        if isinstance(value, Exception):
            raise value
        return value


def names(steps: list[StoreStep]) -> list[str]:
    """What was asked of a store, by the kind of step."""
    return [type(step).__name__ for step in steps]
