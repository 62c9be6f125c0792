"""What a cluster's store promises beside the values: rounds, spans, late writes, forks, cancelled calls, its end."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster, until
from support.faces import Stage, play

from cache import MISS, AsyncCache, Cache, Policy
from cache.core.cluster_scripts import PUT
from cache.doctor import RIGHTS, examine
from cache.errors import SettingsError
from telemetry import redis as instrumentation
from telemetry.testing import Captured

PATIENCE = {"read_deadline": 2, "write_deadline": 2}


@pytest.fixture
def captured() -> Iterator[Captured]:
    """Redis instrumented by us, its spans kept."""
    kept = Captured()
    instrumentation.instrument(kept.tracer_provider)
    yield kept
    instrumentation.uninstrument()


class Watched:
    """Notes what a blocking cache's store sends together, and does something before a write's last round."""

    def __init__(self, cache: Cache) -> None:
        self.rounds: list[list[Any]] = []
        self.before_put: list[Any] = []
        self._store: Any = cache._parts.runner.store
        self._scatter, self._store._scatter = self._store._scatter, self._look

    def _look(self, asks: list[Any], *args: Any) -> Any:
        if any(ask.script is PUT for ask in asks):
            for act in self.before_put:
                act()
        self.rounds.append(asks)
        return self._scatter(asks, *args)


def test_what_a_look_needs_is_asked_at_once(cluster: Cluster) -> None:
    """A hit is one round whatever servers it is spread over, a batch too; a write compares, then stores."""
    with Cache.from_url(cluster.url, **PATIENCE) as cache:
        cache.set_many("prompt", {f"k{n}": n for n in range(50)}, tags=["red"])
        watched = Watched(cache)
        assert cache.get("prompt", "k1", tags=["red"]) == 1
        assert len(watched.rounds) == 1
        assert cache.get_many("prompt", [f"k{n}" for n in range(50)], tags=["red"]) == list(range(50))
        assert len(watched.rounds) == 2
        assert {ask.spot.place.port for ask in watched.rounds[1]} == {node.port for node in cluster.primaries()}
        assert cache.set("prompt", "k1", 2, tags=["red"])
        assert len(watched.rounds) == 4


def test_a_write_that_a_sweep_overtook_is_refused(cluster: Cluster) -> None:
    """Its fence was compared before the pattern changed it, its entry comes after the sweep: the server refuses it."""
    with Cache.from_url(cluster.url, **PATIENCE) as cache, Cache.from_url(cluster.url, **PATIENCE) as other:
        cache.set("prompt", "k", "older")
        watched, swept = Watched(cache), []

        def sweep() -> None:
            watched.before_put.clear()
            swept.append(other.invalidate(pattern="prompt:k*"))

        watched.before_put.append(sweep)
        assert cache.get_or_compute("prompt", "k", lambda: "unused") == "older"
        assert cache.set("prompt", "k", "old", fence=cache.lookup("prompt", "k").fence) is False
        assert swept == [1]
        assert other.get("prompt", "k") is MISS


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_span_a_command_names_its_server(kind: str, cluster: Cluster, captured: Captured) -> None:
    """As many commands in spans as the servers counted, each with the address of the one that had it."""
    spans: list[Any] = []

    async def look_ten_times(stage: Stage) -> None:
        await stage.cache.set("prompt", "k", 1)
        for node in cluster.primaries():
            node.ask("CONFIG", "RESETSTAT")
        before = len(captured.spans())
        for _ in range(10):
            assert await stage.cache.get("prompt", "k", tags=["red"]) is not None
        spans.extend(captured.spans()[before:])

    stage = Stage(kind, cluster.url)
    stage.recorder = captured.recorder()
    asyncio.run(stage.cache.aclose())
    stage.cache = stage.another()
    play(look_ten_times, stage)
    spans = [span for span in spans if (span.attributes or {}).get("db.system.name") == "redis"]

    told: Counter[int] = Counter()
    for span in spans:
        attributes = dict(span.attributes or {})
        assert attributes["server.address"] == "127.0.0.1"
        assert "MGET" in span.name or "CLUSTER" in span.name
        told[int(attributes["server.port"])] += attributes["db.query.text"].count("MGET")
    counted = Counter({node.port: _calls(node.ask("INFO", "commandstats"), "mget") for node in cluster.primaries()})
    assert told == counted
    assert counted.total() == 40
    assert all(span.parent is not None for span in spans)


def _calls(stats: bytes, command: str) -> int:
    for line in stats.decode().splitlines():
        if line.startswith(f"cmdstat_{command}:calls="):
            return int(line.partition("=")[2].partition(",")[0])
    return 0


def test_a_forked_child_has_connections_of_its_own(cluster: Cluster) -> None:
    """A child that inherits a cache in use reads and writes, and its parent goes on."""
    with Cache.from_url(cluster.url, **PATIENCE) as cache:
        cache.set("prompt", "k", 1)
        child = os.fork()
        if not child:
            good = cache.get("prompt", "k") == 1 and cache.set("prompt", "child", 2)
            os._exit(0 if good else 1)
        assert cache.get("prompt", "k") == 1
        assert os.waitpid(child, 0)[1] == 0
        assert cache.get("prompt", "child") == 2


def test_cancelled_calls_leave_nothing_behind(cluster: Cluster) -> None:
    """Cancelled at any time, a call spoils no other's answer, and no connection is left when the cache is closed."""

    async def main() -> None:
        pick = random.Random(7)
        async with AsyncCache.from_url(cluster.url, **PATIENCE) as cache:
            await cache.set_many("prompt", {f"k{n}": n for n in range(20)})
            for n in range(200):
                task = asyncio.create_task(cache.get_many("prompt", [f"k{n % 20}", "k3"]))
                for _ in range(pick.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
                assert await cache.get("prompt", f"k{n % 20}") == n % 20
            assert cache._parts.engine.breaker() == "closed"
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others

    asyncio.run(main())
    assert _connections(cluster) == 0


def test_a_closed_store_has_no_connections(cluster: Cluster) -> None:
    """Closing gives every server's connections back."""
    with Cache.from_url(cluster.url, **PATIENCE) as cache:
        cache.set("prompt", "k", 1)
        assert _connections(cluster) > 0
    assert _connections(cluster) == 0


def _connections(cluster: Cluster) -> int:
    return sum(node.ask("CLIENT", "LIST").count(b"name=glasscache ") for node in cluster.nodes)


@pytest.mark.parametrize("kind", [Cache, AsyncCache])
def test_no_local_tier_over_a_cluster(kind: Any) -> None:
    """It would have to hear of changes from every server: refused by name, before anything is connected."""
    with pytest.raises(SettingsError, match="CACHE_LOCAL_CATEGORIES"):
        kind.from_url("redis+cluster://127.0.0.1:1", local_categories="prompt")


def test_no_server_of_the_url_is_there() -> None:
    """Callers get their own values, and soon without asking."""
    with Cache.from_url("redis+cluster://127.0.0.1:1,127.0.0.1:2") as cache:
        for _ in range(5):
            assert cache.get_or_compute("prompt", "k", lambda: 1) == 1
        assert cache.health()["connected"] is False
        assert cache.health()["breaker"] == "open"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_replicas_answer_where_the_policy_says_so(kind: str, cluster: Cluster) -> None:
    """The entry alone comes from a replica, its generations never do; an invalidation holds at once."""
    policies = (Policy(name="wx", read_replicas=True),)

    async def look(stage: Stage) -> None:
        cache = stage.cache
        for n in range(6):
            assert await cache.set("wx", f"k{n}", n, tags=["red"])
            assert await cache.set("prompt", f"k{n}", n)
        replicas = [node for node in cluster.nodes if not node.is_primary]
        until(lambda: sum(node.ask("DBSIZE") for node in replicas) == _keys(cluster), "the replicas have all")
        for node in cluster.nodes:
            node.ask("CONFIG", "RESETSTAT")
        for n in range(6):
            assert await cache.get("wx", f"k{n}", tags=["red"]) == n
            assert await cache.get("prompt", f"k{n}") == n
        counted = [_calls(node.ask("INFO", "commandstats"), "mget") for node in replicas]
        assert sum(counted) == 6
        for node in replicas:
            node.server.freeze()
        try:
            assert await cache.invalidate(tags=["red"]) == 1
        finally:
            for node in replicas:
                node.server.thaw()
        for n in range(6):
            assert await cache.get("wx", f"k{n}", tags=["red"]) is MISS

    play(look, Stage(kind, cluster.url, policies))


def _keys(cluster: Cluster) -> int:
    return sum(node.ask("DBSIZE") for node in cluster.primaries())


def test_a_replica_that_is_gone_is_done_without(cluster: Cluster) -> None:
    """Its primary answers."""
    with Cache.from_url(cluster.url, policies=(Policy(name="wx", read_replicas=True),)) as cache:
        cache.set_many("wx", {f"k{n}": n for n in range(9)})
        replicas = [node for node in cluster.nodes if not node.is_primary]
        for node in replicas:
            node.server.freeze()
        try:
            for _ in range(3):
                cache.get_many("wx", [f"k{n}" for n in range(9)])
            assert cache.get_many("wx", [f"k{n}" for n in range(9)]) == list(range(9))
        finally:
            for node in replicas:
                node.server.thaw()
            cluster.settle()


def test_the_rights_that_the_page_names_are_enough(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may do just what docs/stores.md lists reads, writes, invalidates, sweeps, follows a moving slot."""
    for node in cluster.nodes:
        node.ask("ACL", "SETUSER", "exact", "reset", "on", ">pw", "~*", *RIGHTS.split(), *_rights_of_the_page())
    try:
        url = cluster.url.replace("://", "://exact:pw@")
        policies = (Policy(name="wx", read_replicas=True),)
        with Cache.from_url(url, policies=policies, **PATIENCE) as cache:
            assert cache.set("wx", "k", 1)
            assert cache.set("prompt", "k", 1, tags=["red"])
            slot, source = cluster.slot("prompt:k"), cluster.owner("prompt:k")
            target = next(node for node in cluster.primaries() if node is not source)
            cluster.begin_move(slot, source, target)
            cluster.move_keys(slot, source, target)
            assert cache.get("prompt", "k", tags=["red"]) == 1
            cluster.end_move(slot, target)
            assert cache.invalidate(tags=["red"]) == 1
            assert cache.set("prompt", "k", 2)
            assert cache.invalidate(pattern="prompt:k*") == 1
            assert cache.delete("prompt", "k") is False
            assert cache.health()["connected"] is True
        monkeypatch.setenv("REDIS_URL", url)
        assert [one.what for one in examine({}) if one.level == "fail"] == []
    finally:
        for node in cluster.nodes:
            node.ask("ACL", "DELUSER", "exact")


def _rights_of_the_page() -> list[str]:
    page = Path(__file__).parents[2].joinpath("docs", "stores.md").read_text()
    found = re.search(r"^\+cluster\|slots .*$", page, re.MULTILINE)
    assert found is not None
    return found[0].split()
