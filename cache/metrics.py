"""The JSON's figures: the specification's ``CacheMetrics``, as a view of the ledger that every other road reads too."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from cache.insight import savings
from telemetry import events
from telemetry.figures import Figures
from telemetry.histogram import Histogram
from telemetry.ledger import Ledger
from telemetry.recorder import Recorder
from telemetry.schema import DURATION_BUCKETS
from telemetry.vocabulary import ALL, GENERAL, MissReason, Outcome, VerificationResult, WriteResult

_PERCENTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class CacheMetrics:
    """What the cache did in this process since it began, or since ``reset``.

    ``record_*`` are for caches of the application's own; every operation of our clients counts itself.

    Args:
        recorder: whose ledger is shown; None begins new accounts, which are exported once ``recorder`` is asked for.

    Example:
        >>> metrics = CacheMetrics()
        >>> metrics.record_hit("context"); metrics.record_miss("context")
        >>> metrics.hit_rate(), metrics.summary()["hit_rate"]
        (0.5, '50.00%')
    """

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._lock = threading.Lock()
        self._recorder = recorder
        self._ledger = Ledger() if recorder is None else recorder.ledger
        self._baseline: Figures | None = None

    @property
    def recorder(self) -> Recorder:
        """The recorder that feeds these figures; made when first asked for."""
        with self._lock:
            if self._recorder is None:
                self._recorder = Recorder(ledger=self._ledger)
            return self._recorder

    def record_hit(self, category: str = GENERAL) -> None:
        """Count one hit; a category that nobody registered is counted as ``other``."""
        self._ledger.count(events.counted_hit(category))

    def record_miss(self, category: str = GENERAL) -> None:
        """Count one miss."""
        self._ledger.count(events.counted_miss(category))

    def record_set(self) -> None:
        """Count one write."""
        self._ledger.count(events.counted_set(GENERAL))

    def record_delete(self) -> None:
        """Count one key removed."""
        self._ledger.count(events.counted_delete(GENERAL))

    def record_error(self) -> None:
        """Count one error."""
        self._ledger.count(events.counted_error(GENERAL))

    @property
    def hits(self) -> int:
        """Lookups that were answered by a fresh entry."""
        return sum(self.category_hits.values())

    @property
    def misses(self) -> int:
        """Lookups that found nothing; errors, bypasses and stale answers are none."""
        return sum(self.category_misses.values())

    @property
    def sets(self) -> int:
        """Writes that were stored."""
        return _sets(self._window())

    @property
    def deletes(self) -> int:
        """Keys removed by ``delete``; invalidations stand apart."""
        return self._window().deletes.total()

    @property
    def errors(self) -> int:
        """Operations that met trouble with the store."""
        return self._window().errors.total()

    @property
    def category_hits(self) -> Mapping[str, int]:
        """Hits by category."""
        return _by_category(self._window(), Outcome.HIT)

    @property
    def category_misses(self) -> Mapping[str, int]:
        """Misses by category."""
        return _by_category(self._window(), Outcome.MISS)

    def hit_rate(self) -> float:
        """hits / (hits + misses), 0..1; 0.0 without requests."""
        return _rate(self.hits, self.misses)

    def category_hit_rate(self, category: str) -> float:
        """The same of one category."""
        window = self._window()
        return _rate(_by_category(window, Outcome.HIT)[category], _by_category(window, Outcome.MISS)[category])

    def reset(self) -> None:
        """Begin a new window; the exported counters never go back."""
        baseline = self._ledger.figures()
        baseline.since = time.time()
        self._baseline = baseline

    def summary(self) -> dict[str, Any]:
        """The JSON of ``GET /cache/metrics``: the specification's fields, and more beside them."""
        return {
            **summarise(self._window(), self._ledger.categories()),
            "scope": "process",
            "process": os.getpid(),
            "workers": 1,
            "complete": True,
        }

    def _window(self) -> Figures:
        now, baseline = self._ledger.figures(), self._baseline
        # a baseline from before a fork says nothing about the child
        return now if baseline is None or baseline.generation != now.generation else now.after(baseline)


def summarise(figures: Figures, categories: Iterable[str]) -> dict[str, Any]:
    """The JSON of any figures; whose they are is for the caller to add.

    Args:
        categories: in which order those with traffic are shown; further ones follow by name.
    """
    hits, misses = _by_category(figures, Outcome.HIT), _by_category(figures, Outcome.MISS)
    seen = _seen(figures)
    names = dict.fromkeys((*(name for name in categories if name in seen), *sorted(seen)))
    saved, in_all, losing = savings.report(figures)
    by_category = {name: _category(figures, name, hits[name], misses[name]) for name in names}
    return {
        "total_requests": hits.total() + misses.total(),
        "hits": hits.total(),
        "misses": misses.total(),
        "hit_rate": _percent(hits.total(), misses.total()),
        "sets": _sets(figures),
        "deletes": figures.deletes.total(),
        "errors": figures.errors.total(),
        "categories": {
            name: {**found, "savings": saved.get(name) or savings.nothing()} for name, found in by_category.items()
        },
        "invalidations": figures.invalidations.total(),
        "seconds_avoided": sum(figures.avoided_s.values(), 0.0),
        "seconds_spent": sum(figures.overhead_s.values(), 0.0),
        "savings": in_all,
        "losing": losing,
        "verifications": _verifications(figures),
        "telemetry_dropped": figures.dropped,
        "since": figures.since,
        "bucket_bounds_s": list(DURATION_BUCKETS),
    }


