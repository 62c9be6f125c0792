"""The arithmetic of the figures: ratios of pairs that were measured in the same round, their median and spread.

Pure. A ratio is made of two measurements a few hundred milliseconds apart, so that what slows the machine down
slows both; the median over the rounds forgets the rounds in which it did not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MIN_ROUNDS = 30
"""Rounds of a full run."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median and its spread.

    Args:
        value: the median.
        low: first quartile.
        high: third quartile.
        rounds: how many measurements it is made of.
    """

    value: float
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as a share of the median."""
        return (self.high - self.low) / 2 / self.value if self.value else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile of ``values``, linear between its neighbours (type 7 of Hyndman and Fan, 1996).

    Args:
        share: 0..1.

    Raises:
        ValueError: there are no values, or one is no number.
    """
    if not values or any(math.isnan(value) for value in values):
        raise ValueError("a quantile needs numbers")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def estimate(values: Sequence[float]) -> Estimate:
    """Median and quartiles.

    Raises:
        ValueError: there are no values.
    """
    return Estimate(quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75), len(values))


def paired(base: Sequence[float], other: Sequence[float]) -> Estimate:
    """The ratio of ``other`` to ``base``, round by round.

    Raises:
        ValueError: not one measurement of each in every round, or a base of zero.
    """
    if len(base) != len(other):
        raise ValueError(f"{len(base)} rounds of the base, {len(other)} of the other")
    if not all(value > 0 for value in base):
        raise ValueError("a base must be above zero")
    return estimate([b / a for a, b in zip(base, other, strict=True)])


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """The order of one round: each name is at each place equally often, so that no place favours anybody."""
    shift = turn % len(names) if names else 0
    return [*names[shift:], *names[:shift]]
