"""The local tier on a real server, over both twins: what it answers, what it must not, what it accounts for."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
from support.faces import Recording, Scenario, Stage, play
from support.local import LOCAL, ready, settled, tier_of, until

from cache import MISS, Cache, Computed, Policy
from cache.errors import CategoryError, SettingsError
from cache.settings import Settings
from cache.stores.files import fingerprint
from cache.testing import EmbeddedServer
from telemetry.vocabulary import Tier

SCENARIOS: list[Scenario] = []

POLICIES = (
    Policy(name="news", ttl_s=10, jitter=0, serve_stale=True, tier=Tier.LOCAL),
    Policy(name="ahead", ttl_s=10, jitter=0, refresh_ahead=0.5, tier=Tier.LOCAL),
    Policy(name="far"),
)


class Here(Stage):
    """A stage whose cache keeps entries in its process, and that closes the other processes' caches too."""

    def __init__(self, kind: str, url: str, policies: tuple[Policy, ...] = (), **settings: Any) -> None:
        self.opened: list[Any] = []
        super().__init__(kind, url, policies, **LOCAL, **settings)
        ready(self.cache)

    def another(self, *args: Any, **settings: Any) -> Any:
        self.opened.append(super().another(*args, **settings))
        return self.opened[-1]


def scenario(function: Scenario) -> Scenario:
    """Put a scenario into the table."""
    SCENARIOS.append(function)
    return function


@scenario
async def a_second_look_stays_in_the_process(stage: Stage) -> None:
    """What Redis answered once is answered from here: by value, tier, age and TTL."""
    await stage.another().set("prompt", "k", {"n": 1}, ttl=100)
    settled(stage.cache)
    assert (await stage.cache.lookup("prompt", "k")).tier == "redis"
    stage.clock.tick(10)
    settled(stage.cache)
    hit = await stage.cache.lookup("prompt", "k")
    assert (hit.value, hit.outcome, hit.tier) == ({"n": 1}, "hit", "local")
    assert hit.age == pytest.approx(10, abs=0.1)
    assert 79 <= hit.ttl <= 90
    assert stage.count("hit", **{"cache.tier": "local"}) == 1
    (span,) = [span for span in stage.telemetry.spans("cache.get prompt") if span.attributes["cache.tier"] == "local"]
    assert span.attributes["cache.outcome"] == "hit"
    assert (await stage.cache.explain("prompt", "k")).tier == "local"


@scenario
async def what_was_written_stays(stage: Stage) -> None:
    """An own write answers from here, also when its push has come; so does a computed value."""
    for n in range(20):
        await stage.cache.set("prompt", f"k{n}", {"n": n})
        await stage.cache.get_or_compute("prompt", f"c{n}", lambda: {"c": 1})
    settled(stage.cache)
    for n in range(20):
        assert (await stage.cache.lookup("prompt", f"k{n}")).tier == "local"
        assert (await stage.cache.lookup("prompt", f"c{n}")).tier == "local"


@scenario
async def callers_share_nothing_that_can_be_changed(stage: Stage) -> None:
    """A caller that changes what it got harms nobody."""
    await stage.cache.set("prompt", "k", {"list": [1]})
    settled(stage.cache)
    first = await stage.cache.get("prompt", "k")
    first["list"].append(2)
    assert await stage.cache.get("prompt", "k") == {"list": [1]}


@scenario
async def what_cannot_be_changed_is_shared(stage: Stage) -> None:
    """Text, bytes and vectors are decoded once, whether they were written here or read."""
    for n, value in enumerate(("text", b"bytes", 1.5, numpy.arange(8, dtype="<f4"))):
        await stage.cache.set("static", n, value)
        settled(stage.cache)
        first, second = await stage.cache.lookup("static", n), await stage.cache.get("static", n)
        assert first.tier == "local"
        assert first.value is second
        assert bool(numpy.all(second == value))


