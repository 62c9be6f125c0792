"""Tenants of one cache: nothing of one answers, or is dropped, for another; and what their names and memory cost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import combinations

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from cache import MISS, AsyncCache, Cache
from cache.core import pending, tenants
from cache.core.keys import tenant_namespace
from cache.core.pending import Debts
from cache.errors import CacheKeyError
from cache.testing import EmbeddedServer

PATIENT = {"read_deadline": 2, "write_deadline": 2}
AWKWARD = ("a", "A", "a:b", "a*", "*", "[a]", "context", "gen", "@a", "%40a", "é", "e\u0301", " ", "x" * 300, "x" * 301)


@pytest.fixture
def cache(glasscache_url: str) -> Iterator[Cache]:
    """A cache whose tenants are asked about."""
    with Cache.from_url(glasscache_url, **PATIENT) as made:
        yield made


def test_tenants_share_neither_entries_nor_invalidations(cache: Cache) -> None:
    """Each has its own value under the same key; a tag, a category, a pattern and a delete reach their tenant alone."""
    everyone = {name: cache.scoped(name) for name in AWKWARD}
    for name, view in everyone.items():
        assert view.get("context", ("t", 1)) is MISS
        assert view.set("context", ("t", 1), name, tags=["red"])
    assert cache.get("context", ("t", 1)) is MISS
    drops = ({"tags": ["red"]}, {"category": "context"}, {"pattern": "context:*"}, {"pattern": "context:t:*"})
    for drop in drops:
        everyone["*"].set("context", ("t", 1), "*", tags=["red"])
        everyone["*"].invalidate(**drop)
        cache.invalidate(**drop)
        assert everyone["*"].get("context", ("t", 1)) is MISS
        for name, view in everyone.items():
            assert name == "*" or view.get("context", ("t", 1)) == name
    assert everyone["a"].delete("context", ("t", 1))
    assert cache.scoped("A").get("context", ("t", 1)) == "A"


def test_an_entry_copied_to_another_tenant_is_a_collision(glasscache_url: str) -> None:
    """With or without a signing key: the tenant is in the digest that the entry is bound to, and under the seal."""
    for key in ("", "a signing key"):
        with Cache.from_url(glasscache_url, signing_key=key, **PATIENT) as cache:
            mine, theirs = cache.scoped("mine"), cache.scoped("theirs")
            theirs.set("prompt", "k", "secret of theirs")
            mine.set("prompt", "k", "x")
            with redis.Redis.from_url(glasscache_url) as server:
                assert server.copy("@theirs:prompt:k", "@mine:prompt:k", replace=True)
                # even under the same generations
                server.copy("@theirs:gen:category:prompt", "@mine:gen:category:prompt", replace=True)
            assert mine.lookup("prompt", "k").miss_reason == "collision"


@given(
    st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=4, unique=True), st.sampled_from(["", "ns", "a"])
)
def test_two_tenants_never_have_one_namespace(names: list[str], namespace: str) -> None:
    """Names that differ lead to namespaces that differ, of which none is another's beginning."""
    made = []
    for name in names:
        try:
            made.append(tenant_namespace(namespace, name))
        except CacheKeyError:
            assert any("\ud800" <= character <= "\udfff" for character in name)
    for one, other in combinations(made, 2):
        assert not (one + ":").startswith(other + ":")


@pytest.mark.parametrize("tenant", ["", None, 7, b"a", "\ud800", ("a",), ["a"]])
def test_what_is_no_tenant_is_refused(tenant: object, cache: Cache) -> None:
    """By name, before any I/O; and a tenant has no tenants."""
    with pytest.raises(CacheKeyError):
        cache.scoped(tenant)  # type: ignore[arg-type]
    with pytest.raises(CacheKeyError, match="tenant's cache already"):
        cache.scoped("a").scoped("b")


def test_calls_of_one_tenant_share_a_flight(cache: Cache) -> None:
    """A view that is made for each request is the same tenant's: one computation; another tenant has its own."""
    calls = []

    def compute() -> str:
        calls.append(1)
        return cache.scoped("b").get_or_compute("prompt", "k", lambda: calls.append(2) or "b")

    assert [cache.scoped("a").get_or_compute("prompt", "k", compute) for _ in range(3)] == ["b"] * 3
    assert calls == [1, 2]


