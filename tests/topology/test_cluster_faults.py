"""What goes wrong with a cluster, for real: killed and frozen primaries, lost writes, old disks, moving slots."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.callers import Callers, seconds_until_all_hit
from support.cluster import Cluster, Node, until

from cache import MISS, AsyncCache, Cache

BEHIND_S = 1.5
"""How long after the cluster itself the cache is back at most, on a busy machine."""


@pytest.fixture
def spoilt(session_cluster: Cluster) -> Iterator[Cluster]:
    """The shared cluster for a test that kills or freezes servers; well again afterwards."""
    session_cluster.flush()
    yield session_cluster
    session_cluster.revive()


PATIENCE = {"read_deadline": 0.25, "write_deadline": 0.25}
"""Deadlines that a busy machine keeps, unless something is wrong."""

KINDS = pytest.mark.parametrize("kind", [Cache, AsyncCache], ids=["sync", "async"])


def opened(cluster: Cluster) -> Cache:
    """A cache on the cluster."""
    return Cache.from_url(cluster.url, **PATIENCE)


def well(cluster: Cluster, without: Node) -> bool:
    """Whether the others have all slots among them again."""
    others = [node for node in cluster.nodes if node is not without and node.server.pid]
    return all(node.info()["cluster_state"] == "ok" for node in others) and sum(n.is_primary for n in others) == 3


@KINDS
@pytest.mark.parametrize("harm", ["kill", "freeze"])
def test_a_primary_that_is_gone_costs_misses_alone(kind: Any, harm: str, spoilt: Cluster) -> None:
    """No error, no wrong value, nothing beyond the deadlines, and all is well soon after the cluster is."""
    with Callers(kind.from_url(spoilt.url, **PATIENCE)) as callers:
        seconds_until_all_hit(callers)
        victim = spoilt.owner("gen:category:prompt")
        began = time.perf_counter()
        getattr(victim.server, harm)()
        until(lambda: well(spoilt, victim), "a replica takes over")
        alone = time.perf_counter() - began
        behind = seconds_until_all_hit(callers)
        calls = callers.calls

    figures = f"{calls.count} calls, slowest {calls.slow_s:.3f} s, loop late {calls.lag_s:.3f} s"
    print(f"{harm}: cluster {alone:.2f} s, cache {behind:.2f} s later, {figures}")
    assert (calls.errors, calls.wrong) == ([], [])
    assert behind < BEHIND_S
    # a read that waits in vain, and the look at the map that another caller is at
    assert calls.slow_s < 2 * 0.25 + 0.25


def cut_off(primary: Node, replica: Node) -> bytes:
    """See to it that a replica gets nothing any more; the token that both have of the tag ``t``."""
    until(lambda: replica.ask("DBSIZE") == primary.ask("DBSIZE"), "the replica has all")
    replica.server.freeze()
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    token: bytes = primary.ask("GET", "gen:tag:t")
    return token


def test_what_a_failover_lost_brings_no_old_value_back(spoilt: Cluster) -> None:
    """An invalidation that its primary's replica never got is as good as done: the old value stays away."""
    with opened(spoilt) as cache, Cache.from_url(spoilt.url, trust_restarts=True, **PATIENCE) as trusting:
        assert trusting.set("static", "kept", 1)
        assert cache.set("prompt", "k", "old", tags=["t"])
        assert cache.get("prompt", "k", tags=["t"]) == "old"
        primary = spoilt.owner("gen:tag:t")
        replica = spoilt.replica_of(primary)
        token = cut_off(primary, replica)
        assert cache.invalidate(tags=["t"]) == 1
        primary.server.kill()
        replica.server.thaw()
        until(lambda: well(spoilt, primary), "the replica takes over")
        assert replica.ask("GET", "gen:tag:t") == token, "nothing was lost"

        until(lambda: cache.set("prompt", "other", 1), "the cache is back")
        with opened(spoilt) as fresh:
            for reader in (cache, fresh):
                assert reader.get("prompt", "k", tags=["t"]) is MISS
                assert reader.get("prompt", "k") is MISS
        # who trusts restarts keeps what is there
        until(lambda: trusting.get("static", "kept") == 1, "nothing went cold there", 5)


def test_a_primary_that_is_one_again_brings_no_old_value_back(spoilt: Cluster) -> None:
    """Demoted and promoted again it is the same process, but not with the same data; nobody asked in between."""
    with opened(spoilt) as cache:
        assert cache.set("prompt", "k", "old", tags=["t"])
        first = spoilt.owner("gen:tag:t")
        second = spoilt.replica_of(first)
        token = cut_off(first, second)
        assert cache.invalidate(tags=["t"]) == 1
        first.server.freeze()
        second.server.thaw()
        until(lambda: well(spoilt, first), "the replica takes over")
        first.server.thaw()
        spoilt.settle()
        assert second.is_primary
        first.ask("CLUSTER", "FAILOVER")
        until(lambda: first.is_primary and not second.is_primary, "it is the primary again")
        spoilt.settle()
        assert first.ask("GET", "gen:tag:t") == token, "nothing was lost"

        with opened(spoilt) as fresh:
            for reader in (cache, fresh):
                until(lambda reader=reader: reader.health()["connected"], "the cache is back")
                assert reader.get("prompt", "k", tags=["t"]) is MISS
                assert reader.get("prompt", "k") is MISS


