"""TRYAGAIN: several keys of a slot that is on its way, some here and some there. One command of ours has several."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from itertools import count, islice
from typing import Any, Self

import pytest
from redis.crc import key_slot
from redis.exceptions import TryAgainError
from support.cluster import Cluster, Node, until

from cache import AsyncCache, Cache
from cache.clock import Deadline, SystemClock
from cache.core.steps import Call, Lua, RunScript
from cache.doctor import examine
from cache.errors import StoreError
from cache.stores.cluster.routing import TRIES
from cache.stores.connect import StoreOptions, open_async_store, open_store
from telemetry.vocabulary import ErrorType

PATIENCE = {"read_deadline": 2, "write_deadline": 2}

BOTH = Lua("both", "return redis.call('GET', KEYS[1]) .. redis.call('GET', KEYS[2])")
KEYS = ["{x}a", "{x}b"]

NEIGHBOURS = list(islice((name for n in count() if key_slot(f"prompt:{(name := f'k{n}')}".encode()) == 0), 3))
"""Keys that share a slot by chance: the braces that would make them are escaped."""


class Moving:
    """A slot on its way; there at the end, whatever happens."""

    def __init__(self, cluster: Cluster, key: str) -> None:
        self.cluster, self.slot, self.source = cluster, cluster.slot(key), cluster.owner(key)
        self.target = next(node for node in cluster.primaries() if node is not self.source)

    def __enter__(self) -> Self:
        for node in self.cluster.nodes:
            node.ask("CONFIG", "RESETSTAT")
        self.cluster.begin_move(self.slot, self.source, self.target)
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.move_keys(self.slot, self.source, self.target)
        self.cluster.end_move(self.slot, self.target)

    def move(self, key: str) -> None:
        """Move one of its keys."""
        self.source.ask("MIGRATE", "127.0.0.1", self.target.port, key, 0, 5000)

    def said(self, *nodes: Node) -> int:
        """How often the servers have answered TRYAGAIN."""
        stats = "".join(node.ask("INFO", "errorstats").decode() for node in nodes or self.cluster.nodes)
        return sum(map(int, re.findall(r"errorstat_TRYAGAIN:count=(\d+)", stats)))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_it_does_not_arise_from_what_callers_do(kind: str, cluster: Cluster) -> None:
    """Three keys of a batch in one slot, one of them moved: each is asked for by itself, so each is followed."""

    async def play() -> None:
        cache: Any = (Cache if kind == "sync" else AsyncCache).from_url(cluster.url, **PATIENCE)

        async def call(name: str, *args: Any, **kwargs: Any) -> Any:
            answer = getattr(cache, name)(*args, **kwargs)
            return answer if kind == "sync" else await answer

        names = NEIGHBOURS
        await call("set_many", "prompt", dict.fromkeys(names, 0), tags=["red"])
        with Moving(cluster, f"prompt:{names[0]}") as moving:
            moving.move(f"prompt:{names[1]}")
            assert await call("get_many", "prompt", names, tags=["red"]) == [0, 0, 0]
            assert await call("set_many", "prompt", dict.fromkeys(names, 1), tags=["red"]) == 3
            assert await call("get_or_compute_many", "prompt", names, lambda missing: [2] * len(missing)) == [1, 1, 1]
            assert await call("delete", "prompt", names[2]) is True
            assert await call("invalidate", tags=["red", "blue"], category="prompt") == 3
            assert moving.said() == 0
        await call("close" if kind == "sync" else "aclose")

    asyncio.run(play())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_it_is_trouble_while_it_lasts_and_followed_afterwards(kind: str, cluster: Cluster) -> None:
    """A script over two keys is tried a few times, then it is a miss to callers; the next one finds both."""
    opened = (open_store if kind == "sync" else open_async_store)(
        cluster.url, StoreOptions(), on_breaker=lambda *_: None, clock=SystemClock()
    )
    store: Any = opened

    async def execute(step: Any) -> Any:
        return store.execute(step) if kind == "sync" else await store.execute(step)

    async def play() -> None:
        for key in KEYS:
            await execute(Call(("SET", key, key[-1]), _soon()))
        with Moving(cluster, "{x}") as moving:
            moving.move(KEYS[0])
            with pytest.raises(StoreError) as caught:
                await execute(_both())
            assert caught.value.kind is ErrorType.REFUSED
            assert moving.said(moving.source) == TRIES
            moving.move(KEYS[1])
            assert await execute(_both()) == b"ab"
        assert await execute(_both()) == b"ab"
        if kind == "sync":
            store.close()
        else:
            await store.aclose()

    asyncio.run(play())


def test_it_is_followed_in_the_same_call_when_the_other_key_arrives(cluster: Cluster) -> None:
    """Said once, then the server sends on."""
    store: Any = open_store(cluster.url, StoreOptions(), on_breaker=lambda *_: None, clock=SystemClock())
    for key in KEYS:
        store.execute(Call(("SET", key, key[-1]), _soon()))
    with Moving(cluster, "{x}") as moving:
        moving.move(KEYS[0])
        store._scatter = _after(store._scatter, lambda: moving.move(KEYS[1]))
        assert store.execute(_both()) == b"ab"
        assert moving.said(moving.source) == 1
    store.close()


def test_the_doctor_meets_it_and_says_no_more_than_it_knows(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks by a script over two keys of a slot, the only one of ours: no error, and well once the slot has moved."""
    monkeypatch.setenv("REDIS_URL", cluster.url)
    with Moving(cluster, "prompt:doctor") as moving:
        findings = {one.what: one for one in examine({})}
        assert moving.said() > 0
        assert findings["rights"].level == "fail"
    until(lambda: [one.what for one in examine({}) if one.level == "fail"] == [], "the slot has moved")


def _both() -> RunScript:
    return RunScript(BOTH, KEYS, (), _soon(), idempotent=True)


def _soon() -> Deadline:
    return Deadline(SystemClock(), 2)


def _after(scatter: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    """As it was, and something is done once when TRYAGAIN was the answer."""
    done: list[bool] = []

    def scattered(*args: Any) -> Any:
        replies = scatter(*args)
        if not done and any(isinstance(reply, TryAgainError) for reply in replies):
            done.append(True)
            act()
        return replies

    return scattered