def test_a_view_is_closed_with_its_cache(cache: Cache) -> None:
    """Closing a view ends nothing that others use."""
    with cache.scoped("a") as view:
        view.set("prompt", "k", 1)
    assert cache.scoped("a").get("prompt", "k") == 1


def test_decorated_functions_are_the_tenants(cache: Cache) -> None:
    """Sync and async functions of a view keep their results apart; the twin of a view is its tenant's too."""
    for name in ("a", "b"):
        view = cache.scoped(name)

        @view.cached("prompt", key=lambda: "k")
        def blocking(name: str = name) -> str:
            return f"sync {name}"

        @view.cached("prompt", key=lambda: "async k")
        async def awaiting(name: str = name) -> str:
            return f"async {name}"

        assert (blocking(), asyncio.run(awaiting())) == (f"sync {name}", f"async {name}")
    assert cache.scoped("a").get("prompt", "async k") == "async a"
    assert cache.get("prompt", "k") is MISS


def test_an_async_cache_has_tenants_too(glasscache_url: str) -> None:
    """The same of the twin."""

    async def run() -> None:
        async with AsyncCache.from_url(glasscache_url, namespace="team", **PATIENT) as cache:
            one, other = cache.scoped("one"), cache.scoped("other")
            await one.set("prompt", "k", 1)
            assert await other.get("prompt", "k") is MISS
            await one.aclose()
            assert await cache.scoped("one").get("prompt", "k") == 1

    asyncio.run(run())
    with redis.Redis.from_url(glasscache_url) as server:
        assert {name.partition(b":")[0] for name in server.scan_iter()} == {b"team"}


@pytest.fixture
def stoppable() -> Iterator[EmbeddedServer]:
    """A server that goes away."""
    with EmbeddedServer() as server:
        yield server


def test_what_a_tenant_is_owed_outlives_its_view(stoppable: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalidation that the store did not take is carried out when the tenant is next asked about, by any view."""
    monkeypatch.setattr(tenants, "KEPT", 2)
    with Cache.from_url(stoppable.url, **PATIENT) as cache:
        cache.scoped("a").set("prompt", "k", "old")
        stoppable.freeze()
        cache._engine.write_s = 0.05
        cache._tenants._views.clear()
        assert cache.scoped("a").invalidate(category="prompt") == 0
        stoppable.thaw()
        for name in "bcdef":
            cache.scoped(name)
        assert "a" not in cache._tenants._views
        assert cache.scoped("a").pending
        assert cache.scoped("a").get("prompt", "k") is MISS


def test_many_tenants_leave_nothing_behind(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views beyond the bound are let go, nothing is registered for each, and the latest are found again."""
    registered = []
    monkeypatch.setattr("cache.opening.in_forked_child", registered.append)
    monkeypatch.setattr("cache.stores.forking.in_forked_child", registered.append)
    for n in range(tenants.KEPT + 100):
        cache.scoped(f"tenant {n}").set("prompt", "k", n)
    assert registered == []
    assert len(cache._tenants._views) == tenants.KEPT
    assert cache.scoped(f"tenant {n}") is cache.scoped(f"tenant {n}")
    assert cache.scoped("tenant 0").get("prompt", "k") == 0


def test_debts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound nothing is remembered by name: whoever is asked about next begins by dropping all it has."""
    monkeypatch.setattr(pending, "OWING", 3)
    debts = Debts(["category:prompt", "category:tool"])
    for n in range(3):
        debts.of(f"t{n}").add(scopes=["tag:x"])
    assert debts.of("t1").snapshot() == (["tag:x"], [])
    assert not debts.of("new").some
    debts.of("t2").done(["tag:x"], [])
    debts.of("t3").add(scopes=["tag:y"])
    assert not debts.of("t2").some
    debts.of("t4").add(scopes=["tag:z"])
    for name in ("t0", "t3", "never heard of"):
        assert debts.of(name).snapshot() == (["category:prompt", "category:tool"], [])