def test_a_primary_back_from_an_old_disk_brings_no_old_value_back(spoilt: Cluster) -> None:
    """One that restarts with what it had before an invalidation, before anybody took its place."""
    with opened(spoilt) as cache:
        assert cache.set("prompt", "k", "old", tags=["t"])
        primary = spoilt.owner("gen:tag:t")
        primary.ask("SAVE")
        assert cache.invalidate(tags=["t"]) == 1
        before = primary.ask("GET", "gen:tag:t")
        primary.server.kill()
        primary.server.start()
        spoilt.settle()
        assert primary.is_primary
        assert primary.ask("GET", "gen:tag:t") not in (None, before)

        until(lambda: cache.set("prompt", "other", 1), "the cache is back")
        assert cache.get("prompt", "k", tags=["t"]) is MISS
        assert cache.get("prompt", "k") is MISS


def test_most_of_the_cluster_gone_is_a_miss(spoilt: Cluster) -> None:
    """Without a majority there is no store: callers get their own values, and soon without waiting."""
    with opened(spoilt) as cache:
        cache.get_or_compute("prompt", "k", lambda: 1)
        victims = [spoilt.owner("gen:category:prompt"), *spoilt.primaries()]
        for node in list(dict.fromkeys(victims))[:2]:
            node.server.freeze()
        until(lambda: cache.get_or_compute("prompt", "k", lambda: 2) == 2, "the store is not there")
        until(lambda: cache.health()["breaker"] != "closed", "the breaker has opened")
        began = time.perf_counter()
        for _ in range(50):
            assert cache.get_or_compute("prompt", "k", lambda: 2) == 2
        took = time.perf_counter() - began

    print(f"50 calls: {took:.3f} s")
    assert took < 50 * 0.02


@KINDS
def test_moving_slots_are_followed(kind: Any, cluster: Cluster) -> None:
    """A key and its generations move under callers: redirected, never wrong, and hits go on."""
    names = ("gen:category:prompt", "prompt:key0", "gen:tag:tag%3Akey0")
    with Callers(kind.from_url(cluster.url, **PATIENCE), keys=4) as callers:
        seconds_until_all_hit(callers)
        computed = threading.Event()
        for name in names:
            slot, source = cluster.slot(name), cluster.owner(name)
            target = next(node for node in cluster.primaries() if node is not source)
            cluster.begin_move(slot, source, target)
            assert callers.all_hit()
            cluster.move_keys(slot, source, target)
            # between the two only ASK says where it is
            args = ("prompt", "key0", computed.set)
            assert callers.call("get_or_compute", *args, tags=["tag:key0"]) == {"of": "key0"}
            cluster.end_move(slot, target)
            assert callers.call("get_or_compute", *args, tags=["tag:key0"]) == {"of": "key0"}
        # a write that has to follow
        assert callers.call("set", "prompt", "key0", {"of": "key0"}, tags=["tag:key0"])
        assert callers.call("invalidate", tags=["tag:key0"]) == 1
        calls = callers.calls
    assert (calls.errors, calls.wrong) == ([], [])
    assert not computed.is_set()


def test_a_sweep_while_slots_move_makes_all_invalid(cluster: Cluster) -> None:
    """What it cannot promise key by key it promises for the whole category."""
    with opened(cluster) as cache:
        for n in range(20):
            cache.set("prompt", f"a{n}", n)
        slot, source = cluster.slot("prompt:a1"), cluster.owner("prompt:a1")
        target = next(node for node in cluster.primaries() if node is not source)
        cluster.begin_move(slot, source, target)
        try:
            assert cache.invalidate(pattern="prompt:a1*") == 0
            assert cache.pending
            assert cache.get_many("prompt", [f"a{n}" for n in range(20)]) == [MISS] * 20
            assert not cache.pending
        finally:
            cluster.move_keys(slot, source, target)
            cluster.end_move(slot, target)


def test_a_demoted_primary_answers_nothing_itself(spoilt: Cluster) -> None:
    """A replica may lag: whoever still takes it for the primary is sent on."""
    with opened(spoilt) as cache:
        assert cache.set("prompt", "k", 1)
        first = spoilt.owner("gen:category:prompt")
        second = spoilt.replica_of(first)
        second.ask("CLUSTER", "FAILOVER")
        until(lambda: second.is_primary and not first.is_primary, "the replica takes over")
        first.ask("CONFIG", "RESETSTAT")
        for _ in range(3):
            cache.get_or_compute("prompt", "k", lambda: 1)
        stats = first.ask("INFO", "commandstats").decode()
        assert re.findall(r"cmdstat_mget:calls=([1-9]\d*)", stats) == []