@scenario
async def batches_take_what_is_here_and_ask_for_the_rest(stage: Stage) -> None:
    """get_many and get_or_compute_many mix the tiers and keep the order."""
    other = stage.another()
    await stage.cache.set_many("prompt", {"a": 1, "b": 2})
    settled(stage.cache)
    await other.set("prompt", "c", 3)
    settled(stage.cache)
    assert await stage.cache.get_many("prompt", ["a", "x", "c", "b", "a"]) == [1, MISS, 3, 2, 1]
    assert stage.count("hit", **{"cache.tier": "local"}) == 3
    assert stage.count("hit", **{"cache.tier": "redis"}) == 1
    made = await stage.cache.get_or_compute_many("prompt", ["a", "y", "c"], lambda keys: [key * 2 for key in keys])
    assert made == [1, "yy", 3]
    assert stage.count("hit", **{"cache.tier": "local"}) == 5


@scenario
async def own_changes_are_seen_at_once(stage: Stage) -> None:
    """Delete, tag, category, pattern and an overwriting set: no push is waited for."""
    cache = stage.cache

    async def here(value: object) -> None:
        await cache.set("context", ("t", 1), value)
        settled(cache)
        assert (await cache.lookup("context", ("t", 1))).tier == "local"

    for n in range(5):
        await here(n)
        await cache.set("context", ("t", 1), "new")
        assert await cache.get("context", ("t", 1)) == "new"
        await here(n)
        await cache.delete("context", ("t", 1))
        assert await cache.get("context", ("t", 1)) is MISS
        for scope in (
            {"tags": ["task:t"]},
            {"category": "context"},
            {"pattern": "context:t:*"},
            {"pattern": "context:?:1"},
        ):
            await here(n)
            await cache.invalidate(**scope)
            assert await cache.get("context", ("t", 1)) is MISS


@scenario
async def others_changes_are_told(stage: Stage) -> None:
    """What another process writes, deletes or invalidates is gone here once its push has come."""
    other = stage.another()
    for change in (
        lambda: other.set("context", ("t", 1), "new"),
        lambda: other.delete("context", ("t", 1)),
        lambda: other.invalidate(tags=["task:t"]),
        lambda: other.invalidate(category="context"),
        lambda: other.invalidate(pattern="context:?:*"),
    ):
        await stage.cache.set("context", ("t", 1), "old")
        settled(stage.cache)
        assert (await stage.cache.lookup("context", ("t", 1))).tier == "local"
        await change()
        settled(stage.cache)
        assert await stage.cache.get("context", ("t", 1)) in (MISS, "new")


@scenario
async def tags_of_the_call_and_of_the_entry_are_compared(stage: Stage) -> None:
    """A lookup that names a tag which the entry lacks misses, as it does in Redis; one that names fewer hits."""
    await stage.cache.set("prompt", "k", 1, tags=["red"])
    settled(stage.cache)
    assert (await stage.cache.lookup("prompt", "k", tags=["red"])).tier == "local"
    assert (await stage.cache.lookup("prompt", "k")).tier == "local"
    assert (await stage.cache.lookup("prompt", "k", tags=["blue"])).miss_reason == "invalidated"
    await stage.another().invalidate(tags=["red"])
    settled(stage.cache)
    assert await stage.cache.get("prompt", "k") is MISS


@scenario
async def the_fence_of_a_local_hit_refuses_like_any(stage: Stage) -> None:
    """What a local hit saw fences a later write: stored when nothing happened, refused after an invalidation."""
    await stage.cache.set("context", ("t", 1), 1)
    settled(stage.cache)
    hit = await stage.cache.lookup("context", ("t", 1))
    assert hit.tier == "local"
    assert await stage.cache.set("context", ("t", 1), 2, fence=hit.fence)
    settled(stage.cache)
    hit = await stage.cache.lookup("context", ("t", 1))
    await stage.another().invalidate(tags=["task:t"])
    assert not await stage.cache.set("context", ("t", 1), 3, fence=hit.fence)
    assert await stage.cache.get("context", ("t", 1)) is MISS


