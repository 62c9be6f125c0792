"""The table goes on: invalidation, fences, strangers' bytes; over both twins and a real server."""

from __future__ import annotations

import pytest
from support.faces import Scenario, Stage, play

from cache import MISS, Policy

SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    """Put a scenario into the table."""
    SCENARIOS.append(function)
    return function


@scenario
async def a_category_is_invalidated_at_once(stage: Stage) -> None:
    """After invalidating a category its entries are misses; another category's stay."""
    await stage.cache.set("prompt", "k", 1)
    await stage.cache.set("static", "k", 2)
    assert await stage.cache.invalidate(category="prompt") == 1
    assert (await stage.cache.lookup("prompt", "k")).miss_reason == "invalidated"
    assert await stage.cache.get("static", "k") == 2


@scenario
async def a_tag_is_invalidated_at_once(stage: Stage) -> None:
    """Tags of the call and tags of the policy both invalidate; entries without the tag stay."""
    await stage.cache.set("context", ("t1", 1), "a")
    await stage.cache.set("context", ("t2", 1), "b")
    await stage.cache.set("prompt", "k", "c", tags=["red"])
    assert await stage.cache.invalidate(tags=["task:t1", "red"]) == 2
    assert await stage.cache.get("context", ("t1", 1)) is MISS
    assert await stage.cache.get("context", ("t2", 1)) == "b"
    assert (await stage.cache.lookup("prompt", "k", tags=["red"])).miss_reason == "invalidated"


@scenario
async def further_tags_of_an_entry_count(stage: Stage) -> None:
    """A reader that does not know an entry's tag still never gets it after the tag was invalidated."""
    await stage.cache.set("prompt", "k", "v", tags=["red"])
    assert await stage.cache.get("prompt", "k") == "v"
    await stage.cache.invalidate(tags=["red"])
    assert await stage.cache.get("prompt", "k") is MISS


@scenario
async def a_pattern_drops_its_keys_alone(stage: Stage) -> None:
    """context:t1:* drops t1's keys and leaves t2's; a wild task id reaches nobody else's."""
    for task in ("t1", "t2", "t*", "t1:x"):
        await stage.cache.set("context", (task, 1), task)
    assert await stage.cache.invalidate(pattern="context:t1:*") == 1
    assert await stage.cache.get("context", ("t1", 1)) is MISS
    for task in ("t2", "t*", "t1:x"):
        assert await stage.cache.get("context", (task, 1)) == task
    assert await stage.cache.invalidate(pattern="context:*:1", dry_run=True) == 3
    assert await stage.cache.invalidate(pattern="context:*:1") == 3


@scenario
async def a_delete_is_final(stage: Stage) -> None:
    """delete says whether there was an entry, and a write that began before it is refused."""
    await stage.cache.set("prompt", "k", "old")
    seen = await stage.cache.lookup("prompt", "k")
    assert await stage.cache.delete("prompt", "k") is True
    assert await stage.cache.delete("prompt", "k") is False
    assert await stage.cache.set("prompt", "k", "old", fence=seen.fence) is False
    assert await stage.cache.get("prompt", "k") is MISS
    assert await stage.cache.set("prompt", "k", "new") is True
    assert await stage.cache.get("prompt", "k") == "new"
    assert stage.writes("refused") == 1


@scenario
async def a_fence_refuses_what_was_overtaken(stage: Stage) -> None:
    """A set with a lookup's fence is refused after an invalidation, by tag, by category and by pattern."""
    for n, overtaken_by in enumerate(({"tags": ["red"]}, {"category": "prompt"}, {"pattern": "prompt:x*"})):
        seen = await stage.cache.lookup("prompt", f"k{n}", tags=["red"])
        await stage.cache.invalidate(**overtaken_by)
        assert await stage.cache.set("prompt", f"k{n}", "old", tags=["red"], fence=seen.fence) is False
    assert stage.writes("refused") == 3


@scenario
async def a_pattern_leaves_other_entries_valid(stage: Stage) -> None:
    """A pattern that equals no scope refuses writes in flight, and stored entries stay."""
    await stage.cache.set("prompt", "keep", 1)
    await stage.cache.set("prompt", "x1", 1)
    assert await stage.cache.invalidate(pattern="prompt:x*") == 1
    assert await stage.cache.get("prompt", "keep") == 1


@scenario
async def a_pattern_leaves_tombstones(stage: Stage) -> None:
    """What refuses a write from before a delete outlives a sweep, or the write would pass after both."""
    await stage.cache.set("prompt", "x1", 1)
    await stage.cache.delete("prompt", "x1")
    await stage.cache.set("prompt", "x2", 2)
    assert await stage.cache.invalidate(pattern="prompt:x*") == 1
    found = [await stage.cache.lookup("prompt", key) for key in ("x1", "x2")]
    assert [one.miss_reason for one in found] == ["invalidated"] * 2
    assert [one.miss_trigger for one in found] == ["key", "pattern"]


