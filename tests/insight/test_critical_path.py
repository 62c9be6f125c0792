"""The critical path of a run: whose time its duration is made of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.critical_path import critical_path
from telemetry.steps import Part, Step, word

CACHE, COMPUTE, WAIT, OWN = Part.CACHE, Part.COMPUTE, Part.WAIT, Part.APPLICATION


def step(part: Part, number: int, began_s: float, seconds: float, parent: int = 0, name: str = "") -> Step:
    return Step(part, name or f"{part}{number}", parent, number, began_s, seconds)


CASES: dict[str, tuple[list[Step], float, dict[str, float]]] = {
    "nothing but the application's own": ([], 10, {"run": 10}),
    "one after the other, and gaps": (
        [step(CACHE, 1, 1, 2), step(CACHE, 2, 4, 3)],
        10,
        {"cache1": 2, "cache2": 3, "run": 5},
    ),
    "a computation inside an operation": (
        [step(CACHE, 1, 1, 8), step(COMPUTE, 2, 2, 6, parent=1)],
        10,
        {"cache1": 2, "compute2": 6, "run": 2},
    ),
    "what ran beside the longest is not on it": (
        [step(CACHE, 1, 0, 4), step(CACHE, 2, 0, 9), step(CACHE, 3, 5, 3)],
        9,
        {"cache2": 9},
    ),
    "two in parallel, then one": (
        [step(COMPUTE, 1, 0, 3), step(COMPUTE, 2, 0, 5), step(WAIT, 3, 5, 4)],
        9,
        {"compute2": 5, "wait3": 4},
    ),
    "a child that outlives its parent": (
        [step(CACHE, 1, 0, 4), step(COMPUTE, 2, 1, 90, parent=1)],
        5,
        {"cache1": 1, "compute2": 3, "run": 1},
    ),
    "a parent that is not among them": ([step(CACHE, 2, 1, 3, parent=77)], 5, {"cache2": 3, "run": 2}),
    "a step that is its own parent": ([step(CACHE, 2, 1, 3, parent=2)], 5, {"cache2": 3, "run": 2}),
    "a rounding between two": (
        [step(CACHE, 1, 0, 2.000001), step(CACHE, 2, 2, 3)],
        5,
        {"cache1": 2, "cache2": 3},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_pieces_of_the_path(case: str) -> None:
    """Each piece has the seconds that shortening it could spare; together they are the run."""
    steps, seconds, expected = CASES[case]
    found = critical_path(steps, seconds)
    assert {name: s for _, name, s in found.pieces} == pytest.approx(expected)
    assert list(found.pieces) == sorted(found.pieces, key=lambda piece: -piece[2])


def test_it_may_be_as_deep_as_it_likes() -> None:
    """Computations that call each other 20,000 deep are followed to the end."""
    steps = [step(COMPUTE, n, float(n), 40_000.0 - 2 * n, parent=n - 1, name="deep") for n in range(1, 20_001)]
    found = critical_path(steps, 40_000.0)
    assert found.seconds(COMPUTE) == pytest.approx(39_998.0)
    assert found.named() == ["compute deep 39998.000 s", "application run 2.000 s"]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Step], float]:
    """Any steps at all, children outside of their parents among them."""
    times, steps = st.floats(0, 100), []
    for number in range(1, draw(st.integers(0, 12)) + 1):
        parent = draw(st.integers(0, number))
        steps.append(step(draw(st.sampled_from(Part)), number, draw(times), draw(times), parent))
    return steps, draw(times)


@given(runs())
def test_the_pieces_are_the_run(run: tuple[list[Step], float]) -> None:
    """Whatever the steps are, no second is counted twice and none is lost."""
    steps, seconds = run
    found = critical_path(steps, seconds)
    assert sum(s for _, _, s in found.pieces) == pytest.approx(seconds, abs=1e-6)
    assert sum(found.seconds(part) for part in Part) == pytest.approx(seconds, abs=1e-6)
    assert all(s > 0 for _, _, s in found.pieces)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("build_context", True),
        ("rank-2", True),
        ("a/b.py", False),
        ("two words", False),
        ("", False),
        ("x" * 33, False),
    ],
)
def test_a_name_that_may_be_data_is_not_shown(name: str, shown: bool) -> None:
    """A node's name is a word; a path, a sentence or something long is not."""
    assert word(name, "node") == (name if shown else "node")


def test_a_step_as_json_has_words_for_its_enums() -> None:
    """Plain words, numbers and null."""
    told: dict[str, Any] = step(WAIT, 3, 1.0, 2.0).as_dict()
    assert (told["part"], told["reasons"], told["operation"], told["digest"]) == ("wait", {}, None, None)
