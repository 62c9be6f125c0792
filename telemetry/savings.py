"""What the cache saved, net, with the interval that holds the truth in 95 of 100 cases; pure, of any figures.

A hit is taken to have spared what its entry's computation took. That one measurement answers all hits of the entry, and
each of them would have taken another time. Let a computation of one key spread so that its variance is a share ``r`` of
its mean square. Then, over entries ``e`` with measured time ``c`` and ``h`` hits, the variance of the error is

    r * sum(c^2 * (h^2 + h))  =  r * (sum of c^2 over ordered pairs of hits on one entry + 2 * sum of c^2 over hits)

    h^2: one measurement stands for all hits of its entry;  h: the hits' own times, which nobody has measured

``r`` comes from keys that were computed twice, sum((c1 - c2)^2) / sum(c1^2 + c2^2), or, while these are too few, from
all computations of the category, which spread more. Pairs of hits are counted in batches of hits that came together
and scaled to all pairs; there are no fewer than if every computation had been hit equally often.

Source: propagation of error (delta method; JCGM 100:2008, 5.1) over clustered observations (Kish, Survey Sampling,
1965, ch. 5); degrees of freedom of a sum by Welch and Satterthwaite (JCGM 100:2008, G.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from telemetry.figures import Figures
from telemetry.vocabulary import Bound, Outcome
from telemetry.worth import Worth

CONFIDENCE = 0.95
"""How often the interval is to hold the truth."""

FEWEST_PAIRS = 10
"""Keys computed twice from which their spread is believed more than that of the whole category."""

_SERVED = (Outcome.HIT, Outcome.STALE)


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the time of a computation varies.

    Args:
        share: variance over mean square, 0..1.
        freedom: degrees of freedom of that estimate.
    """

    share: float
    freedom: float


@dataclass(frozen=True, slots=True)
class Sums:
    """What was counted of hits and costs, of a category, a run, anything.

    Args:
        hits: how many were answered.
        avoided_s: what they would have cost, seconds.
        shared_s: what callers would have computed that were given another one's result, seconds.
        spent_s: what lookups, writes and misses cost, computations and waits left out, seconds.
        waited_s: what callers waited for another one's computation, seconds.
        worth: the sums that tell how sure this is.
    """

    hits: int
    avoided_s: float
    spent_s: float
    shared_s: float = 0.0
    waited_s: float = 0.0
    worth: Mapping[Worth, float] | None = None

    @property
    def net_s(self) -> float:
        """What remains, seconds; negative when the cache cost more."""
        return self.avoided_s + self.shared_s - self.spent_s - self.waited_s


@dataclass(frozen=True, slots=True)
class Saving:
    """What was saved, net, in seconds.

    Args:
        sums: what it is made of.
        error_s: standard error; None when too few computations were measured.
        freedom: its degrees of freedom.
    """

    sums: Sums
    error_s: float | None
    freedom: float

    @property
    def seconds(self) -> float:
        """The estimate."""
        return self.sums.net_s

    @property
    def interval(self) -> tuple[float, float] | None:
        """Low and high; None when too few computations were measured."""
        if self.error_s is None:
            return None
        reach = quantile(self.freedom) * self.error_s if self.error_s else 0.0
        return self.seconds - reach, self.seconds + reach

    @property
    def loses(self) -> bool:
        """True when the cache costs more than it saves, and chance does not explain it.

        Never where nothing was computed through the cache: what such hits spare nobody has measured.
        """
        found, sums = self.interval, self.sums
        measured = sums.avoided_s or sums.shared_s or (sums.worth or {}).get(Worth.COMPUTED)
        return found is not None and bool(measured) and found[1] < 0.0


def spread(worth: Mapping[Worth, float]) -> Spread | None:
    """How much computations vary, from their sums; None when fewer than two were measured."""
    pairs, squares = worth.get(Worth.AGAIN, 0.0), worth.get(Worth.AGAIN_SQUARES, 0.0)
    if pairs >= FEWEST_PAIRS and squares > 0.0:
        freedom = squares * squares / worth.get(Worth.AGAIN_FOURTHS, squares * squares)
        return Spread(min(1.0, worth.get(Worth.AGAIN_DIFFERENCES, 0.0) / squares), max(1.0, freedom))
    count, squares = worth.get(Worth.COMPUTED, 0.0), worth.get(Worth.COMPUTED_SQUARES, 0.0)
    if count < 2.0 or squares <= 0.0:
        return None
    square_of_mean = (worth.get(Worth.COMPUTED_S, 0.0) / count) ** 2
    # a difference of large sums may come out a rounding below nothing
    variance = max(0.0, squares / count - square_of_mean) * count / (count - 1.0)
    return Spread(variance / (variance + square_of_mean), count - 1.0)


