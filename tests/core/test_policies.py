"""What categories promise: the specification's table, and the bounds of what an application may add."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from cache.core.codecs import CodecName
from cache.core.policies import Policy, PolicyTable, built_in, no_tags
from cache.errors import CategoryError, TTLError, UnknownCategoryError
from telemetry.vocabulary import MAX_REGISTERED_CATEGORIES, Tier


def test_the_specifications_categories_have_its_prefixes_and_ttls() -> None:
    """Context and prompt an hour, embeddings a day, tools half an hour."""
    assert {policy.name: (policy.prefix, policy.ttl_s) for policy in built_in()} == {
        "context": ("context", 3600.0),
        "embedding": ("embed", 86_400.0),
        "tool": ("tool", 1800.0),
        "prompt": ("prompt", 3600.0),
        "static": ("static", 86_400.0),
    }


def test_built_in_categories_derive_what_their_keys_say() -> None:
    """Contexts are tagged by task, tools by name, the others by nothing; embeddings are vectors."""
    table = PolicyTable()
    assert table["context"].tags(("t", 1)) == ("task:t",)
    assert table["tool"].tags(("grep", {})) == ("tool:grep",)
    assert table["prompt"].tags is table["embedding"].tags is no_tags
    assert no_tags("anything") == ()
    assert [name for name in table if table[name].codec is CodecName.VECTOR] == ["embedding"]


@pytest.mark.parametrize("name", ["a", "a_1", "x" * 32, "generation"])
def test_names_that_are_taken(name: str) -> None:
    """1 to 32 lower case letters, digits and underscores; the prefix is the name when none is given."""
    assert Policy(name=name).prefix == name
    assert Policy(name="mine", prefix=name).prefix == name


@pytest.mark.parametrize("word", ["A", "1a", "_a", "a-b", "a:b", "a*", "a b", "a\n", "é", "x" * 33, 1, None, b"a"])
def test_names_that_are_refused(word: Any) -> None:
    """What could be mistaken for another part of a key, or is no label, is a CategoryError."""
    with pytest.raises(CategoryError):
        Policy(name=word)
    if word:
        with pytest.raises(CategoryError):
            Policy(name="mine", prefix=word)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("", ""),
        ("other", ""),
        ("general", ""),
        ("all", ""),
        ("gen", ""),
        ("seen", ""),
        ("lock", ""),
        ("fleet", ""),
        ("a", "gen"),
        ("a", "fleet"),
    ],
)
def test_words_of_ours_are_refused(name: str, prefix: str) -> None:
    """Labels that telemetry uses and prefixes of the bookkeeping are taken."""
    with pytest.raises(CategoryError):
        Policy(name=name, prefix=prefix)


BOUNDS = {
    "jitter": (0.0, 0.5),
    "refresh_ahead": (0.0, 0.9),
    "negative_ttl_s": (0.0, 3600.0),
    "lock_ttl_s": (0.001, 3600.0),
    "wait_s": (0.0, 3600.0),
    "max_bytes": (1, 512 << 20),
    "stale_window_s": (0.0, 315_360_000.0),
}


@pytest.mark.parametrize("what", BOUNDS)
def test_numbers_are_taken_up_to_their_bounds(what: str) -> None:
    """Both ends are allowed."""
    for value in BOUNDS[what]:
        assert getattr(Policy(name="mine", **{what: value}), what) == value


@pytest.mark.parametrize("what", BOUNDS)
def test_numbers_beyond_their_bounds_are_refused(what: str) -> None:
    """Above, below, NaN, infinite, of any size, a bool or no number: a CategoryError that names the field."""
    low, high = BOUNDS[what]
    beyond = (math.nextafter(low, -1), high * 1.001, -1, math.nan, math.inf, -math.inf, 10**400, -(10**5000), 10**5000)
    for value in (*beyond, True, "1", b"1", [1], 1j, timedelta(seconds=1)):
        with pytest.raises(CategoryError, match=what):
            Policy(name="mine", **{what: value})


def test_a_ttl_is_checked_like_every_other() -> None:
    """A timedelta becomes seconds, nonsense is a TTLError."""
    assert Policy(name="mine", ttl_s=timedelta(minutes=1)).ttl_s == 60.0  # type: ignore[arg-type]
    for ttl in (0, -1, math.nan, True, "1", 10**5000):
        with pytest.raises(TTLError):
            Policy(name="mine", ttl_s=ttl)  # type: ignore[arg-type]


def test_a_tier_is_one_of_two() -> None:
    """Entries live in Redis, and in the process too where a policy or a setting says so."""
    assert Policy(name="mine").tier is Tier.REDIS
    table = PolicyTable([Policy(name="mine", tier=Tier.LOCAL)]).with_local(["prompt", "unknown"])
    assert {name for name, policy in table.items() if policy.tier is Tier.LOCAL} == {"mine", "prompt"}
    with pytest.raises(CategoryError, match="tier"):
        Policy(name="mine", tier="near")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("window", "ttl_s", "expected"),
    [(None, 60, 60), (None, 300, 300), (None, 3600, 300), (0.0, 60, 0), (999.0, 60, 999)],
)
def test_the_stale_window_is_the_ttl_but_five_minutes_at_most(
    window: float | None, ttl_s: float, expected: float
) -> None:
    """Unless the policy says another, which may be longer, or nothing."""
    assert Policy(name="mine", stale_window_s=window).stale_window(ttl_s) == expected


def test_a_table_holds_the_built_in_and_the_applications_own() -> None:
    """A later policy replaces an earlier one of its name; the order of the table stays."""
    table = PolicyTable([Policy(name="mine"), Policy(name="tool", ttl_s=5), Policy(name="mine", ttl_s=7)])
    assert list(table) == ["context", "embedding", "tool", "prompt", "static", "mine"]
    assert (len(table), table["tool"].ttl_s, table["mine"].ttl_s) == (6, 5.0, 7.0)
    assert table.prefixes["embed"] == "embedding"


@pytest.mark.parametrize("category", ["nobody", "", "Tool", None, 1, ("tool",), ["tool"]])
def test_a_category_nobody_registered_is_named_so(category: Any) -> None:
    """The error is a LookupError that says which there are."""
    with pytest.raises(UnknownCategoryError, match="context, embedding, tool, prompt, static") as caught:
        PolicyTable()[category]
    assert isinstance(caught.value, LookupError)


def test_asking_whether_a_category_is_there_raises_nothing() -> None:
    """``in`` and ``get`` answer for names that are not registered."""
    table = PolicyTable()
    assert "tool" in table
    assert "nobody" not in table


def test_the_number_of_categories_is_bounded() -> None:
    """Sixteen beside the specification's four, ``static`` among them; one more is refused."""
    own = [Policy(name=f"mine_{number}") for number in range(MAX_REGISTERED_CATEGORIES)]
    assert len(PolicyTable(own[:-1])) == 20
    with pytest.raises(CategoryError, match="16"):
        PolicyTable(own)


def test_two_categories_cannot_share_a_prefix() -> None:
    """Neither with each other nor with a built-in one."""
    for pair in ([Policy(name="a", prefix="p"), Policy(name="b", prefix="p")], [Policy(name="a", prefix="embed")]):
        with pytest.raises(CategoryError, match="prefix"):
            PolicyTable(pair)


def test_ttls_can_be_changed_for_some() -> None:
    """The new table has them, the old one is as it was, and a wrong one is a TTLError."""
    table = PolicyTable([Policy(name="mine")])
    changed = table.with_ttls({"mine": 5, "tool": 6})
    assert [changed[name].ttl_s for name in ("mine", "tool", "prompt")] == [5.0, 6.0, 3600.0]
    assert table["mine"].ttl_s == 3600.0
    with pytest.raises(TTLError):
        table.with_ttls({"mine": 0})
