"""Chance: how often counts differ so much when nothing changed.

Pure arithmetic over counts. Requests are taken as independent of each other; where they come in
bursts, chance explains more than is said here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

FEW = 10.0
"""Expected count below which the normal approximation gives way to the exact test."""

LIKELY = 1.959963984540054
"""Standard deviations that chance alone stays within in 95 of 100 comparisons."""

_MOST_TERMS = 20_000
_TIE = 1 + 1e-7


def proportions(k1: int, n1: int, k2: int, n2: int) -> float:
    """How often chance alone sets two shares so far apart: the two-sided p of ``k1`` of ``n1``, ``k2`` of ``n2``.

    Source: the two-proportion z-test with the pooled variance (Fleiss, Levin, Paik, "Statistical Methods for Rates and
    Proportions", 3rd ed., 2.3); where a count of fewer than ten is expected, Fisher's exact test (Fisher 1935),
    two-sided by the sum of all tables that are no likelier.

    Returns:
        0..1; 1 where there is nothing to tell apart.
    """
    k, n = k1 + k2, n1 + n2
    if not n1 or not n2 or k in (0, n):
        return 1.0
    low, high = max(0, k - n2), min(k, n1)
    if min(n1, n2) * min(k, n - k) / n >= FEW or high - low > _MOST_TERMS:
        spread = math.sqrt(k / n * (1 - k / n) * (1 / n1 + 1 / n2))
        return tail((k1 / n1 - k2 / n2) / spread)
    whole = _log_choose(n, k)
    return _no_likelier(k1, low, [_log_choose(n1, i) + _log_choose(n2, k - i) - whole for i in range(low, high + 1)])


def rates(k1: int, over1: float, k2: int, over2: float) -> float:
    """The same of two counts of seldom events, each over so many requests, of which none need be the cause of one.

    Source: given their sum, one of two Poisson counts is binomial (Przyborowski and Wilenski, Biometrika 31, 1940);
    exact where a count of fewer than ten is expected.
    """
    k = k1 + k2
    if not k or over1 <= 0 or over2 <= 0:
        return 1.0
    share = over1 / (over1 + over2)
    if k * min(share, 1 - share) >= FEW or k > _MOST_TERMS:
        return tail((k1 - k * share) / math.sqrt(k * share * (1 - share)))
    logs = [_log_choose(k, i) + i * math.log(share) + (k - i) * math.log1p(-share) for i in range(k + 1)]
    return _no_likelier(k1, 0, logs)


def tail(z: float) -> float:
    """How often a normal variable is at least ``z`` standard deviations away, on either side."""
    return math.erfc(abs(z) / math.sqrt(2))


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Each p corrected for how many comparisons were made, in their order.

    Those of at most 0.05 hold one false alarm in twenty at most on average; when nothing changed at all, one report in
    twenty has any.

    Source: Benjamini and Hochberg, J. R. Statist. Soc. B 57, 1995, as adjusted p-values.
    """
    order = sorted(range(len(ps)), key=ps.__getitem__, reverse=True)
    adjusted, least = [1.0] * len(ps), 1.0
    for place, at in enumerate(order):
        least = min(least, ps[at] * len(ps) / (len(ps) - place))
        adjusted[at] = least
    return adjusted


def cuts(before: Sequence[int], after: Sequence[int], shares: Sequence[float]) -> Iterator[tuple[int, float]]:
    """Where two histograms are best cut to compare a quantile: the boundary's place, for each share that is slower.

    The place comes from both together, so it favours neither; shares that fall together are compared once, the first's.

    Source: Mood's median test, for any quantile (Conover, "Practical Nonparametric Statistics", 3rd ed., 4.3).
    """
    both = [a + b for a, b in zip(before, after, strict=True)]
    total, above, slower = sum(both), sum(both), []
    for n in both[:-1]:
        above -= n
        slower.append(above / total if total else 0.0)
    taken = set()
    for share in shares:
        inner = [place for place, found in enumerate(slower) if 0 < found < 1]
        at = min(inner, key=lambda place: abs(_log_odds(slower[place]) - _log_odds(share)), default=-1)
        if at >= 0 and at not in taken:
            taken.add(at)
            yield at, share


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))


def _no_likelier(k: int, low: int, logs: Sequence[float]) -> float:
    """The sum of all outcomes that are no likelier than ``k``."""
    seen = math.exp(logs[k - low]) * _TIE
    return min(1.0, math.fsum(p for p in map(math.exp, logs) if p <= seen))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
