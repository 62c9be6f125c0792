"""One primary behind sentinels: found, followed over a failover, and a demoted one is left alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.callers import Callers, seconds_until_all_hit
from support.cluster import until
from support.faces import Stage, play
from support.local import LOCAL
from support.sentinels import Guarded

from cache import MISS, AsyncCache, Cache
from cache.core.local import LEASE_S
from cache.stores.sentinel.finding import TRUST_S

PATIENCE = {"read_deadline": 0.25, "write_deadline": 0.25}


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    """A primary with its replicas and sentinels, for a test that kills or freezes one: sooner made anew than well."""
    with Guarded() as made:
        yield made


@pytest.fixture(scope="module")
def made_once() -> Iterator[Guarded]:
    with Guarded() as made:
        yield made


@pytest.fixture
def lasting(made_once: Guarded) -> Guarded:
    """The same, for tests after which all servers are there."""
    made_once.settle()
    return made_once


@pytest.mark.parametrize(("kind", "harm"), [(Cache, "freeze"), (AsyncCache, "kill")], ids=["sync", "async"])
def test_a_failover_is_followed(kind: Any, harm: str, guarded: Guarded) -> None:
    """No error, no wrong value, nothing beyond the deadlines, and all is well soon after the sentinels agree."""
    with Callers(kind.from_url(guarded.url, **PATIENCE)) as callers:
        seconds_until_all_hit(callers)
        former = guarded.primary()
        began = time.perf_counter()
        getattr(former, harm)()
        guarded.until_another(former)
        alone = time.perf_counter() - began
        behind = seconds_until_all_hit(callers)
        calls = callers.calls

    figures = f"{calls.count} calls, slowest {calls.slow_s:.3f} s, loop late {calls.lag_s:.3f} s"
    print(f"{harm}: sentinels {alone:.2f} s, cache {behind:.2f} s later, {figures}")
    assert (calls.errors, calls.wrong) == ([], [])
    assert behind < 2.0
    assert calls.slow_s < 3 * 0.25


def test_a_demoted_primary_that_comes_back_is_not_written_to(guarded: Guarded) -> None:
    """It was frozen with an idle cache's connection open, and does not know yet that there is another one."""
    with Cache.from_url(guarded.url, **PATIENCE) as idle, Cache.from_url(guarded.url, **PATIENCE) as busy:
        assert idle.set("prompt", "k", "old", tags=["t"])
        assert busy.get("prompt", "k", tags=["t"]) == "old"
        former = guarded.primary()
        before = _scripts_run(guarded, former)
        former.freeze()
        guarded.until_another(former)
        # no write before that, for a frozen server executes what it was sent when it wakes up
        until(lambda: busy.health()["connected"], "the cache is back")
        until(lambda: busy.set("prompt", "other", 1), "it writes")
        busy.invalidate(tags=["t"])
        former.thaw()
        # the sentinels have not told it yet, or they just have: either way nobody talks to it any more
        assert idle.get("prompt", "k", tags=["t"]) is MISS
        assert idle.set("prompt", "k", "new", tags=["t"]) is True
        assert busy.get("prompt", "k", tags=["t"]) == "new"
        assert _scripts_run(guarded, former) == before, "a write went to it"


def _scripts_run(guarded: Guarded, server: Any) -> int:
    """How many a server has run: each write of the layer is one."""
    return sum(map(int, re.findall(r"cmdstat_eval(?:sha)?:calls=(\d+)", _stats(guarded, server))))


def _stats(guarded: Guarded, server: Any) -> str:
    """What the server has counted."""
    told: bytes = guarded.ask(server, "INFO", "commandstats")
    return told.decode()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_demoted_primary_answers_nothing_any_more(kind: str, lasting: Guarded) -> None:
    """It may lag: a connection to what is a replica now is given up, and the next call finds the primary."""

    async def follow(stage: Stage) -> None:
        assert await stage.cache.set("prompt", "k", 1)
        former = lasting.primary()
        lasting.hand_over(former)
        until(lambda: lasting.ask(former, "ROLE")[0] == b"slave", "it is demoted", 30)
        lasting.ask(former, "CONFIG", "RESETSTAT")
        give_up = time.monotonic() + 10
        while not (await stage.cache.set("prompt", "k", 2) and await stage.cache.get("prompt", "k") == 2):
            assert time.monotonic() < give_up
        assert re.findall(r"cmdstat_(?:mget|eval(?:sha)?):calls=[1-9]", _stats(lasting, former)) == []

    play(follow, Stage(kind, lasting.url))


@pytest.mark.slow
def test_a_primary_that_is_one_again_brings_no_old_value_back() -> None:
    """Demoted and promoted again it is the same process, but not with the same data; nobody asked in between."""
    with Guarded(replicas=1) as guarded, Cache.from_url(guarded.url, **PATIENCE) as cache:
        assert cache.set("prompt", "k", "old", tags=["t"])
        first, second = guarded.servers
        until(lambda: guarded.ask(second, "DBSIZE") == guarded.ask(first, "DBSIZE"), "the replica has all")
        token = guarded.ask(first, "GET", "gen:tag:t")
        # it may not follow any more, and so never hears of the invalidation
        guarded.ask(first, "ACL", "SETUSER", "default", "-psync", "-sync")
        guarded.ask(first, "CLIENT", "KILL", "TYPE", "replica")
        assert cache.invalidate(tags=["t"]) == 1
        assert guarded.hand_over(first) is second
        until(lambda: guarded.ask(first, "ROLE")[0] == b"slave", "it is demoted", 30)
        until(lambda: guarded.ask(first, "ROLE")[3] == b"connected", "it follows", 30)
        assert guarded.hand_over(second) is first
        assert guarded.ask(first, "GET", "gen:tag:t") == token, "nothing was lost"

        with Cache.from_url(guarded.url, **PATIENCE) as fresh:
            for reader in (cache, fresh):
                until(lambda reader=reader: reader.health()["connected"], "the cache is back")
                assert reader.get("prompt", "k", tags=["t"]) is MISS


def test_no_sentinel_is_there() -> None:
    """Callers get their own values, and soon without asking."""
    with Cache.from_url("redis+sentinel://127.0.0.1:1,127.0.0.1:2/glass") as cache:
        for _ in range(5):
            assert cache.get_or_compute("prompt", "k", lambda: 1) == 1
        assert cache.health()["connected"] is False


def test_sentinels_that_are_gone_take_nothing_along(lasting: Guarded) -> None:
    """A primary that was found is used as long as it answers."""
    with Cache.from_url(lasting.url, **PATIENCE) as cache:
        assert cache.set("prompt", "k", 1)
        for sentinel in lasting.sentinels:
            sentinel.freeze()
        give_up = time.monotonic() + 1.5 * TRUST_S
        while time.monotonic() < give_up:
            assert cache.get("prompt", "k") == 1
        for sentinel in lasting.sentinels:
            sentinel.thaw()


def test_the_local_tier_follows_the_primary(guarded: Guarded) -> None:
    """What is kept in the process is told of changes by the primary that there is."""
    with Cache.from_url(guarded.url, **(LOCAL | PATIENCE)) as cache, Cache.from_url(guarded.url, **PATIENCE) as other:
        assert cache.set("prompt", "k", 1)
        until(lambda: cache.get("prompt", "k") == 1 and cache.health()["local_tier"] == "on", "the tier listens")
        former = guarded.primary()
        former.kill()
        guarded.until_another(former)
        until(lambda: other.set("prompt", "k", 2), "the other one is back")
        until(lambda: cache.get("prompt", "k") == 2, "it has heard", LEASE_S + 2)
