"""Bad input on both twins: it works, or it is refused by a named error before any I/O."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from support.faces import Scenario, Stage, play

from cache import MISS, Computed
from cache.async_redis_client import AsyncRedisCacheClient
from cache.core import keys
from cache.errors import CacheKeyError, CacheValueError, PatternError, SettingsError, TTLError
from cache.redis_client import RedisCacheClient

SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    """Put a scenario into the table."""
    SCENARIOS.append(function)
    return function


async def refuses(stage: Stage, error: type[Exception], method: str, *args: Any, **kwargs: Any) -> None:
    """The call raises the named error and asks nothing of the store."""
    with pytest.raises(error):
        await getattr(stage.cache, method)(*args, **kwargs)
    assert stage.telemetry.spans() == []


@scenario
async def parts_as_long_as_a_tag_may_be_work(stage: Stage) -> None:
    """A task's or a tool's name is also a tag: what a tag can hold is kept and can be invalidated."""
    task, tool = "t" * (keys.LONGEST_TAG - len("task:")), "é" * (keys.LONGEST_TAG - len("tool:"))
    await stage.cache.set("context", (task, 1), "context")
    await stage.cache.set("tool", (tool, {}), "tool")
    assert await stage.cache.get("context", (task, 1)) == "context"
    assert await stage.cache.get("tool", (tool, {})) == "tool"
    assert await stage.cache.invalidate(tags=[f"task:{task}", f"tool:{tool}"]) == 2
    assert (await stage.cache.lookup("context", (task, 1))).miss_reason == "invalidated"
    assert (await stage.cache.lookup("tool", (tool, {}))).miss_reason == "invalidated"


@scenario
async def longer_parts_are_refused(stage: Stage) -> None:
    """A name that no invalidation could name, 70 kB for example, is a CacheKeyError for every call."""
    for name in ("x" * 508, "x" * 70_000, "\U0001f600" * 20_000):
        await refuses(stage, CacheKeyError, "set", "context", (name, 1), 1)
        await refuses(stage, CacheKeyError, "get", "context", (name, 1))
        await refuses(stage, CacheKeyError, "get_or_compute", "tool", (name, {}), dict)
        await refuses(stage, CacheKeyError, "set_many", "context", {(name, 1): 1})


@scenario
async def too_many_tags_are_refused(stage: Stage) -> None:
    """256 tags of one key work and each invalidates it; one more is a CacheKeyError."""
    tags = [f"tag-{n}" for n in range(keys.MOST_TAGS + 1)]
    await refuses(stage, CacheKeyError, "set", "prompt", "k", 1, tags=tags)
    await refuses(stage, CacheKeyError, "get_or_compute", "prompt", "k", dict, tags=tags)
    assert await stage.cache.set("prompt", "k", 1, tags=tags[:-1])
    assert await stage.cache.get("prompt", "k") == 1
    await stage.cache.invalidate(tags=tags[-2:])
    assert (await stage.cache.lookup("prompt", "k")).miss_reason == "invalidated"


@scenario
async def tags_that_are_no_collection_are_refused(stage: Stage) -> None:
    """A number is no tags, None is none, one text is one tag."""
    for tags in (5, 1.5, b"red", [b"red"], [None], object()):
        await refuses(stage, CacheKeyError, "get", "prompt", "k", tags=tags)
        await refuses(stage, CacheKeyError, "invalidate", tags=tags)
    await refuses(stage, PatternError, "invalidate", tags=None)
    assert await stage.cache.set("prompt", "k", 1, tags=None)
    assert await stage.cache.set("prompt", "red", 1, tags="red")
    assert await stage.cache.invalidate(tags="red") == 1
    assert await stage.cache.get_many("prompt", ["k"]) == [1]


@scenario
async def a_fence_that_cannot_tell_is_refused(stage: Stage) -> None:
    """A fence of a lookup without the write's tag would let through what an invalidation of that tag overtook."""
    seen = await stage.cache.lookup("prompt", "k")
    await stage.cache.invalidate(tags=["red"])
    for call in (
        lambda: stage.cache.set("prompt", "k", "old", tags=["red"], fence=seen.fence),
        lambda: stage.cache.set("static", "k", "old", fence=seen.fence),
        lambda: stage.cache.set("prompt", "k", "old", fence="fence"),
    ):
        with pytest.raises(CacheKeyError, match="fence"):
            await call()
    assert await stage.cache.get("prompt", "k", tags=["red"]) is MISS
    seen = await stage.cache.lookup("prompt", "k", tags=["red", "blue"])
    assert await stage.cache.set("prompt", "k", "new", tags=["red"], fence=seen.fence)


