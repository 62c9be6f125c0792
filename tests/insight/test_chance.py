"""Chance against what is known of it: textbook tables, exact sums, and draws of which nothing changed."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.false_alarms import Planted, finds, reports
from cache.insight import chance
from cache.insight.comparing import Verdict


def test_the_lady_who_tasted_tea() -> None:
    """Fisher's own table: three of four against one of four is 34/70, and four against none 2/70."""
    assert chance.proportions(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert chance.proportions(4, 4, 0, 4) == pytest.approx(2 / 70)


@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 12), st.integers(1, 12))
def test_few_are_summed_exactly(k1: int, n1: int, k2: int, n2: int) -> None:
    """With few requests it is the exact sum over all tables with the same margins."""
    k1, k2 = min(k1, n1), min(k2, n2)
    k, ways = k1 + k2, math.comb(n1 + n2, k1 + k2)
    tables = [Fraction(math.comb(n1, i) * math.comb(n2, k - i), ways) for i in range(max(0, k - n2), min(k, n1) + 1)]
    seen = Fraction(math.comb(n1, k1) * math.comb(n2, k2), ways)

    assert chance.proportions(k1, n1, k2, n2) == pytest.approx(float(sum(p for p in tables if p <= seen)))


@given(st.integers(0, 14), st.integers(0, 14), st.floats(1, 1000), st.floats(1, 1000))
def test_seldom_events_are_summed_exactly(k1: int, k2: int, over1: float, over2: float) -> None:
    """Two counts of seldom events are as a coin that falls by how many requests each had."""
    k, share = k1 + k2, over1 / (over1 + over2)
    if k * min(share, 1 - share) >= chance.FEW:
        return
    ways = [math.comb(k, i) * share**i * (1 - share) ** (k - i) for i in range(k + 1)]
    expected = sum(p for p in ways if p <= ways[k1] * (1 + 1e-9)) if k else 1.0

    assert chance.rates(k1, over1, k2, over2) == pytest.approx(min(1.0, expected), rel=1e-6)


def test_many_are_near_the_exact_sum() -> None:
    """Where the normal curve takes over, it is near the sum that it stands for."""
    for k1, n1, k2, n2 in ((40, 200, 62, 210), (900, 1000, 870, 1000)):
        k, ways = k1 + k2, math.comb(n1 + n2, k1 + k2)
        exact = sum(
            math.comb(n1, i) * math.comb(n2, k - i)
            for i in range(max(0, k - n2), min(k, n1) + 1)
            if math.comb(n1, i) * math.comb(n2, k - i) <= math.comb(n1, k1) * math.comb(n2, k2)
        )
        assert chance.proportions(k1, n1, k2, n2) == pytest.approx(exact / ways, abs=0.02)


def test_corrections_are_those_of_the_paper() -> None:
    """Benjamini and Hochberg's own example: of 15 comparisons at 0.05 the first four are told."""
    ps = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
          0.7590, 1.0]  # fmt: skip
    corrected = chance.benjamini_hochberg(ps)

    assert [q <= 0.05 for q in corrected] == [True] * 4 + [False] * 11
    assert corrected[3] == pytest.approx(0.0095 * 15 / 4)
    assert chance.benjamini_hochberg(ps[::-1]) == corrected[::-1]


def test_a_quantile_is_cut_where_it_lies() -> None:
    """The median is cut in the middle of both; quantiles that fall together are compared once."""
    assert list(chance.cuts([5, 5, 0, 0], [5, 5, 0, 0], (0.5, 0.05))) == [(0, 0.5)]
    assert list(chance.cuts([50, 40, 8, 2], [0, 0, 0, 0], (0.5, 0.1, 0.02))) == [(0, 0.5), (1, 0.1), (2, 0.02)]
    assert list(chance.cuts([0, 0], [0, 0], (0.5,))) == []


def test_nothing_changed_and_seldom_is_anything_told() -> None:
    """Of reports over equal traffic one in twenty tells anything, within what 120 of them can show."""
    made = reports(120)
    told = sum(bool(report.told) for report in made)
    single = [change.p <= 0.05 for report in made for change in report.changes]

    # three deviations of the binomial beyond one in twenty
    assert told <= 120 * 0.05 + 3 * math.sqrt(120 * 0.05 * 0.95)
    assert 0.02 < sum(single) / len(single) < 0.06


def test_what_was_planted_is_found() -> None:
    """Five points of one category of five are found in nearly all of the reports, and called worse."""
    made = reports(30, Planted(points=0.05), seed=2)

    assert finds(made, "hit_ratio") >= 0.95
    assert sum(report.verdict is Verdict.WORSE for report in made) >= 28
    assert finds(reports(20, Planted(slower=1.2), seed=3), "hit.") >= 0.95