def _seen(figures: Figures) -> set[str]:
    """Categories with traffic of their own; ``general`` only with lookups, since ``record_set`` names no category."""
    looked = {category for category, *_ in figures.requests}
    tables: tuple[Iterable[tuple[Any, ...]], ...] = (
        figures.writes, figures.deletes, figures.invalidations, figures.errors
    )  # fmt: skip
    return looked | ({labels[0] for table in tables for labels in table} - {ALL, GENERAL})


def _sets(figures: Figures) -> int:
    return sum(n for (_, result), n in figures.writes.items() if result is WriteResult.STORED)


def _by_category(figures: Figures, outcome: Outcome) -> Counter[str]:
    found: Counter[str] = Counter()
    for (category, _, ended, _, _), n in figures.requests.items():
        if ended is outcome:
            found[category] += n
    return found


def _rate(hits: int, misses: int) -> float:
    return hits / (hits + misses) if hits + misses else 0.0


def _percent(hits: int, misses: int) -> str:
    return f"{_rate(hits, misses):.2%}"


def _category(figures: Figures, name: str, hits: int, misses: int) -> dict[str, Any]:
    reasons: Counter[MissReason] = Counter()
    outcomes: Counter[Outcome] = Counter()
    for (category, _, outcome, _, reason), n in figures.requests.items():
        if category == name:
            outcomes[outcome] += n
            if outcome is Outcome.MISS and reason is not None:
                reasons[reason] += n
    return {
        "hits": hits,
        "misses": misses,
        "hit_rate": _percent(hits, misses),
        "miss_reasons": {reason.value: n for reason, n in sorted(reasons.items())},
        "miss_triggers": {
            trigger.value: n for (category, trigger), n in sorted(figures.invalidated.items()) if category == name and n
        },
        "stale": outcomes[Outcome.STALE],
        "bypass": outcomes[Outcome.BYPASS],
        "errors": sum(n for (category, _, _), n in figures.errors.items() if category == name),
        "sets": figures.writes[name, WriteResult.STORED],
        "writes": {result.value: figures.writes[name, result] for result in WriteResult},
        "deletes": sum(n for (category, _), n in figures.deletes.items() if category == name),
        "invalidations": sum(n for (category, _), n in figures.invalidations.items() if category == name),
        "hit_seconds": _percentiles(figures.durations.get((name, Outcome.HIT))),
        "miss_seconds": _percentiles(figures.durations.get((name, Outcome.MISS))),
        "compute_seconds": _percentiles(figures.computations.get(name)),
        "waits": sum(n for (category, _), n in figures.waits.items() if category == name),
        "wait_seconds": _percentiles(_waits(figures, name)),
        "seconds_avoided": figures.avoided_s.get(name, 0.0),
        "seconds_spent": figures.overhead_s.get(name, 0.0),
        "bytes_stored": figures.bytes_stored[name],
        "verifications": _verifications(figures, name),
        "error_types": _error_types(figures, name),
        "buckets": {
            "hit": _buckets(figures.durations.get((name, Outcome.HIT))),
            "miss": _buckets(figures.durations.get((name, Outcome.MISS))),
            "compute": _buckets(figures.computations.get(name)),
        },
    }


def _verifications(figures: Figures, name: str | None = None) -> dict[str, int]:
    """Hits that were computed again, by result; of all categories without a name."""
    found = dict.fromkeys((result.value for result in VerificationResult), 0)
    for (category, result), n in figures.verifications.items():
        if name in (None, category):
            found[result.value] += n
    return found


def _error_types(figures: Figures, name: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (category, _, kind), n in figures.errors.items():
        if category == name:
            found[kind.value] += n
    return dict(sorted(found.items()))


def _buckets(histogram: Histogram | None) -> dict[str, Any]:
    """What ``glasscache compare`` compares."""
    if histogram is None:
        return {"counts": [0] * (len(DURATION_BUCKETS) + 1), "sum": 0.0}
    return {"counts": list(histogram.counts), "sum": histogram.total}


def _waits(figures: Figures, name: str) -> Histogram | None:
    """The waits of a category, however far the flight reached."""
    found = [times for (category, _), times in figures.wait_times.items() if category == name]
    return reduce(Histogram.plus, found) if found else None


def _percentiles(histogram: Histogram | None) -> dict[str, float | None]:
    return {name: histogram.quantile(q) if histogram is not None else None for name, q in _PERCENTILES}


_metrics_lock = threading.RLock()
_metrics: CacheMetrics | None = None
if hasattr(os, "register_at_fork"):
    # a fork while another thread makes the one would leave the child a lock that nobody opens
    os.register_at_fork(
        before=_metrics_lock.acquire, after_in_parent=_metrics_lock.release, after_in_child=_metrics_lock.release
    )


def get_metrics() -> CacheMetrics:
    """The process's figures; its recorder is what every client takes that is handed none."""
    global _metrics
    with _metrics_lock:
        if _metrics is None:
            _metrics = CacheMetrics()
        return _metrics
