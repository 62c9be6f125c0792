"""A process remembers which tags a key's entry has beyond those that a lookup names; what it remembers may be wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.faces import Stage

from cache import MISS, Cache
from cache.core.shelves import REMEMBERED

pytestmark = pytest.mark.usefixtures("either_path")


@pytest.fixture
def two(glasscache_url: str) -> Iterator[tuple[Cache, Cache]]:
    """Two processes' caches, as it were."""
    stage = Stage("sync", glasscache_url)
    one, other = stage.cache.cache, stage.another().cache
    yield one, other
    one.close()
    other.close()


@pytest.mark.parametrize("now", [(), ("blue",), ("red", "blue"), ("blue", "red"), tuple(f"t{n}" for n in range(40))])
@pytest.mark.parametrize("before", [("red",), ("red", "blue")])
def test_a_memory_that_is_wrong_does_no_harm(
    two: tuple[Cache, Cache], before: tuple[str, ...], now: tuple[str, ...]
) -> None:
    """Another process writes the key with other tags: the value is served, and just its own tags invalidate it."""
    one, other = two
    assert one.set("prompt", "k", 1, tags=before)
    assert one.get("prompt", "k") == 1
    assert other.set("prompt", "k", 2, tags=now)
    assert one.get("prompt", "k") == one.get_many("prompt", ["k", "x"])[0] == 2
    for gone in set(before) - set(now):
        one.invalidate(tags=[gone])
        assert one.get("prompt", "k") == one.lookup("prompt", "k").value == 2
    for tag in now:
        other.invalidate(tags=[tag])
        assert one.get("prompt", "k") is MISS
        assert one.get_many("prompt", ["k", "x"]) == [MISS, MISS]
        assert one.set("prompt", "k", 2, tags=now)
        assert one.get("prompt", "k") == 2


def test_a_write_without_tags_has_none(two: tuple[Cache, Cache]) -> None:
    """What is remembered of a key adds no tag to what is written of it, nor to what a lookup's fence holds."""
    one, other = two
    assert one.set("prompt", "k", 1, tags=["red"])
    assert one.get("prompt", "k") == 1
    found = one.lookup("prompt", "k")
    assert found.fence is not None and [name for name, _ in found.fence.scopes] == ["category:prompt"]
    other.invalidate(tags=["red"])
    assert one.set("prompt", "k", 2, fence=found.fence)
    assert other.explain("prompt", "k").tags == ()
    other.invalidate(tags=["red"])
    assert one.get("prompt", "k") == 2


def test_a_computation_without_tags_is_not_refused_for_a_tag_of_old(two: tuple[Cache, Cache]) -> None:
    """A miss of a key that had a tag before is written under the scopes that were asked for."""
    one, other = two
    assert one.set("prompt", "k", 1, tags=["red"])
    assert one.get("prompt", "k") == 1
    assert other.delete("prompt", "k")

    def compute() -> int:
        other.invalidate(tags=["red"])
        return 2

    assert one.get_or_compute("prompt", "k", compute) == 2
    assert other.get("prompt", "k") == 2


def test_what_is_remembered_is_bounded(two: tuple[Cache, Cache]) -> None:
    """However many keys are written with tags, whatever their tags are."""
    one, _ = two
    shelf = one._engine.shelf("prompt")
    for n in range(3 * REMEMBERED):
        shelf.want(f"k{n}", ("red", f"t{n}"))
        shelf.want(f"k{n - 10}")
    shelf.want("k", ("x" * 512,))
    shelf.want("k", [f"t{n}" for n in range(100)])
    memories = shelf._remembered, shelf._tagged, shelf._hints, shelf._known_tags
    assert max(map(len, memories)) <= REMEMBERED
    assert max(len(want.asked) for want in shelf._remembered.values()) < 20


class Tag(str):
    """A text that looks like another one."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return "another"


def test_tags_that_only_look_alike_are_not_taken_for_each_other(two: tuple[Cache, Cache]) -> None:
    """What is remembered under a text is not found by a subclass of text, which may say something else."""
    shelf = two[0]._engine.shelf("prompt")
    assert shelf.want("k", ("a",)).scopes == ("category:prompt", "tag:a")
    assert shelf.want("k", (Tag("a"),)).scopes == ("category:prompt", "tag:another")
    assert shelf.want("k", "a").scopes == shelf.want("k", ["a"]).scopes == ("category:prompt", "tag:a")
