"""One table of scenarios over both twins and a real server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.faces import Recording, Scenario, Stage, play

from cache import MISS, Computed
from cache.errors import (
    CacheKeyError,
    CacheValueError,
    PatternError,
    TTLError,
    UnknownCategoryError,
    ValueTooLargeError,
)

SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    """Put a scenario into the table."""
    SCENARIOS.append(function)
    return function


@scenario
async def values_come_back(stage: Stage) -> None:
    """Falsy values are values: only MISS is a miss."""
    for n, value in enumerate((None, {}, [], 0, "", False, 0.0, b"", b"\xff\x00", {"a": [1, 2.5, None]}, "é\n")):
        assert await stage.cache.set("prompt", f"k{n}", value)
        found = await stage.cache.get("prompt", f"k{n}")
        assert found == value
        assert type(found) is type(value)
    assert await stage.cache.get("prompt", "absent") is MISS
    assert not MISS


@scenario
async def a_lookup_tells_all(stage: Stage) -> None:
    """A lookup names outcome, tier, age, TTL and the reason of a miss."""
    await stage.cache.set("prompt", "k", 1, ttl=100)
    stage.clock.tick(10)
    hit = await stage.cache.lookup("prompt", "k")
    assert (hit.value, hit.outcome, hit.tier, hit.miss_reason) == (1, "hit", "redis", None)
    assert hit.age == pytest.approx(10)
    assert 79 <= hit.ttl <= 90
    miss = await stage.cache.lookup("prompt", "other")
    assert (miss.value, miss.outcome, miss.miss_reason) == (MISS, "miss", "cold")


@scenario
async def cold_is_never_a_guess(stage: Stage) -> None:
    """A key that was written and is gone before its time reads as evicted; one that never was reads as cold."""
    await stage.cache.set("prompt", "gone", 1)
    with stage.server() as server:
        server.delete("prompt:gone")
    assert (await stage.cache.lookup("prompt", "gone")).miss_reason == "evicted"
    assert (await stage.another().lookup("prompt", "gone")).miss_reason == "evicted"
    stage.clock.tick(3601)
    assert (await stage.cache.lookup("prompt", "gone")).miss_reason == "expired"
    assert (await stage.cache.lookup("prompt", "never")).miss_reason == "cold"


@scenario
async def entries_expire_logically(stage: Stage) -> None:
    """After its TTL an entry is a miss with the reason expired, while Redis still holds it."""
    await stage.cache.set("prompt", "k", 1, ttl=timedelta(seconds=10))
    stage.clock.tick(10.1)
    found = await stage.cache.lookup("prompt", "k")
    assert (found.outcome, found.miss_reason) == ("miss", "expired")


@scenario
async def a_clock_that_steps_back_harms_nothing(stage: Stage) -> None:
    """An entry from the future has age 0 and is served."""
    await stage.cache.set("prompt", "k", 1)
    stage.clock.step(-3600)
    found = await stage.cache.lookup("prompt", "k")
    assert (found.value, found.age) == (1, 0.0)


@scenario
async def batches_keep_their_order(stage: Stage) -> None:
    """get_many answers in the order of the keys, repeated ones too."""
    assert await stage.cache.set_many("prompt", {"a": 1, "b": 2}) == 2
    assert await stage.cache.get_many("prompt", ["b", "x", "a", "b"]) == [2, MISS, 1, 2]
    assert await stage.cache.get_many("prompt", []) == []
    assert (stage.count("hit"), stage.count("miss")) == (3, 1)


@scenario
async def a_miss_computes_once(stage: Stage) -> None:
    """get_or_compute computes on a miss, stores, and answers from the store afterwards."""
    compute = Recording({"n": 1})
    assert await stage.cache.get_or_compute("prompt", "k", compute) == {"n": 1}
    assert await stage.cache.get_or_compute("prompt", "k", compute) == {"n": 1}
    assert compute.calls == 1
    assert (stage.count("miss"), stage.count("hit"), stage.writes("stored")) == (1, 1, 1)


@scenario
async def a_computation_may_return_none(stage: Stage) -> None:
    """None is computed once and served afterwards."""
    compute = Recording(None)
    assert await stage.cache.get_or_compute("prompt", "k", compute) is None
    assert await stage.cache.get_or_compute("prompt", "k", compute) is None
    assert compute.calls == 1


@scenario
async def errors_pass_unchanged(stage: Stage) -> None:
    """A computation's own error is raised as it is, and nothing is stored."""
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as raised:
        await stage.cache.get_or_compute("prompt", "k", Recording(error))
    assert raised.value is error
    assert await stage.cache.get("prompt", "k") is MISS
    assert stage.telemetry.value("cache.errors") == 0


@scenario
async def mutations_never_reach_the_cache(stage: Stage) -> None:
    """What a caller does to its value changes nobody else's."""
    first = await stage.cache.get_or_compute("prompt", "k", lambda: {"list": [1]})
    first["list"].append(2)
    second = await stage.cache.get("prompt", "k")
    second["list"].append(3)
    assert await stage.cache.get("prompt", "k") == {"list": [1]}


