"""Replicas behind slow links, and replicas that lag: what the policy allows and no more, no error, bounded time."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from support.cluster import Cluster, until
from support.replicas import FarReplicas

from cache import AsyncCache, Cache, Policy

POLICIES = (Policy(name="wx", read_replicas=True),)
KEYS = [f"k{n}" for n in range(12)]

READ_S, WRITE_S = 0.05, 0.1
"""Deadlines, as they are by default: a call that misses may need both."""

LATE_S = 0.1
"""How late a busy machine may hear that a deadline has passed."""

BURST_S = 2.0
"""What 50 calls take at most on a busy machine; if they waited for three silent replicas a few times it were more."""

SLOW = (5, 20, 100, 500, None)
"""Milliseconds that the link to each replica takes longer; None: nothing comes."""

CALLS = 120
"""How many are made while the links are slow, 50 of them alone."""

LAG_S = 0.2
"""How late the replicas hear of what their primaries do."""


@pytest.fixture(scope="module")
def moved_away(session_cluster: Cluster) -> Iterator[FarReplicas]:
    with FarReplicas(session_cluster, "wx:") as replicas:
        yield replicas


@pytest.fixture
def far(cluster: Cluster, moved_away: FarReplicas) -> FarReplicas:
    """The shared cluster, empty, its replicas far away."""
    return moved_away


class Face:
    """A cache of either kind, called from threads."""

    def __init__(self, kind: str, url: str) -> None:
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        if self._loop is not None:
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()
        self.cache: Any = (Cache if self._loop is None else AsyncCache).from_url(url, policies=POLICIES)

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self._loop is None:
            return getattr(self.cache, name)(*args, **kwargs)

        async def call() -> Any:
            return await getattr(self.cache, name)(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self("close" if self._loop is None else "aclose")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()


class World:
    """What is true, and what may be seen: in ``wx`` all since the last invalidation, in ``prompt`` the newest alone."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.truth = {name: dict.fromkeys(KEYS, 0) for name in ("wx", "prompt")}
        self.floors = {name: dict.fromkeys(KEYS, 0) for name in ("wx", "prompt")}
        self.wrong: list[Any] = []
        self.errors: list[BaseException] = []
        self.took: list[float] = []
        self.older = self.invalidations = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def _safely(self, act: Callable[[random.Random], None]) -> None:
        pick = random.Random(act.__name__)
        while not self._stop.is_set():
            try:
                act(pick)
            except BaseException as error:
                self.errors.append(error)

    def _change(self, pick: random.Random) -> None:
        """Replace a value, every third time after an invalidation of the one before."""
        name, key = pick.choice(("wx", "prompt")), pick.choice(KEYS)
        now = self.truth[name][key] = self.truth[name][key] + 1
        if pick.random() < 0.3:
            # where it failed it is pending, and this very cache knows
            self.invalidations += self.face("invalidate", tags=[key])
            self.floors[name][key] = now
        if self.face("set", name, key, now, tags=[key]) and name == "prompt":
            self.floors[name][key] = now
        time.sleep(0.005)

    def _look(self, pick: random.Random) -> None:
        self.look(pick.choice(("wx", "prompt")), pick.choice(KEYS))

    def look(self, name: str, key: str) -> None:
        """One call, judged."""
        least, newest = self.floors[name][key], self.truth[name][key]
        began = time.perf_counter()
        found = self.face("get_or_compute", name, key, lambda: self.truth[name][key], tags=[key])
        self.took.append(time.perf_counter() - began)
        if not least <= found <= self.truth[name][key]:
            self.wrong.append((name, key, found, least, newest))
        elif found < newest:
            self.older += 1

    def __enter__(self) -> Self:
        self._stop.clear()
        acts = (self._change, self._look, self._look)
        self._threads = [threading.Thread(target=self._safely, args=(act,)) for act in acts]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def burst(self) -> float:
        """Seconds that 50 calls take which nobody else is beside."""
        began = time.perf_counter()
        for n in range(50):
            self.look("wx", KEYS[n % len(KEYS)])
        return time.perf_counter() - began


def is_asked(far: FarReplicas, world: World) -> bool:
    """Whether the replicas have answered, one call further."""
    before = far.asked()
    for key in KEYS:
        world.look("wx", key)
    return far.asked() > before


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_slow_link_to_the_replicas_costs_little(kind: str, far: FarReplicas) -> None:
    """A slow replica costs half a deadline a few times, then it is done without until it is well again."""
    bursts, nearly_all = [], []
    with Face(kind, far.url) as face:
        world = World(face)
        for milliseconds in SLOW:
            until(lambda: is_asked(far, world), "the replicas are asked")
            world.took.clear()
            for link in far.links:
                link.hold() if milliseconds is None else link.delay(milliseconds / 1000)
            burst = world.burst()
            with world:
                until(lambda: len(world.took) > CALLS, "callers call")
            took = sorted(world.took)
            for link in far.links:
                link.heal()
            healed = time.perf_counter()
            until(lambda: is_asked(far, world), "the replicas are asked again")
            back = time.perf_counter() - healed
            bursts.append(burst)
            nearly_all.append(took[len(took) * 95 // 100])
            p99 = took[len(took) * 99 // 100]
            print(
                f"{kind}, {milliseconds or 'for ever'} ms late: 50 calls {burst * 1000:.0f} ms;"
                f" p99 {p99 * 1000:.0f} ms, slowest {took[-1] * 1000:.0f} ms; asked again after {back:.2f} s"
            )
    assert (world.wrong, world.errors, far.refusals()) == ([], [], [])
    # one call may be held up by a busy machine, and 50 that wait for a replica each are far beyond this
    assert max(nearly_all) < READ_S + WRITE_S + LATE_S
    assert max(bursts) < BURST_S


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_replicas_that_lag_answer_what_the_policy_allows(kind: str, far: FarReplicas) -> None:
    """A value that was replaced may still be served, one that was invalidated never is."""
    with Face(kind, far.url) as face:
        world = World(face)
        until(lambda: is_asked(far, world), "the replicas are asked")
        for feed in far.feeds:
            feed.delay(LAG_S)
        try:
            with world:
                until(lambda: world.older > 20 and world.invalidations > 20, "old values and invalidations", 60)
        finally:
            for feed in far.feeds:
                feed.heal()

    print(f"{kind}: {len(world.took)} calls, {world.older} older, {world.invalidations} invalidations")
    assert (world.wrong, world.errors, far.refusals()) == ([], [], [])