@scenario
async def compute_many_answers_in_order_or_not_at_all(stage: Stage) -> None:
    """What has no order of the keys' is refused by name; its own names would pass for values."""
    for answer in ({"a": 1, "b": 2}, "AB", b"AB", {"A", "B"}, None, 2, [1], [1, 2, 3]):
        with pytest.raises(CacheValueError, match="compute_many gave"):
            await stage.cache.get_or_compute_many("prompt", ["a", "b"], lambda keys, answer=answer: answer)
    assert await stage.cache.get_many("prompt", ["a", "b"]) == [MISS, MISS]
    assert await stage.cache.get_or_compute_many("prompt", ["a", "b"], lambda keys: (key * 2 for key in keys)) == [
        "aa",
        "bb",
    ]
    # a computation may use its list up
    taken = await stage.cache.get_or_compute_many("prompt", ["c", "d"], lambda keys: [keys.pop(0), keys.pop()])
    assert taken == ["c", "d"]


@scenario
async def a_generators_failure_is_the_computations(stage: Stage) -> None:
    """What ``compute_many`` raises while it is read is raised unchanged, and its spans say so."""
    error = ZeroDivisionError("mine")

    def compute_many(keys: list[str]) -> Any:
        yield 1
        raise error

    with pytest.raises(ZeroDivisionError) as raised:
        await stage.cache.get_or_compute_many("prompt", ["a", "b"], compute_many)
    assert raised.value is error
    failed = [span.name for span in stage.telemetry.spans() if span.status.status_code is StatusCode.ERROR]
    assert failed == ["cache.compute prompt", "cache.get_or_compute_many prompt"]


@scenario
async def a_computed_is_checked_where_it_is_made(stage: Stage) -> None:
    """Wrong files or a wrong TTL are the computation's own mistake, and nothing is kept."""
    for error, wrong in (
        (CacheValueError, {"files": ("/etc/hosts",)}),
        (CacheValueError, {"files": ["/etc/hosts"]}),
        (TTLError, {"ttl": 0}),
        (TTLError, {"ttl": True}),
    ):
        with pytest.raises(error):
            await stage.cache.get_or_compute("prompt", "k", lambda wrong=wrong: Computed("x", **wrong))
    assert [span.name for span in stage.telemetry.spans() if span.status.status_code is not StatusCode.ERROR] == []
    assert await stage.cache.get("prompt", "k") is MISS


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Both twins play every scenario of the table."""
    play(each, Stage(kind, glasscache_url))


def test_a_batch_may_have_more_scopes_than_two_bytes_count(glasscache_url: str) -> None:
    """70,000 tasks in one batch, each with its own generation, are written, or dropped and counted: never raised."""
    stage = Stage("sync", glasscache_url)
    with stage.cache.cache as cache:
        stored = cache.set_many("context", [((f"t{n}", 1), n) for n in range(70_000)])
    assert stored == stage.writes("stored", "context")
    assert stored + stage.writes("dropped", "context") == 70_000


@pytest.mark.parametrize("client", [RedisCacheClient, AsyncRedisCacheClient])
@pytest.mark.parametrize("ttl", [0, -1, float("nan"), True, 10**12, None, "soon"], ids=repr)
def test_a_wrong_default_ttl_is_named(client: Any, ttl: Any) -> None:
    """A client cannot be made with a TTL that none of its calls could take."""
    with pytest.raises(SettingsError, match="CACHE_DEFAULT_TTL"):
        client("embedded://", enabled=False, default_ttl=ttl)
