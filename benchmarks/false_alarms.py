"""How often ``glasscache compare`` is wrong: false alarms where nothing changed, and what it finds of planted changes.

    python -m benchmarks.false_alarms [REPORTS]

Two stretches of traffic are drawn from the same, or from other, probabilities: five categories with reasons, errors
and durations. Each pair is one report, made of some seventy comparisons.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.insight.comparing import Comparison, Verdict, compare
from cache.insight.snapshots import Category, Snapshot
from telemetry.histogram import Histogram
from telemetry.schema import DURATION_BUCKETS

LOOKUPS = (3000, 5000)
"""Of each category, before and after."""

RATIOS = {"context": 0.88, "embedding": 0.97, "tool": 0.61, "prompt": 0.30, "static": 0.995}
REASONS = {"cold": 0.6, "expired": 0.3, "invalidated": 0.095, "corrupt": 0.005}
ERRORS = {"timeout": 0.002, "refused": 0.0005}
"""In one lookup."""


@dataclass(frozen=True, slots=True)
class Planted:
    """What is different after.

    Args:
        points: how much the hit ratio of ``context`` fell, 0..1.
        slower: by what its hits take longer.
        errors: by what its errors are multiplied.
    """

    points: float = 0.0
    slower: float = 1.0
    errors: float = 1.0


def _histogram(rng: Any, n: int, median_s: float) -> Histogram:
    made = Histogram(DURATION_BUCKETS)
    values = rng.lognormal(np.log(median_s), 0.6, n)
    places = np.searchsorted(DURATION_BUCKETS, values)
    made.counts = np.bincount(places, minlength=len(DURATION_BUCKETS) + 1).tolist()
    made.count, made.total = n, float(values.sum())
    return made


def stretch(rng: Any, lookups: int, planted: Planted = Planted()) -> Snapshot:
    """One stretch of traffic."""
    categories = {}
    for name, usual in RATIOS.items():
        hurt = planted if name == "context" else Planted()
        hits = int(rng.binomial(lookups, usual - hurt.points))
        misses = lookups - hits
        costs = rng.lognormal(np.log(0.05), 0.8, max(1, misses))
        computed = Histogram(DURATION_BUCKETS)
        for cost in costs[:misses]:
            computed.record(float(cost))
        categories[name] = Category(
            hits,
            misses,
            dict(zip(REASONS, map(int, rng.multinomial(misses, list(REASONS.values()))), strict=True)),
            {kind: int(rng.poisson(lookups * rate * hurt.errors)) for kind, rate in ERRORS.items()},
            # hits repeat what was computed
            float(rng.choice(costs, hits).sum()),
            lookups * 1e-4,
            {
                "hit": _histogram(rng, hits, 0.0003 * hurt.slower),
                "miss": _histogram(rng, misses, 0.05),
                "compute": computed,
            },
        )
    return Snapshot((), DURATION_BUCKETS, categories)


def reports(n: int, planted: Planted = Planted(), seed: int = 1) -> list[Comparison]:
    """``n`` comparisons of two stretches; nothing is too small to be told."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        before, after = stretch(rng, LOOKUPS[0]), stretch(rng, LOOKUPS[1], planted)
        made.append(compare(before, after, at_least=0.0))
    return made


def finds(made: list[Comparison], what: str) -> float:
    """The share of the reports that call the planted change worse."""
    seen = sum(
        any(c.category == "context" and c.what.startswith(what) and c.verdict is Verdict.WORSE for c in report.changes)
        for report in made
    )
    return seen / len(made)


def main(n: int) -> None:
    """Print the figures of docs/insight.md."""
    quiet = reports(n)
    changes = [change for report in quiet for change in report.changes]
    single = sum(change.p <= 0.05 for change in changes) / len(changes)
    print(f"nothing changed, {n} reports of {len(changes) // n} comparisons:")
    print(f"  comparisons with p <= 0.05 before the correction   {single:.2%}")
    print(f"  reports that tell anything                         {sum(bool(r.told) for r in quiet) / n:.2%}")
    worse = sum(r.verdict is Verdict.WORSE for r in quiet) / n
    print(f"  reports that call anything worse (exit code 1)     {worse:.2%}")
    kinds, alarms = Counter(c.what for c in changes), Counter(c.what for c in changes if c.p <= 0.05)
    for kind in (
        "hit_ratio",
        "misses.cold",
        "misses.corrupt",
        "errors.timeout",
        "hit.p50",
        "hit.p95",
        "saved",
    ):
        print(f"    {kind:<16} p <= 0.05 in {alarms[kind] / kinds[kind]:.2%}")
    print(f"planted in one category of five, {LOOKUPS[0]} and {LOOKUPS[1]} lookups each:")
    cases = [(f"hit ratio {points} points lower", "hit_ratio", Planted(points / 100)) for points in (1, 2, 3, 4, 5)]
    cases += [(f"hits {slower - 1:.0%} slower", "hit.", Planted(slower=slower)) for slower in (1.02, 1.05, 1.1)]
    cases += [(f"errors times {errors}", "errors.", Planted(errors=errors)) for errors in (2, 3, 4)]
    for words, what, planted in cases:
        print(f"  {words:<24} found in {finds(reports(n, planted), what):.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
