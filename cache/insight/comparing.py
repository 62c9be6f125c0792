"""Comparing: what changed between two stretches of traffic, and how much of it chance explains."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from cache.insight import chance
from cache.insight.snapshots import TIMED, Category, Snapshot
from telemetry.histogram import Histogram

LEVEL = 0.05
"""How many of the changes that are told may be chance, on average."""

AT_LEAST = 0.01
"""Share of what was there before that a change must reach: what is smaller is certain at times, and never matters."""

QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


class Verdict(StrEnum):
    """What a change is."""

    SAME = "same"
    """Chance explains it, or it is too small to matter."""
    BETTER = "better"
    WORSE = "worse"
    OTHER = "other"
    """Real, but neither good nor bad by itself: the reasons behind a hit ratio."""


@dataclass(frozen=True, slots=True)
class Change:
    """One comparison.

    Args:
        category: the category.
        what: ``hit_ratio``; ``misses.{reason}`` and ``errors.{type}``, per lookup; ``hit.p95`` and the like, seconds;
            ``saved``, seconds of computation avoided per lookup.
        before, after: what is shown.
        tested: what was compared of both: of a quantile the share that is slower than ``slower_than_s``.
        difference: of what was compared, after less before.
        by_chance: how far chance alone goes in 95 of 100 comparisons.
        p: how often chance alone goes as far.
        q: the same, corrected for the number of comparisons.
        verdict: what it is.
        slower_than_s: the bucket's boundary nearest to the quantile, seconds; None for what is no duration.
    """

    category: str
    what: str
    before: float
    after: float
    tested: tuple[float, float]
    difference: float
    by_chance: float
    p: float
    q: float = 1.0
    verdict: Verdict = Verdict.SAME
    slower_than_s: float | None = None

    @property
    def chance_share(self) -> float:
        """How much of the difference chance explains, 0..1."""
        return 1.0 if self.difference == 0 else min(1.0, self.by_chance / abs(self.difference))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed.

    Args:
        same_accounts: True when ``before`` and ``after`` are one after the other of the same accounts.
        lookups: before and after.
        hit_ratio: before and after, of all categories together; None where nothing was looked up.
        by_mix: how much of that difference comes of other categories being asked for.
        level: the corrected p up to which a change is told.
        changes: every comparison, what is told first, then by p.
        gone, new: categories with lookups in one of both only.
    """

    same_accounts: bool
    lookups: tuple[int, int]
    hit_ratio: tuple[float | None, float | None]
    by_mix: float | None
    level: float
    changes: tuple[Change, ...]
    gone: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def told(self) -> tuple[Change, ...]:
        """What chance does not explain."""
        return tuple(change for change in self.changes if change.verdict is not Verdict.SAME)

    @property
    def verdict(self) -> Verdict:
        """Worse when anything is, else better when anything is, else the same."""
        found = {change.verdict for change in self.changes}
        return next((word for word in (Verdict.WORSE, Verdict.BETTER) if word in found), Verdict.SAME)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        changes = [asdict(change) | {"chance_share": change.chance_share} for change in self.changes]
        return asdict(self) | {"verdict": self.verdict, "comparisons": len(changes), "changes": changes}


def compare(
    before: Snapshot, after: Snapshot, *, same_accounts: bool = False, level: float = LEVEL, at_least: float = AT_LEAST
) -> Comparison:
    """Compare two stretches, category by category.

    Args:
        same_accounts: told on.
        level: of the corrected p, 0..1.
        at_least: share of what was there before, from which on a change matters.
    """
    both = [name for name in before.categories if name in after.categories]
    found = [change for name in both for change in _changes(name, before.categories[name], after.categories[name])]
    corrected = chance.benjamini_hochberg([change.p for change in found])
    judged = [_judged(replace(change, q=q), level, at_least) for change, q in zip(found, corrected, strict=True)]
    judged.sort(key=lambda change: (_ORDER[change.verdict], change.p))
    asked, asks = _asked(before), _asked(after)
    ratios = _ratio(before), _ratio(after)
    return Comparison(
        same_accounts,
        (sum(asked.values()), sum(asks.values())),
        ratios,
        None if None in ratios else _mix(before, after),
        level,
        tuple(judged),
        tuple(sorted(asked.keys() - asks.keys())),
        tuple(sorted(asks.keys() - asked.keys())),
    )


_ORDER = {Verdict.WORSE: 0, Verdict.BETTER: 1, Verdict.OTHER: 2, Verdict.SAME: 3}


def _judged(change: Change, level: float, at_least: float) -> Change:
    least = at_least * abs(change.tested[0])
    if change.q > level or not change.difference or abs(change.difference) < least:
        return change
    if change.what.startswith("misses."):
        return replace(change, verdict=Verdict.OTHER)
    good_when_more = change.what in ("hit_ratio", "saved")
    return replace(change, verdict=Verdict.BETTER if (change.difference > 0) is good_when_more else Verdict.WORSE)