@scenario
async def files_are_looked_at_on_every_hit(stage: Stage) -> None:
    """A result made from a file that changed misses with the reason changed, as from Redis."""
    path = Path("made-from.txt")
    write = functools.partial(asyncio.to_thread, path.write_text)
    await write("one")
    # as if it had been read a while after it was written
    stage.clock.step(time.time() - stage.clock.time() + 1)
    made = Recording(Computed("one", files=(fingerprint(path),)), "two")
    assert await stage.cache.get_or_compute("tool", ("read", "x"), made) == "one"
    settled(stage.cache)
    assert (await stage.cache.lookup("tool", ("read", "x"))).tier == "local"
    await write("three")
    assert (await stage.cache.lookup("tool", ("read", "x"))).miss_reason == "changed"
    assert await stage.cache.get_or_compute("tool", ("read", "x"), made) == "two"


@scenario
async def expiry_is_by_the_caches_clock(stage: Stage) -> None:
    """After its TTL an entry is expired here too; where the policy says so it serves stale and is refreshed."""
    await stage.cache.set("prompt", "k", 1, ttl=10)
    await stage.cache.set("news", "k", "old")
    settled(stage.cache)
    stage.clock.step(10.1)
    assert (await stage.cache.lookup("prompt", "k")).miss_reason == "expired"
    assert await stage.cache.get_or_compute("news", "k", lambda: "new") == "old"
    assert stage.count("stale", "news") == 1


@scenario
async def a_local_hit_refreshes_ahead(stage: Stage) -> None:
    """In the last part of its TTL a local hit starts the refresh that a hit in Redis would."""
    await stage.cache.set("ahead", "k", "old")
    settled(stage.cache)
    stage.clock.step(6)
    again = Recording("new")
    assert await stage.cache.get_or_compute("ahead", "k", again) == "old"
    for _ in range(2000):
        if again.calls and await stage.cache.get("ahead", "k") == "new":
            break
        await asyncio.sleep(0.001)
    assert (again.calls, await stage.cache.get("ahead", "k")) == (1, "new")


@scenario
async def other_categories_are_not_kept(stage: Stage) -> None:
    """Only what asks for it costs memory."""
    await stage.cache.set("far", "k", 1)
    assert (await stage.cache.lookup("far", "k")).tier == "redis"
    assert (await stage.cache.lookup("far", "k")).tier == "redis"
    assert tier_of(stage.cache).entries == 0


@scenario
async def what_it_keeps_is_measured(stage: Stage) -> None:
    """Entries, bytes and evictions by cause are metrics."""
    await stage.cache.set_many("prompt", {f"k{n}": n for n in range(10)})
    settled(stage.cache)
    assert stage.telemetry.value("cache.local.entry.count") == 10
    assert stage.telemetry.value("cache.local.size") == tier_of(stage.cache).used > 3000
    await stage.another().delete("prompt", "k1")
    settled(stage.cache)
    assert stage.telemetry.value("cache.local.entry.count") == 9
    assert stage.telemetry.value("cache.local.evictions", **{"cache.eviction.cause": "invalidated"}) == 1
    assert len(stage.telemetry.points("cache.local.evictions")) == 5


@scenario
async def health_tells_whether_it_is_on(stage: Stage) -> None:
    """An operator sees at a glance why nothing is answered from here."""
    assert (await stage.cache.health())["local_tier"] == "on"


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Every scenario holds for both twins."""
    stage = Here(kind, glasscache_url, POLICIES)

    async def closing(_: Stage) -> None:
        await each(stage)
        for other in stage.opened[1:]:
            await other.aclose()

    play(closing, stage)

    assert stage.telemetry.value("cache.telemetry.dropped") == 0


def test_a_pending_invalidation_silences_it(glasscache_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalidation that the store did not take is carried out before anything is answered, from here too."""
    stage = Here("sync", glasscache_url)
    with stage.cache.cache as cache:
        cache.set("context", ("t", 1), "old")
        settled(cache)
        cache._engine.pending.add(scopes=["tag:task:t"])
        assert cache.get("context", ("t", 1)) is MISS
        assert not cache.pending


def test_while_the_server_hangs_it_answers_within_the_lease_only() -> None:
    """The breaker may be open: what is kept answers until the lease is over, and then no more."""
    with EmbeddedServer() as server:
        stage = Here("sync", server.url, read_deadline=0.05)
        with stage.cache.cache as cache:
            cache.set("prompt", "k", "kept")
            settled(cache)
            server.freeze()
            assert cache.lookup("prompt", "other").outcome == "error"
            assert cache.lookup("prompt", "k").tier == "local"
            tier = tier_of(cache)
            until(lambda: tier._monotonic() > tier.lease_until)
            assert cache.lookup("prompt", "k").outcome == "error"
            server.thaw()