def estimate(sums: Sums, known: Spread | None = None) -> Saving:
    """What was saved.

    Args:
        known: how much its computations vary; None takes it from the sums themselves.
    """
    worth = sums.worth or {}
    known = known or spread(worth)
    if not sums.avoided_s and not sums.shared_s:
        return Saving(sums, 0.0, math.inf)
    if known is None:
        return Saving(sums, None, 0.0)
    together = _alike(sums, worth) + 2.0 * worth.get(Worth.HIT_SQUARES, 0.0)
    # who was given what is not told apart: as if all had been given one result
    variance = known.share * (together + sums.shared_s**2)
    # as many measurements as would err as much if all counted alike (Kish)
    measured = (sums.avoided_s + sums.shared_s) ** 2 / (together + sums.shared_s**2)
    return Saving(sums, math.sqrt(variance), max(1.0, min(known.freedom, measured)))


def _alike(sums: Sums, worth: Mapping[Worth, float]) -> float:
    """Squares of what was avoided, over the ordered pairs of hits that one measurement answers for."""
    looked, most = worth.get(Worth.PAIRS, 0.0), sums.avoided_s**2
    seen = worth.get(Worth.ALIKE, 0.0) * sums.hits * (sums.hits - 1) / looked if looked else 0.0
    # by Cauchy and Schwarz; of hits that come in turns two on one entry are never close together
    least = most / max(1.0, worth.get(Worth.COMPUTED, 0.0)) - worth.get(Worth.HIT_SQUARES, 0.0)
    return min(most, max(seen, least, 0.0))


def total(parts: Iterable[Saving]) -> Saving:
    """All of them together; without an interval when one of them has none."""
    listed = list(parts)
    sums = Sums(
        hits=sum(part.sums.hits for part in listed),
        avoided_s=math.fsum(part.sums.avoided_s for part in listed),
        spent_s=math.fsum(part.sums.spent_s for part in listed),
        shared_s=math.fsum(part.sums.shared_s for part in listed),
        waited_s=math.fsum(part.sums.waited_s for part in listed),
    )
    errors = [part.error_s for part in listed]
    variances = [error**2 for error in errors if error is not None]
    if len(variances) < len(errors):
        return Saving(sums, None, 0.0)
    variance = math.fsum(variances)
    weights = (its**2 / part.freedom for its, part in zip(variances, listed, strict=True) if its)
    freedom = variance**2 / math.fsum(weights) if variance else math.inf
    return Saving(sums, math.sqrt(variance), freedom)


def by_category(figures: Figures) -> dict[str, Saving]:
    """What each category saved that did anything."""
    hits: dict[str, int] = {}
    for (category, _, outcome, _, _), n in figures.requests.items():
        if outcome in _SERVED:
            hits[category] = hits.get(category, 0) + n
    worth: dict[str, dict[Worth, float]] = {}
    for (category, what), value in figures.worth.items():
        worth.setdefault(category, {})[what] = value
    found = {}
    for name, spent_s in figures.overhead_s.items():
        its = worth.get(name, {})
        avoided_s = figures.avoided_s.get(name, 0.0)
        shared_s, waited_s = its.get(Worth.SHARED, 0.0), its.get(Worth.WAITED, 0.0)
        found[name] = estimate(Sums(hits.get(name, 0), avoided_s, spent_s, shared_s, waited_s, its))
    return found


def table(figures: Figures) -> dict[tuple[str, Bound], float]:
    """The same as points of a metric; an interval that is not known has none."""
    points = {}
    for name, saving in by_category(figures).items():
        points[name, Bound.MIDDLE] = saving.seconds
        if saving.interval is not None:
            points[name, Bound.LOW], points[name, Bound.HIGH] = saving.interval
    return points


def quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """How many standard errors an interval reaches to either side.

    Args:
        freedom: degrees of freedom, above 0.

    Source: Student's t; exact for 1 and 2, else Abramowitz and Stegun, 26.7.5, whose error is below 1 % from 3 on.
    """
    upper = (1.0 + confidence) / 2.0
    if freedom < 1.5:
        return math.tan(math.pi * (upper - 0.5))
    if freedom < 2.5:
        return (2.0 * upper - 1.0) * math.sqrt(2.0 / (4.0 * upper * (1.0 - upper)))
    z = NormalDist().inv_cdf(upper)
    return (
        z
        + (z**3 + z) / (4.0 * freedom)
        + (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * freedom**2)
        + (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / (384.0 * freedom**3)
    )
