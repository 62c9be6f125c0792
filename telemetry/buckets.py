"""A histogram of one label set, as it is exported: counts, sum, extremes, and one exemplar a bucket."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

from telemetry.histogram import Histogram

Ids = tuple[int, int, int]
"""The sampled span that something was measured in: time in ns since the epoch, trace id, span id."""


class Exemplar(NamedTuple):
    """One measurement, and the sampled span that it was taken in."""

    value: float
    time_ns: int
    trace_id: int
    span_id: int


class Buckets:
    """Counts between boundaries; not safe for threads by itself (the ledger holds the lock).

    Each bucket keeps its last exemplar, as the SDK's own reservoir for histograms does.

    Args:
        boundaries: ascending upper bounds; a value equal to one falls into its bucket.
        start_ns: when its first value was recorded, nanoseconds since the epoch; None is now.
    """

    __slots__ = ("boundaries", "counts", "exemplars", "greatest", "least", "start_ns", "total")

    def __init__(self, boundaries: tuple[float, ...], start_ns: int | None = None) -> None:
        self.boundaries = boundaries
        self.counts = [0] * (len(boundaries) + 1)
        self.total = 0.0
        self.least, self.greatest = math.inf, -math.inf
        self.exemplars: dict[int, tuple[float, int, int, int]] = {}
        self.start_ns = time.time_ns() if start_ns is None else start_ns

    def record(self, value: float) -> int:
        """Count one value; gives its bucket."""
        where = bisect_left(self.boundaries, value)
        self.counts[where] += 1
        self.total += value
        if value < self.least:
            self.least = value
        if value > self.greatest:
            self.greatest = value
        return where

    def record_all(self, values: Sequence[float], ids: Sequence[Ids | None]) -> None:
        """Count many values at once; each with the sampled span that it was measured in, if there was one."""
        found = list(map(bisect_left, repeat(self.boundaries), values))
        total, least, greatest = sum(values), min(values), max(values)
        # from here on nothing can fail: all are counted, or none
        for where, n in Counter(found).items():
            self.counts[where] += n
        self.total += total
        self.least, self.greatest = min(self.least, least), max(self.greatest, greatest)
        if any(ids):
            spans = zip(found, values, ids, strict=True)
            # the last of each bucket stays
            self.exemplars |= {where: (value, *span) for where, value, span in spans if span is not None}

    def record_together(self, values: Sequence[float], ids: Ids | None) -> None:
        """Count what was measured in one span; mostly all of it belongs to one bucket."""
        least, greatest = min(values), max(values)
        where = bisect_left(self.boundaries, least)
        if where != bisect_left(self.boundaries, greatest):
            self.record_all(values, [ids] * len(values))
            return
        self.counts[where] += len(values)
        self.total += sum(values)
        self.least, self.greatest = min(self.least, least), max(self.greatest, greatest)
        if ids is not None:
            self.exemplars[where] = (values[-1], *ids)

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.counts)

    def copy(self) -> Buckets:
        """The same figures, apart."""
        other = Buckets(self.boundaries, self.start_ns)
        other.counts, other.total = self.counts.copy(), self.total
        other.least, other.greatest, other.exemplars = self.least, self.greatest, self.exemplars.copy()
        return other

    def plus(self, other: Buckets) -> Buckets:
        """What both recorded."""
        both = self.copy()
        both.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        both.total += other.total
        both.least, both.greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        both.exemplars |= other.exemplars
        both.start_ns = min(self.start_ns, other.start_ns)
        return both

    def last_exemplars(self, after_ns: int) -> list[Exemplar]:
        """The exemplars that are younger than ``after_ns``, by bucket."""
        return [Exemplar(*found) for _, found in sorted(self.exemplars.items()) if found[1] > after_ns]

    def add_to(self, histogram: Histogram) -> None:
        """Add the counts and the sum to a histogram of the same boundaries."""
        counts = self.counts
        for where, n in enumerate(counts):
            histogram.counts[where] += n
        histogram.count += sum(counts)
        histogram.total += self.total