def _changes(name: str, before: Category, after: Category) -> Iterator[Change]:
    n1, n2 = before.lookups, after.lookups
    if n1 and n2:
        yield _share(name, "hit_ratio", before.hits, n1, after.hits, n2)
        reasons = dict.fromkeys((*before.reasons, *after.reasons))
        for reason in reasons:
            yield _share(name, f"misses.{reason}", before.reasons.get(reason, 0), n1, after.reasons.get(reason, 0), n2)
        yield from _saved(name, before, after)
    # who gets no answer at all has no hit and no miss: one lookup at least stands for them
    over1, over2 = max(1, n1 + sum(before.errors.values())), max(1, n2 + sum(after.errors.values()))
    for kind in dict.fromkeys((*before.errors, *after.errors)):
        yield _rate(name, f"errors.{kind}", before.errors.get(kind, 0), over1, after.errors.get(kind, 0), over2)
    for timed in TIMED:
        yield from _slower(name, timed, before.durations[timed], after.durations[timed])


def _share(name: str, what: str, k1: int, n1: int, k2: int, n2: int) -> Change:
    shares, both = (k1 / n1, k2 / n2), (k1 + k2) / (n1 + n2)
    spread = math.sqrt(both * (1 - both) * (1 / n1 + 1 / n2))
    p = chance.proportions(k1, n1, k2, n2)
    return Change(name, what, *shares, shares, shares[1] - shares[0], chance.LIKELY * spread, p)


def _rate(name: str, what: str, k1: int, over1: float, k2: int, over2: float) -> Change:
    found, both = (k1 / over1, k2 / over2), (k1 + k2) / (over1 + over2)
    spread = math.sqrt(both * (1 / over1 + 1 / over2))
    p = chance.rates(k1, over1, k2, over2)
    return Change(name, what, *found, found, found[1] - found[0], chance.LIKELY * spread, p)


def _slower(name: str, timed: str, before: Histogram, after: Histogram) -> Iterator[Change]:
    """A quantile is compared by the share that is slower than the boundary next to it."""
    labels = {1 - q: (q, label) for q, label in QUANTILES}
    n1, n2 = before.count, after.count
    if not n1 or not n2:
        return
    for at, share in chance.cuts(before.counts, after.counts, tuple(labels)):
        q, label = labels[share]
        k1, k2 = sum(before.counts[at + 1 :]), sum(after.counts[at + 1 :])
        change = _share(name, f"{timed}.{label}", k1, n1, k2, n2)
        shown = before.quantile(q) or 0.0, after.quantile(q) or 0.0
        yield replace(change, before=shown[0], after=shown[1], slower_than_s=before.boundaries[at])


def _saved(name: str, before: Category, after: Category) -> Iterator[Change]:
    """Computation avoided per lookup: hits per lookup times what a hit saves.

    What hits save is known as well as the costs of so many computations are, for hits repeat them: the variance of
    the product by the delta method (Casella and Berger, "Statistical Inference", 2nd ed., 5.5.4).
    """
    both = before.durations["compute"].plus(after.durations["compute"])
    if both.count < 2 or not before.saved_s + after.saved_s:
        return
    spread = _variance(both)
    found, variance = [], 0.0
    for side in (before, after):
        n, ratio = side.lookups, side.hits / side.lookups
        cost = side.saved_s / side.hits if side.hits else 0.0
        computed = max(1, min(side.hits, side.durations["compute"].count or both.count))
        variance += cost * cost * ratio * (1 - ratio) / n + ratio * ratio * spread / computed
        found.append(side.saved_s / n)
    difference, deviation = found[1] - found[0], math.sqrt(variance)
    p = chance.tail(difference / deviation) if deviation else 1.0
    tested = found[0], found[1]
    yield Change(name, "saved", *tested, tested, difference, chance.LIKELY * deviation, p)


def _variance(found: Histogram) -> float:
    """Of the values behind a histogram, taken from the middles of its buckets; beyond the last from twice its bound."""
    edges = (0.0, *found.boundaries)
    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)] + [2 * edges[-1]]
    mean = sum(n * x for n, x in zip(found.counts, middles, strict=True)) / found.count
    return sum(n * (x - mean) ** 2 for n, x in zip(found.counts, middles, strict=True)) / (found.count - 1)


def _asked(side: Snapshot) -> dict[str, int]:
    return {name: part.lookups for name, part in side.categories.items() if part.lookups}


def _ratio(side: Snapshot) -> float | None:
    lookups = sum(_asked(side).values())
    return sum(part.hits for part in side.categories.values()) / lookups if lookups else None


def _mix(before: Snapshot, after: Snapshot) -> float:
    """How much of the difference of the whole ratio comes of other weights.

    Source: Kitagawa, J. Am. Stat. Assoc. 50, 1955; where a category was not asked for it has the other side's ratio.
    """
    asked, asks = _asked(before), _asked(after)
    total1, total2, found = sum(asked.values()), sum(asks.values()), 0.0
    for name in asked.keys() | asks.keys():
        ratios = [
            side.categories[name].hits / counts[name]
            for side, counts in ((before, asked), (after, asks))
            if name in counts
        ]
        weight = asks.get(name, 0) / total2 - asked.get(name, 0) / total1
        found += weight * sum(ratios) / len(ratios)
    return found
