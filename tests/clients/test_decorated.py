"""Decorated functions on both twins: what shares an entry, what runs uncached, what is refused at decoration."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.faces import Scenario, Stage, play

from cache.errors import CacheKeyError, CacheValueError, TTLError, UnknownCategoryError

SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    """Put a scenario into the table."""
    SCENARIOS.append(function)
    return function


def decorator(stage: Stage, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    """``cached`` of whichever twin plays."""
    return (stage.cache.cache if stage.kind == "sync" else stage.cache).cached(*args, **kwargs)  # type: ignore[no-any-return]


async def result(answer: Any) -> Any:
    """What a decorated function gave, awaited where it is to be."""
    return await answer if inspect.isawaitable(answer) else answer


@scenario
async def calls_that_mean_the_same_share_an_entry(stage: Stage) -> None:
    """Positional, named and default arguments are one; another type, value or extra argument is another."""
    calls: list[Any] = []

    @decorator(stage, "prompt")
    def function(x: Any, y: int = 2, *args: Any, **kwargs: Any) -> int:
        calls.append((x, y, args, kwargs))
        return len(calls)

    same = [await result(answer) for answer in (function(1), function(1, 2), function(x=1), function(y=2, x=1))]
    assert same == [1] * 4
    others = (function(1.0), function(True), function("1"), function(1, 2, 3), function(1, args=3), function(1, z=3))
    assert [await result(answer) for answer in others] == [2, 3, 4, 5, 6, 7]
    assert function.__name__ == "function"


@scenario
async def methods_are_told_apart_by_their_object(stage: Stage) -> None:
    """An object that can be a key is one; any other runs the method uncached, counted as bypass."""

    @dataclass(frozen=True)
    class Scale:
        factor: int

        @decorator(stage, "prompt")
        def times(self, x: int) -> int:
            return self.factor * x

    class Plain:
        calls = 0

        @decorator(stage, "prompt")
        def count(self) -> int:
            self.calls += 1
            return self.calls

    assert [await result(Scale(factor).times(2)) for factor in (3, 5, 3)] == [6, 10, 6]
    assert (stage.count("miss"), stage.count("hit"), stage.count("bypass")) == (2, 1, 0)
    plain = Plain()
    assert [await result(plain.count()) for _ in range(2)] == [1, 2]
    assert stage.count("bypass") == 2


@scenario
async def what_cannot_be_a_key_reaches_the_function_untouched(stage: Stage) -> None:
    """A generator that is an argument is not used up by the attempt to make a key of it."""

    @decorator(stage, "prompt")
    def total(numbers: Any) -> int:
        return sum(numbers)

    assert await result(total(n for n in range(4))) == 6
    assert stage.count("bypass") == 1


@scenario
async def a_version_and_a_tag_make_entries_anew(stage: Stage) -> None:
    """Another ``version`` is another key; a tag of the call's arguments invalidates what it names."""
    calls: list[str] = []

    def function(team: str) -> int:
        calls.append(team)
        return len(calls)

    old = decorator(stage, "tool", version="1", tags=lambda team: [f"team:{team}"])(function)
    new = decorator(stage, "tool", version="2")(function)
    assert [await result(answer) for answer in (old("a"), old("b"), new("a"), old("a"))] == [1, 2, 3, 1]
    await stage.cache.invalidate(tags=["team:a"])
    assert [await result(answer) for answer in (old("a"), old("b"), new("a"))] == [4, 2, 3]


@scenario
async def functions_that_would_share_keys_are_refused(stage: Stage) -> None:
    """Two lambdas of a module, and two partials of a function, have one name: with ``key`` they are taken."""

    class Callable_:
        def __call__(self, x: int) -> int:
            return x

    for function in (lambda x: x, functools.partial(max, 1), Callable_(), 5):
        with pytest.raises(CacheKeyError, match="key="):
            decorator(stage, "prompt")(function)
    double = decorator(stage, "prompt", key=lambda x: ("double", x))(lambda x: 2 * x)
    assert [await result(double(4)), await result(double(4))] == [8, 8]
    assert stage.count("hit") == 1


@scenario
async def generators_are_refused(stage: Stage) -> None:
    """What a generator yields cannot be kept, and an awaited one cannot be looped over."""

    def numbers() -> Iterator[int]:
        yield 1

    async def awaited() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, awaited):
        with pytest.raises(CacheValueError, match="generator"):
            decorator(stage, "prompt")(function)
        with pytest.raises(CacheValueError, match="generator"):
            decorator(stage, "prompt", key=lambda: "k")(function)


@scenario
async def bad_terms_are_refused_at_decoration(stage: Stage) -> None:
    """No call has to be made to learn of a wrong category, TTL or tag; a wrong tag is no silent bypass."""
    wrong: tuple[tuple[type[Exception], tuple[str, dict[str, Any]]], ...] = (
        (UnknownCategoryError, ("nope", {})),
        (TTLError, ("prompt", {"ttl": 0})),
        (CacheKeyError, ("context", {})),
        (CacheKeyError, ("prompt", {"tags": 5})),
        (CacheKeyError, ("prompt", {"tags": [""]})),
    )

    def function(x: int) -> int:
        return x

    for error, (category, terms) in wrong:
        with pytest.raises(error):
            decorator(stage, category, **terms)(function)


@scenario
async def whatever_is_awaited_is_awaited_once(stage: Stage) -> None:
    """A coroutine function, and an object whose call is one, give coroutines whose results are kept."""

    class Asked:
        calls = 0

        async def __call__(self, x: int) -> int:
            self.calls += 1
            return x + self.calls

    asked = Asked()
    function = decorator(stage, "prompt", key=lambda x: x)(asked)
    assert [await function(1), await function(1)] == [2, 2]
    assert asked.calls == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Both twins play every scenario of the table."""
    play(each, Stage(kind, glasscache_url))