@scenario
async def vectors_are_float32_and_shared(stage: Stage) -> None:
    """An embedding comes back as a read-only float32 array of 4 bytes a number."""
    import numpy

    vector = numpy.linspace(-1, 1, 384)
    found = await stage.cache.get_or_compute("embedding", "text", lambda: vector)
    again = await stage.cache.get("embedding", "text")
    assert found.dtype == again.dtype == numpy.float32
    assert again.shape == (384,)
    assert not again.flags.writeable
    assert numpy.array_equal(found, again)
    size = (await stage.cache.explain("embedding", "text")).size_bytes
    assert size < 1536 + 200


@scenario
async def many_are_computed_by_one_call(stage: Stage) -> None:
    """get_or_compute_many asks once for all that is missing, in order, without repeats."""
    asked: list[list[str]] = []

    def compute_many(keys: list[str]) -> list[str]:
        asked.append(keys)
        return [key.upper() for key in keys]

    await stage.cache.set("prompt", "b", "B")
    assert await stage.cache.get_or_compute_many("prompt", ["a", "b", "c", "a"], compute_many) == ["A", "B", "C", "A"]
    assert await stage.cache.get_or_compute_many("prompt", ["a", "b", "c"], compute_many) == ["A", "B", "C"]
    assert asked == [["a", "c"]]
    assert (stage.count("miss"), stage.count("hit")) == (3, 4)


@scenario
async def warming_is_counted_as_such(stage: Stage) -> None:
    """warm computes what is missing, once, and its lookups are counted under its own name."""
    asked: list[list[str]] = []

    def compute_many(keys: list[str]) -> list[str]:
        asked.append(keys)
        return keys

    assert await stage.cache.warm("prompt", ["a", "b"], compute_many) == 2
    assert await stage.cache.warm("prompt", ["a", "b", "c"], compute_many) == 3
    assert asked == [["a", "b"], ["c"]]
    assert stage.count("miss", **{"cache.operation": "warm"}) == 3
    assert stage.count("hit", **{"cache.operation": "warm"}) == 2


@scenario
async def a_batch_of_the_wrong_length_is_an_error(stage: Stage) -> None:
    """compute_many must give one value for each key."""
    with pytest.raises(CacheValueError, match="1 values for 2 keys"):
        await stage.cache.get_or_compute_many("prompt", ["a", "b"], lambda keys: [1])
    assert await stage.cache.get("prompt", "a") is MISS


@scenario
async def computed_says_what_to_keep(stage: Stage) -> None:
    """A result marked store=False is returned and not kept; a shorter TTL of its own holds."""
    assert await stage.cache.get_or_compute("prompt", "no", lambda: Computed("x", store=False)) == "x"
    assert await stage.cache.get("prompt", "no") is MISS
    await stage.cache.get_or_compute("prompt", "short", lambda: Computed("x", ttl=5))
    stage.clock.tick(5.1)
    assert (await stage.cache.lookup("prompt", "short")).miss_reason == "expired"


@scenario
async def what_cannot_be_kept_is_returned_all_the_same(stage: Stage) -> None:
    """A computed value that would not come back as it was is the caller's, counted as dropped or too large."""
    assert await stage.cache.get_or_compute("prompt", "set", lambda: {1, 2}) == {1, 2}
    assert await stage.cache.get_or_compute("prompt", "tuple", lambda: (1, 2)) == (1, 2)
    big = "x" * (2 << 20)
    assert await stage.cache.get_or_compute("prompt", "big", lambda: big) == big
    assert (stage.writes("dropped"), stage.writes("too_large"), stage.writes("stored")) == (2, 1, 0)


@scenario
async def bad_arguments_are_named_errors(stage: Stage) -> None:
    """Programming errors are raised by name, before any I/O and without a span."""
    cache = stage.cache
    with pytest.raises(UnknownCategoryError):
        await cache.get("nope", "k")
    with pytest.raises(CacheKeyError):
        await cache.get("context", "k")
    with pytest.raises(CacheKeyError):
        await cache.get("prompt", "k", tags=[""])
    for ttl in (0, -1, float("nan"), True, 10**12, "60"):
        with pytest.raises(TTLError):
            await cache.set("prompt", "k", 1, ttl=ttl)
    with pytest.raises(CacheValueError):
        await cache.set("prompt", "k", object())
    with pytest.raises(ValueTooLargeError):
        await cache.set("prompt", "k", "x" * (2 << 20))
    with pytest.raises(PatternError):
        await cache.invalidate(pattern="*")
    with pytest.raises(PatternError):
        await cache.invalidate()
    assert [span.name for span in stage.telemetry.spans() if span.name != "cache.set prompt"] == []


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Every scenario holds for both twins."""
    stage = Stage(kind, glasscache_url)

    play(each, stage)

    assert stage.telemetry.value("cache.telemetry.dropped") == 0


def test_a_stop_iteration_passes_unchanged(glasscache_url: str) -> None:
    """Even StopIteration reaches a blocking caller as it was raised."""
    error = StopIteration("mine")
    stage = Stage("sync", glasscache_url)

    with stage.cache.cache as cache, pytest.raises(StopIteration) as raised:
        cache.get_or_compute("prompt", "k", Recording(error))

    assert raised.value is error
    (event,) = [event for span in stage.telemetry.spans("cache.compute prompt") for event in span.events]
    assert dict(event.attributes or {}) == {"exception.type": "builtins.StopIteration"}
