"""What a category's policy promises, on both twins and a real server: stale answers, refreshes, remembered failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from support.faces import Recording, Scenario, Stage, play

from cache import MISS, Policy
from cache.errors import ValueTooLargeError
from cache.testing.clock import ManualClock

POLICIES = (
    Policy(name="rates", ttl_s=10, jitter=0, stale_on=(ConnectionError,)),
    Policy(name="news", ttl_s=10, jitter=0, serve_stale=True),
    Policy(name="ahead", ttl_s=10, jitter=0, refresh_ahead=0.5),
    Policy(name="found", negative_on=(LookupError,), negative_ttl_s=30),
    Policy(name="small", max_bytes=16),
)
SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    """Put a scenario into the table."""
    SCENARIOS.append(function)
    return function


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what happens in the background."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.002)


def tick(stage: Stage, seconds: float) -> None:
    """Let time pass, on both of the cache's clocks."""
    stage.engine.clock.tick(seconds)


@scenario
async def a_stale_value_answers_for_a_failed_origin(stage: Stage) -> None:
    """The policy's exceptions only, as long as Redis keeps the entry, and the caller's span is no failure."""
    down = ConnectionError("down")
    await stage.cache.set("rates", "k", "old")
    # the stale window is min(TTL, 5 min), and the server's own clock ends it
    assert 19 < (await stage.cache.explain("rates", "k")).kept_s <= 20
    tick(stage, 11)
    with pytest.raises(ZeroDivisionError):
        await stage.cache.get_or_compute("rates", "k", Recording(ZeroDivisionError()))
    assert await stage.cache.get_or_compute("rates", "k", Recording(down)) == "old"
    (span,) = [span for span in stage.telemetry.spans() if (span.attributes or {}).get("cache.outcome") == "stale"]
    assert span.status.status_code is StatusCode.UNSET
    assert stage.count("stale", "rates") == 1
    with pytest.raises(ConnectionError) as raised:
        await stage.cache.get_or_compute("rates", "other", Recording(down))
    assert raised.value is down


@scenario
async def a_failed_origin_is_left_alone_for_a_second(stage: Stage) -> None:
    """While a stale value answers, the origin is asked once a second at most; a new value ends it."""
    await stage.cache.set("rates", "k", "old")
    tick(stage, 10.1)
    origin = Recording(ConnectionError("down"), ConnectionError("down"), "new")
    answers = [await stage.cache.get_or_compute("rates", "k", origin) for _ in range(5)]
    assert (answers, origin.calls) == (["old"] * 5, 1)
    tick(stage, 1.1)
    answers = [await stage.cache.get_or_compute("rates", "k", origin) for _ in range(5)]
    assert (answers, origin.calls) == (["old"] * 5, 2)
    tick(stage, 1.1)
    answers = [await stage.cache.get_or_compute("rates", "k", origin) for _ in range(5)]
    assert (answers, origin.calls) == (["new"] * 5, 3)
    assert (stage.count("stale", "rates"), stage.count("miss", "rates"), stage.count("hit", "rates")) == (10, 1, 4)


@scenario
async def what_was_invalidated_never_answers(stage: Stage) -> None:
    """Neither a failed origin nor stale-while-refreshing brings an invalidated value back."""
    for category in ("rates", "news"):
        await stage.cache.set(category, "k", "old")
        tick(stage, 11)
        await stage.cache.invalidate(category=category)
        with pytest.raises(ConnectionError):
            await stage.cache.get_or_compute(category, "k", Recording(ConnectionError("down")))
        assert stage.count("stale", category) == 0


@scenario
async def a_batch_is_answered_by_stale_values_or_not_at_all(stage: Stage) -> None:
    """Where every missing key has an expired value they answer for the failed origin; where one has none, it fails."""
    await stage.cache.set_many("rates", {"a": 1, "b": 2})
    tick(stage, 11)
    down = ConnectionError("down")
    assert await stage.cache.get_or_compute_many("rates", ["b", "a", "b"], Recording(down)) == [2, 1, 2]
    assert stage.count("stale", "rates") == 3
    with pytest.raises(ConnectionError) as raised:
        await stage.cache.get_or_compute_many("rates", ["a", "new"], Recording(down))
    assert raised.value is down


@scenario
async def an_expired_value_is_served_while_it_is_made_anew(stage: Stage) -> None:
    """The caller has the old value at once; one refresh, a root span linked to its cause, stores the new one."""
    await stage.cache.set("news", "k", "old")
    tick(stage, 11)
    origin = Recording("new")
    assert await stage.cache.get_or_compute("news", "k", origin) == "old"
    await until(lambda: bool(stage.telemetry.spans("cache.refresh news")))
    assert await stage.cache.get_or_compute("news", "k", origin) == "new"
    assert origin.calls == 1
    (refresh,) = stage.telemetry.spans("cache.refresh news")
    (cause, _) = stage.telemetry.spans("cache.get_or_compute news")
    assert refresh.parent is None
    assert [link.context.span_id for link in refresh.links] == [cause.context.span_id]
    assert (stage.count("stale", "news"), stage.count("hit", "news"), stage.count("miss", "news")) == (1, 1, 0)


