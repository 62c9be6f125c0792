"""The fence protocol, checked whole: no order of steps, no loss, no failover gives an old value; a lost guard does."""

from __future__ import annotations

import itertools
import re

import pytest
from model.checker import search
from model.fence_model import ALL_GUARDS, Model

from cache.core import scripts

WAYS = ("tag", "category", "delete", "pattern")
"""How a value can be invalidated."""

PAIRS = list(itertools.combinations_with_replacement(WAYS, 2))


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_two_writers_and_two_invalidators_never_give_an_old_value(pair: tuple[str, str]) -> None:
    """While a generation is lost: every order is legal. Writers are readers too: they ask first."""
    for stored, lost in itertools.product((True, False), ("lose tag", "lose category")):
        searched = search(Model(), Model().begin(("write", "write", *pair), (lost,), stored=stored))
        assert searched.story == ()
        assert searched.states > 200


@pytest.mark.parametrize("way", WAYS)
def test_a_reader_that_does_not_know_the_tag_never_gets_an_old_value(way: str) -> None:
    """Its second MGET comes later than its first; in between anything may happen."""
    for stored, lost in itertools.product((True, False), ("lose tag", "lose category")):
        first = Model().begin(("write", way, "tag", "read blindly"), (lost,), stored=stored)
        assert search(Model(), first).story == ()


@pytest.mark.parametrize("way", WAYS)
def test_a_failover_brings_nothing_old_back(way: str) -> None:
    """A replica that lags takes over at any time, with any part of the past: every order is legal."""
    for stored in (True, False):
        searched = search(Model(), Model().begin(("write", "write", way), ("fail over",), stored=stored))
        assert searched.story == ()
        assert searched.states > 200


def test_a_loss_and_a_failover_together_bring_nothing_old_back() -> None:
    """Two writers, two invalidators, a generation that is lost, and a replica that takes over: every order is legal."""
    searched = search(Model(), Model().begin(("write", "write", "tag", "tag"), ("lose tag", "fail over"), stored=False))

    assert searched.story == ()
    assert searched.states > 10_000


MUTANTS = {
    "absent refuses": (("write", "tag", "read"), ("lose tag",)),
    # for tags and categories the reader's own look is enough: these guard what leaves no generation behind
    "commit compares": (("write", "pattern", "read"), ()),
    "commit is atomic": (("write", "pattern", "read"), ()),
    "own token": (("write", "delete", "read"), ()),
    "read compares the category": (("category", "read"), ()),
    "read compares the tag": (("tag", "read"), ()),
    "made before computing": (("write", "tag", "read"), ()),
    "tokens never repeat": (("write", "tag", "read"), ("lose tag",)),
    "identity": (("tag", "read"), ("fail over",)),
    "tombstone": (("write", "delete", "read"), ()),
    "fence before sweep": (("write", "pattern", "read"), ()),
    "sweep spares tombstones": (("write", "pattern", "delete", "read"), ()),
}
"""For each guard, callers and faults that find out when it is missing."""


@pytest.mark.parametrize("guard", sorted(ALL_GUARDS))
def test_each_guard_is_needed(guard: str) -> None:
    """Without it the search finds a wrong answer; with it, over the same callers, none."""
    kinds, faults = MUTANTS[guard]
    stories = {}
    for stored in (True, False):
        mutant = Model(ALL_GUARDS - {guard})
        stories[stored] = search(mutant, mutant.begin(kinds, faults, stored=stored)).story
        assert search(Model(), Model().begin(kinds, faults, stored=stored)).story == ()

    found = [story for story in stories.values() if story]
    assert found, f"nothing notices that {guard!r} is missing"
    print("\n".join(min(found, key=len)))


def test_a_lost_tombstone_is_the_known_limit() -> None:
    """A write that began before a delete, when nothing was stored, passes once the tombstone is lost, as documented."""
    callers = ("write", "delete", "read")

    assert search(Model(), Model().begin(callers, ("lose entry",), stored=True)).story == ()
    assert "WRONG" in search(Model(), Model().begin(callers, ("lose entry",), stored=False)).story[-1]


def test_the_model_speaks_of_the_scripts_that_there_are() -> None:
    """Every script that it names is there, and each script of the protocol has its step."""
    import model.fence_model

    named = set(re.findall(r"``([A-Z_]{4,})``", model.fence_model.__doc__ or ""))

    assert named == {"MAKE_GENERATIONS", "COMMIT", "CHANGE", "DELETE", "SWEEP"}
    assert all(hasattr(scripts, name) for name in named)
