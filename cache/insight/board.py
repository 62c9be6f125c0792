"""What the page shows at one moment, as plain data: category names and numbers, no key, no value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cache.insight.timeline import SHOWN, Timeline, quantiles
from telemetry.figures import Figures
from telemetry.vocabulary import ALL, GENERAL, MissReason, Outcome, WriteResult

NOT_TOLD = "not told"
"""Stands for the reason of a miss that an application counted without one."""


def board(at: float, figures: Figures, timeline: Timeline, categories: Iterable[str]) -> dict[str, Any]:
    """Totals, the window of the timeline, and its bins.

    Args:
        at: seconds since the epoch.
        categories: in which order those with traffic are shown; further ones follow by name.
    """
    window = timeline.window()
    seen = _names(figures)
    names = list(dict.fromkeys((*(name for name in categories if name in seen), *sorted(seen))))
    return {
        "at": at,
        "since": figures.since,
        "bin_s": timeline.bin_s,
        "window_s": timeline.bin_s * timeline.bins,
        "outcomes": [outcome.value for outcome in SHOWN],
        "total": account(figures, None),
        "window": account(window, None),
        "categories": {
            name: {
                "total": account(figures, name),
                "window": account(window, name),
                "ttl_s": figures.ttls_s.get(name),
            }
            for name in names
        },
        "breakers": {name: state.value for name, state in sorted(figures.breakers.items())},
        "telemetry_dropped": figures.dropped,
        "bins": timeline.rows(),
    }


def account(figures: Figures, category: str | None) -> dict[str, Any]:
    """One category's figures, or those of all."""
    outcomes: Counter[Outcome] = Counter()
    reasons: Counter[str] = Counter()
    for (name, _, outcome, _, reason), n in figures.requests.items():
        if category is None or name == category:
            outcomes[outcome] += n
            if outcome is Outcome.MISS:
                reasons[reason or NOT_TOLD] += n
    known = [reason.value for reason in MissReason]
    return {
        **{outcome.value: outcomes[outcome] for outcome in SHOWN},
        "reasons": {str(reason): reasons[reason] for reason in (*known, NOT_TOLD) if reasons[reason]},
        "writes": _writes(figures, category),
        "invalidations": sum(n for (name, _), n in figures.invalidations.items() if _in(name, category)),
        "errors": _errors(figures, category),
        "avoided_s": _sum(figures.avoided_s, category),
        "spent_s": _sum(figures.overhead_s, category),
        "bytes_stored": sum(n for name, n in figures.bytes_stored.items() if _in(name, category)),
        "hit_s": _quantiles(figures, category, Outcome.HIT),
        "miss_s": _quantiles(figures, category, Outcome.MISS),
        "compute_s": quantiles(found for name, found in figures.computations.items() if _in(name, category)),
    }


def _in(name: str, category: str | None) -> bool:
    return category is None or name == category


def _sum(table: Mapping[str, float], category: str | None) -> float:
    return sum((n for name, n in table.items() if _in(name, category)), 0.0)


def _errors(figures: Figures, category: str | None) -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for (name, _, kind), n in figures.errors.items():
        if _in(name, category):
            kinds[kind.value] += n
    return {kind: n for kind, n in sorted(kinds.items()) if n}


def _writes(figures: Figures, category: str | None) -> dict[str, int]:
    results: Counter[WriteResult] = Counter()
    for (name, result), n in figures.writes.items():
        if _in(name, category):
            results[result] += n
    return {result.value: results[result] for result in WriteResult}


def _quantiles(figures: Figures, category: str | None, outcome: Outcome) -> list[float] | None:
    found = figures.durations.items()
    return quantiles(table for (name, ended), table in found if ended is outcome and _in(name, category))


def _names(figures: Figures) -> set[str]:
    """Categories that were looked up or written; what stands for none of them only when it was looked up."""
    looked = {category for category, *_ in figures.requests}
    return looked | ({name for name, _ in figures.writes} - {ALL, GENERAL})
