"""The arithmetic of the benchmarks: medians, paired ratios, the order of rounds."""

from __future__ import annotations

import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.method import estimate, paired, quantile, rotated

positive = st.floats(0.001, 1e6)


@given(st.lists(positive, min_size=1))
def test_the_middle_is_the_median(values: list[float]) -> None:
    assert quantile(values, 0.5) == pytest.approx(statistics.median(values))


@given(st.lists(positive, min_size=1), st.floats(0, 1))
def test_a_quantile_lies_among_the_values(values: list[float], share: float) -> None:
    assert min(values) <= quantile(values, share) * (1 + 1e-12)
    assert quantile(values, share) <= max(values) * (1 + 1e-12)


def test_quartiles_and_spread() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])

    assert (found.low, found.value, found.high, found.rounds) == (2.0, 3.0, 4.0, 5)
    assert found.spread == pytest.approx(1 / 3)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_no_figure_is_made_of_nothing(values: list[float]) -> None:
    with pytest.raises(ValueError, match="needs numbers"):
        estimate(values)


@given(st.lists(st.tuples(positive, st.floats(0.5, 50)), min_size=1, max_size=40))
def test_what_slows_a_whole_round_down_does_not_reach_the_ratio(rounds: list[tuple[float, float]]) -> None:
    base = [took * slow for took, slow in rounds]
    other = [2 * took * slow for took, slow in rounds]

    assert paired(base, other).value == pytest.approx(2.0)


def test_a_disturbed_third_of_the_rounds_is_forgotten() -> None:
    found = paired([1.0] * 30, [0.8] * 20 + [9.0] * 10)

    assert found.value == pytest.approx(0.8)


@pytest.mark.parametrize(("base", "other"), [([1.0], [1.0, 2.0]), ([0.0], [1.0])])
def test_rounds_that_are_no_pairs_are_refused(base: list[float], other: list[float]) -> None:
    with pytest.raises(ValueError, match=r"rounds of|above zero"):
        paired(base, other)


def test_everybody_is_at_each_place_equally_often() -> None:
    names = ["a", "b", "c"]
    places = Counter((name, place) for turn in range(6) for place, name in enumerate(rotated(names, turn)))

    assert set(places.values()) == {2}
    assert rotated([], 3) == []