@scenario
async def a_hit_near_its_end_is_refreshed_ahead(stage: Stage) -> None:
    """In the last half of its life a hit is still a hit, and makes its successor."""
    await stage.cache.set("ahead", "k", "old")
    origin = Recording("new")
    tick(stage, 4)
    assert await stage.cache.get_or_compute("ahead", "k", origin) == "old"
    assert origin.calls == 0
    tick(stage, 2)
    assert await stage.cache.get_or_compute("ahead", "k", origin) == "old"
    await until(lambda: stage.writes("stored", "ahead") == 2)
    tick(stage, 4.5)
    assert await stage.cache.get_or_compute("ahead", "k", origin) == "new"
    assert (stage.count("hit", "ahead"), stage.count("miss", "ahead")) == (3, 0)


@scenario
async def a_refresh_that_an_invalidation_overtook_is_refused(stage: Stage) -> None:
    """A tag, a category, a pattern, a delete: what the refresh read before is not written after."""
    overtaking: dict[str, Callable[[Any], Any]] = {
        "tag": lambda cache: cache.invalidate(tags=["red"]),
        "category": lambda cache: cache.invalidate(category="ahead"),
        "pattern": lambda cache: cache.invalidate(pattern="ahead:nothing*"),
        "delete": lambda cache: cache.delete("ahead", "delete"),
    }
    other = stage.another(POLICIES, stage.engine.clock)
    for done, (key, overtake) in enumerate(overtaking.items()):
        await stage.cache.set("ahead", key, "old", tags=["red"])
        tick(stage, 6)
        go_on = asyncio.Event()

        async def slow(go_on: asyncio.Event = go_on) -> str:
            await go_on.wait()
            return "computed before"

        def blocking(go_on: asyncio.Event = go_on) -> str:
            while not go_on.is_set():
                time.sleep(0.002)
            return "computed before"

        compute = blocking if stage.kind == "sync" else slow
        assert await stage.cache.get_or_compute("ahead", key, compute, tags=["red"]) == "old"
        await overtake(other)
        go_on.set()
        await until(lambda done=done: stage.writes("refused", "ahead") == done + 1)
        assert await stage.cache.get("ahead", key) in (MISS, "old")
    await other.aclose()


@scenario
async def a_refresh_that_fails_reaches_nobody(stage: Stage) -> None:
    """The caller has its old value; the failure is seen on the refresh's own spans."""
    await stage.cache.set("news", "k", "old")
    tick(stage, 11)
    assert await stage.cache.get_or_compute("news", "k", Recording(ZeroDivisionError("raw"))) == "old"
    await until(lambda: bool(stage.telemetry.spans("cache.refresh news")))
    (computed,) = stage.telemetry.spans("cache.compute news")
    assert computed.status.status_code is StatusCode.ERROR
    assert await stage.cache.get_or_compute("news", "k", Recording("new")) == "old"


@scenario
async def failures_are_remembered_where_the_policy_says_so(stage: Stage) -> None:
    """The same error without another computation for 30 s; other errors, and other categories', are not kept."""
    error = KeyError("nobody")
    origin = Recording(error, "there")
    for _ in range(3):
        with pytest.raises(KeyError) as raised:
            await stage.cache.get_or_compute("found", "k", origin)
        assert raised.value is error
    assert origin.calls == 1
    assert stage.count("miss", "found") == 3
    tick(stage, 31)
    assert await stage.cache.get_or_compute("found", "k", origin) == "there"
    for category, failure in (("found", OSError()), ("small", KeyError())):
        again = Recording(failure, "there")
        with pytest.raises(type(failure)):
            await stage.cache.get_or_compute(category, "other", again)
        assert await stage.cache.get_or_compute(category, "other", again) == "there"


@scenario
async def an_invalidation_forgets_failures(stage: Stage) -> None:
    """After any invalidation or a delete the origin is asked again."""
    cache = stage.cache
    for mend in (
        lambda: cache.invalidate(category="found"),
        lambda: cache.invalidate(tags=["red"]),
        lambda: cache.invalidate(pattern="found:*"),
        lambda: cache.delete("found", "k"),
    ):
        with pytest.raises(KeyError):
            await cache.get_or_compute("found", "k", Recording(KeyError("nobody")))
        await mend()
        assert await cache.get_or_compute("found", "k", Recording("there")) == "there"
        await cache.delete("found", "k")


@scenario
async def each_category_has_its_cap(stage: Stage) -> None:
    """The encoding's length counts: at the cap it is kept, a byte above it is refused by name."""
    assert await stage.cache.set("small", "k", "x" * 14)
    with pytest.raises(ValueTooLargeError):
        await stage.cache.set("small", "k", "x" * 15)
    assert await stage.cache.set("prompt", "k", "x" * 15)
    assert await stage.cache.get("small", "k") == "x" * 14


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Both twins play every scenario of the table."""
    play(each, Stage(kind, glasscache_url, POLICIES, clock=ManualClock()))