def test_after_a_restart_nothing_old_is_answered() -> None:
    """The connection breaks, the tier is emptied, and another server's generations make everything cold."""
    with EmbeddedServer() as server:
        stage = Here("sync", server.url)
        with stage.cache.cache as cache:
            cache.set("prompt", "k", "kept")
            settled(cache)
            server.kill()
            until(lambda: tier_of(cache).entries == 0)
            server.start()
            until(lambda: cache.lookup("prompt", "k").outcome == "miss")
            assert cache.get("prompt", "k") is MISS
            assert tier_of(cache).entries == 0


def test_namespaces_and_signatures_hold(glasscache_url: str) -> None:
    """Another team's key of the same name is another key; an entry is kept only after its signature was checked."""
    a = Cache.from_url(glasscache_url, namespace="a", signing_key="one", **LOCAL)
    b = Cache.from_url(glasscache_url, namespace="b", **LOCAL)
    thief = Cache.from_url(glasscache_url, namespace="a", signing_key="two", **LOCAL)
    with a, b, thief:
        for cache in (a, b, thief):
            ready(cache)
        a.set("prompt", "k", "mine")
        settled(a)
        assert a.lookup("prompt", "k").tier == "local"
        assert b.get("prompt", "k") is MISS
        assert thief.lookup("prompt", "k").miss_reason == "corrupt"
        assert tier_of(thief).entries == 0
        b.set("prompt", "k", "theirs")
        settled(a)
        assert a.lookup("prompt", "k").tier == "local"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_begins_anew(glasscache_url: str) -> None:
    """The parent's listener does not run in the child: it begins empty, with a listener of its own."""
    stage = Here("sync", glasscache_url)
    cache = stage.cache.cache
    cache.set("prompt", "k", "kept")
    settled(cache)
    with tier_of(cache)._lock:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                empty = tier_of(cache).entries == 0
                first = cache.lookup("prompt", "k").tier
                ready(cache)
                cache.get("prompt", "k")
                code = 0 if empty and first == "redis" and cache.lookup("prompt", "k").tier == "local" else 1
                cache.close()
            finally:
                os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert cache.lookup("prompt", "k").tier == "local"
    cache.close()


def test_an_async_twin_shares_it(glasscache_url: str) -> None:
    """A decorated coroutine of a blocking cache is answered from the same memory, and its writes are heeded."""
    with Here("sync", glasscache_url).cache.cache as cache:

        @cache.cached("prompt", key=lambda n: str(n))
        async def twice(n: int) -> int:
            return 2 * n

        assert asyncio.run(twice(2)) == 4
        settled(cache)
        assert cache.lookup("prompt", "2").tier == "local"
        assert cache._twin()._engine.local is tier_of(cache)


def test_nothing_is_started_where_nothing_asks_for_it(glasscache_url: str) -> None:
    """The default costs no thread and no connection."""
    with Stage("sync", glasscache_url).cache.cache as cache:
        cache.get_or_compute("prompt", "k", lambda: 1)
        assert cache._engine.local is None
        assert "glasscache-listener" not in {thread.name for thread in threading.enumerate()}


def test_settings_name_the_categories_and_the_bound() -> None:
    """A wrong list or bound is a named error; a category that this program does not know is left out."""
    assert Settings.of(local_categories=" prompt, mine ").locals == ("prompt", "mine")
    assert Settings.of().locals == ()
    for wrong in ({"local_categories": "prompt;tool"}, {"local_max_bytes": 1}, {"local_max_bytes": "much"}):
        with pytest.raises(SettingsError, match=r"CACHE_LOCAL_\w+: .*for example CACHE_LOCAL_\w+=\w"):
            Settings.of(**wrong)
    with pytest.raises(CategoryError, match="tier"):
        Policy(name="mine", tier="near")  # type: ignore[arg-type]
