"""The last minutes in bins: what was counted in each, from figures that are looked at again and again.

Nothing is counted here: two looks are subtracted. Where the later one is no continuation of the earlier (the server
lost the fleet's figures, or only this process's can be had) the bin has a gap and no made-up traffic.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from telemetry.figures import Figures, nothing
from telemetry.histogram import Histogram
from telemetry.vocabulary import Outcome

SHOWN = (Outcome.HIT, Outcome.MISS, Outcome.STALE, Outcome.ERROR, Outcome.BYPASS)
"""How a lookup can end."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """All that was seen until a bin began."""

    number: int
    seen: Figures
    at: float


class Timeline:
    """So many bins; not safe for threads.

    Args:
        bin_s: length of a bin, seconds.
        bins: how many are kept, >= 1.
    """

    def __init__(self, bin_s: float = 10.0, bins: int = 90) -> None:
        self.bin_s, self.bins = bin_s, bins
        self._seen = nothing()
        self._last: tuple[object, Figures] | None = None
        self._at: float | None = None
        self._marks: deque[_Mark] = deque(maxlen=bins)
        self._rows: deque[dict[str, Any]] = deque(maxlen=bins - 1 if bins > 1 else 1)

    def add(self, at: float, figures: Figures, source: object) -> None:
        """Take a look at the figures.

        Args:
            at: seconds since the epoch; never earlier than before.
            figures: totals.
            source: what they are of; a look at something else continues nothing.
        """
        number = int(at // self.bin_s)
        if not self._marks or self._marks[-1].number < number:
            if self._marks:
                self._rows.append(self._row())
            self._marks.append(_Mark(number, self._seen, at if self._at is None else self._at))
            while self._marks[0].number <= number - self.bins:
                self._marks.popleft()
        if self._last is not None and self._last[0] == source and _continues(figures, self._last[1]):
            self._seen = self._seen.plus(figures.after(self._last[1]))
        self._last, self._at = (source, figures), at

    def window(self) -> Figures:
        """What was counted in all bins together."""
        return self._seen.after(self._marks[0].seen) if self._marks else nothing()

    def rows(self) -> list[dict[str, Any]]:
        """A row for each bin, the last one still growing.

        Returns:
            By row its beginning ``t`` in seconds since the epoch, how many ``seconds`` lie between its last look and
            that of the bin before, p50 and p99 of hits and misses in seconds, and by category the lookups by outcome
            (in the order of ``SHOWN``), seconds avoided and seconds spent.
        """
        if not self._marks:
            return []
        first = self._marks[0].number * self.bin_s
        return [*(row for row in self._rows if row["t"] >= first), self._row()]

    def _row(self) -> dict[str, Any]:
        mark, at = self._marks[-1], self._at or 0.0
        return {"t": mark.number * self.bin_s, "seconds": round(at - mark.at, 3), **row(self._seen.after(mark.seen))}


def row(figures: Figures) -> dict[str, Any]:
    """One bin's figures."""
    counts: dict[str, Counter[Outcome]] = {}
    for (category, _, outcome, _, _), n in figures.requests.items():
        if outcome in SHOWN:
            counts.setdefault(category, Counter())[outcome] += n
    return {
        "hit": spread(figures.durations, Outcome.HIT),
        "miss": spread(figures.durations, Outcome.MISS),
        "categories": {
            name: [
                *(found[outcome] for outcome in SHOWN),
                round(figures.avoided_s.get(name, 0.0), 6),
                round(figures.overhead_s.get(name, 0.0), 6),
            ]
            for name, found in sorted(counts.items())
        },
    }


def spread(durations: Mapping[tuple[str, Outcome], Histogram], outcome: Outcome) -> list[float] | None:
    """p50 and p99 over all categories, seconds, from the buckets; None without any."""
    return quantiles(histogram for (_, ended), histogram in durations.items() if ended is outcome)


def quantiles(histograms: Iterable[Histogram]) -> list[float] | None:
    """p50 and p99 of several histograms together; None when all are empty."""
    both: Histogram | None = None
    for histogram in histograms:
        both = histogram if both is None else both.plus(histogram)
    if both is None or both.count <= 0:
        return None
    return [both.quantile(0.5) or 0.0, both.quantile(0.99) or 0.0]


def _continues(now: Figures, before: Figures) -> bool:
    """Whether nothing went back, which a total never does by itself."""
    if now.generation != before.generation or now.since != before.since:
        return False
    return all(now.requests[key] >= n for key, n in before.requests.items())