@scenario
async def a_computation_that_was_overtaken_is_not_stored(stage: Stage) -> None:
    """What was computed before an invalidation goes to its caller and not into the store."""
    other = stage.another()

    if stage.kind == "sync":

        def compute() -> str:
            other.cache.invalidate(tags=["task:t"])
            return "old"
    else:

        async def compute() -> str:  # type: ignore[misc]
            await other.invalidate(tags=["task:t"])
            return "old"

    assert await stage.cache.get_or_compute("context", ("t", 1), compute) == "old"
    assert await stage.cache.get("context", ("t", 1)) is MISS
    assert stage.writes("refused", "context") == 1
    await other.aclose()


@scenario
async def a_fence_that_vanished_refuses(stage: Stage) -> None:
    """Absent means refuse: after FLUSHALL a fenced write of what was computed before is refused."""
    seen = await stage.cache.lookup("prompt", "k")
    with stage.server() as server:
        server.flushall()
    assert await stage.cache.set("prompt", "k", 1, fence=seen.fence) is False
    assert await stage.cache.set("prompt", "k", 1) is True
    assert await stage.cache.get("prompt", "k") == 1


@scenario
async def namespaces_do_not_meet(stage: Stage) -> None:
    """Two namespaces on one server share neither entries nor invalidations."""
    other = stage.another(namespace="team-b")
    await stage.cache.set("prompt", "k", "a")
    await other.set("prompt", "k", "b")
    await other.invalidate(category="prompt")
    assert await stage.cache.get("prompt", "k") == "a"
    assert await other.get("prompt", "k") is MISS
    await other.aclose()


@scenario
async def foreign_bytes_are_repaired(stage: Stage) -> None:
    """Foreign bytes under a key are a miss by version, damaged ones by corrupt; the next write repairs."""
    with stage.server() as server:
        server.set("prompt:k", "plain text")
        assert (await stage.cache.lookup("prompt", "k")).miss_reason == "version"
        assert await stage.cache.get_or_compute("prompt", "k", lambda: 1) == 1
        raw = bytearray(server.get("prompt:k"))
        raw[-1] ^= 1
        server.set("prompt:k", bytes(raw))
        assert (await stage.cache.lookup("prompt", "k")).miss_reason == "corrupt"
        assert await stage.cache.get_or_compute("prompt", "k", lambda: 2) == 2
        server.set("prompt:other", server.get("prompt:k"))
    assert (await stage.cache.lookup("prompt", "other")).miss_reason == "collision"
    assert await stage.cache.get("prompt", "k") == 2


@scenario
async def signed_entries_are_checked(stage: Stage) -> None:
    """With a signing key unsigned and otherwise signed entries are misses, in both directions."""
    signed, forged = stage.another(signing_key="one"), stage.another(signing_key="two")
    await stage.cache.set("prompt", "k", 1)
    assert (await signed.lookup("prompt", "k")).miss_reason == "corrupt"
    await signed.set("prompt", "k", 2)
    assert await signed.get("prompt", "k") == 2
    assert (await forged.lookup("prompt", "k")).miss_reason == "corrupt"
    assert (await stage.cache.lookup("prompt", "k")).miss_reason == "corrupt"
    await signed.aclose()
    await forged.aclose()


@scenario
async def explain_counts_nothing(stage: Stage) -> None:
    """explain tells where a key is and why it would miss, and is no request."""
    await stage.cache.set("context", ("t", 1), {"a": 1}, tags=["red"])
    stage.clock.tick(5)
    told = await stage.cache.explain("context", ("t", 1))
    assert (told.outcome, told.tier, told.tags) == ("hit", "redis", ("task:t", "red"))
    assert told.age_s == pytest.approx(5)
    assert told.kept_s > told.ttl_s > 0
    await stage.cache.invalidate(tags=["red"])
    assert (await stage.cache.explain("context", ("t", 1))).miss_reason == "invalidated"
    assert stage.telemetry.value("cache.requests") == 0


@scenario
async def the_plain_client_sees_foreign_bytes(stage: Stage) -> None:
    """A key of the layer is no text: the plain client gives None."""
    from cache import RedisCacheClient

    await stage.cache.set("prompt", "k", "v")
    with RedisCacheClient(stage.url, recorder=stage.recorder) as client:
        assert client.get("prompt:k") is None
    assert stage.count("miss", **{"cache.miss.reason": "corrupt"}) == 1


@scenario
async def a_registered_category_is_counted_by_name(stage: Stage) -> None:
    """An application's category has its own TTL, prefix and figures."""
    own = stage.another((Policy(name="weather", prefix="wx", ttl_s=60),))
    await own.set("weather", {"city": "Graz"}, 21)
    assert await own.get("weather", {"city": "Graz"}) == 21
    assert stage.count("hit", "weather") == 1
    assert 50 <= (await own.explain("weather", {"city": "Graz"})).ttl_s <= 60
    await own.aclose()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Every scenario holds for both twins."""
    stage = Stage(kind, glasscache_url)

    play(each, stage)

    assert stage.telemetry.value("cache.telemetry.dropped") == 0
