"""A histogram of our own, for the percentiles that the JSON shows."""

from __future__ import annotations

from bisect import bisect_left


class Histogram:
    """Counts between boundaries; not safe for threads by itself (the ledger holds the lock).

    Args:
        boundaries: ascending upper bounds; a value equal to one falls into its bucket.
    """

    __slots__ = ("boundaries", "count", "counts", "total")

    def __init__(self, boundaries: tuple[float, ...]) -> None:
        self.boundaries = boundaries
        self.counts = [0] * (len(boundaries) + 1)
        self.count = 0
        self.total = 0.0

    def record(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.boundaries, value)] += 1
        self.count += 1
        self.total += value

    def copy(self) -> Histogram:
        """The same figures, apart."""
        other = Histogram(self.boundaries)
        other.counts, other.count, other.total = self.counts.copy(), self.count, self.total
        return other

    def minus(self, earlier: Histogram | None) -> Histogram:
        """What was recorded since ``earlier``."""
        other = self.copy()
        if earlier is not None:
            other.counts = [now - before for now, before in zip(self.counts, earlier.counts, strict=True)]
            other.count, other.total = self.count - earlier.count, max(0.0, self.total - earlier.total)
        return other

    def plus(self, other: Histogram) -> Histogram:
        """What both recorded.

        Raises:
            ValueError: their boundaries differ.
        """
        if self.boundaries != other.boundaries:
            raise ValueError("histograms with different boundaries cannot be added up")
        both = self.copy()
        both.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        both.count, both.total = self.count + other.count, self.total + other.total
        return both

    def quantile(self, q: float) -> float | None:
        """The value below which a share ``q`` (0..1) lies, by linear interpolation inside its bucket; None when empty.

        Source: the rule of Prometheus's ``histogram_quantile``.
        """
        if not self.count:
            return None
        rank, seen, lower = q * self.count, 0, 0.0
        for boundary, n in zip(self.boundaries, self.counts, strict=False):
            if n and seen + n >= rank:
                return lower + (boundary - lower) * (rank - seen) / n
            seen, lower = seen + n, boundary
        return self.boundaries[-1]
