"""Sums from which is estimated what the hits would have cost, and how sure that is; all of them can be added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from operator import mul

LOOK_EVERY = 8
"""One in so many full batches of hits is looked through for hits on one entry: that costs as much as counting it."""


class Worth(StrEnum):
    """One sum of a category."""

    WAITED = "waited_s"
    """Seconds that callers waited for another one's computation."""
    SHARED = "shared_s"
    """Seconds of the computations that callers were given instead of computing themselves."""
    HIT_SQUARES = "hit_squares"
    """Squares of what each hit would have cost."""
    ALIKE = "alike"
    """The same of each ordered pair of hits that were answered by one measurement, among the hits looked through."""
    PAIRS = "pairs"
    """How many ordered pairs were looked through."""
    COMPUTED = "computed"
    """Computations that did not fail."""
    COMPUTED_S = "computed_s"
    COMPUTED_SQUARES = "computed_squares"
    AGAIN = "again"
    """Keys that were computed again while the time of the computation before was known."""
    AGAIN_DIFFERENCES = "again_differences"
    """Squares of the difference between the two times."""
    AGAIN_SQUARES = "again_squares"
    """Squares of both times."""
    AGAIN_FOURTHS = "again_fourths"
    """Squares of the sums of both squares: a few long computations tell less than many equal ones."""


def of_hits(avoided: Sequence[float], *, look: bool) -> dict[Worth, float]:
    """Sums of hits that were counted together.

    Args:
        avoided: what each would have cost, seconds; equal ones come from one measurement, for no two take as long.
        look: look through them for such.
    """
    sums = {Worth.HIT_SQUARES: sum(map(mul, avoided, avoided))}
    if look and len(avoided) > 1 and sums[Worth.HIT_SQUARES]:
        alike = sum([cost * cost * n * (n - 1) for cost, n in Counter(avoided).items() if n > 1])
        sums |= {Worth.ALIKE: alike, Worth.PAIRS: float(len(avoided) * (len(avoided) - 1))}
    return sums


def of_computation(seconds: float) -> dict[Worth, float]:
    """Sums of one computation that did not fail."""
    return {Worth.COMPUTED: 1.0, Worth.COMPUTED_S: seconds, Worth.COMPUTED_SQUARES: seconds * seconds}


def of_another(before_s: float, seconds: float) -> dict[Worth, float]:
    """Sums of a key that took ``before_s`` and was computed again."""
    squares = seconds * seconds + before_s * before_s
    return {
        Worth.AGAIN: 1.0,
        Worth.AGAIN_DIFFERENCES: (seconds - before_s) ** 2,
        Worth.AGAIN_SQUARES: squares,
        Worth.AGAIN_FOURTHS: squares * squares,
    }
