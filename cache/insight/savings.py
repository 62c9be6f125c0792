"""Does it pay: what was saved by category, by run and in all, as the JSON and the terminal show it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telemetry.figures import Figures
from telemetry.savings import CONFIDENCE, Saving, Sums, by_category, estimate, spread, total
from telemetry.worth import Worth

UNKNOWN = "too few computations were measured to say how sure this is"


def of_run(run: Mapping[str, Sums], figures: Figures) -> Saving:
    """What a run saved, the spread of its computations taken from everything that was measured.

    Args:
        run: what, by category, the run's operations counted; ``worth`` may be left out, then its hits are taken to be
            answered by one measurement in each category, which makes nothing surer than it is.
        figures: of the process or the fleet.
    """
    parts = []
    for name, sums in run.items():
        known = {what: value for (category, what), value in figures.worth.items() if category == name}
        worth = sums.worth or {Worth.HIT_SQUARES: sums.avoided_s**2}
        whole = Sums(sums.hits, sums.avoided_s, sums.spent_s, sums.shared_s, sums.waited_s, worth)
        parts.append(estimate(whole, spread(known)))
    return total(parts)


def as_json(saving: Saving) -> dict[str, Any]:
    """One saving with what it is made of, in seconds."""
    low, high = saving.interval or (None, None)
    return {
        "seconds": saving.seconds,
        "low": low,
        "high": high,
        "confidence": CONFIDENCE,
        "avoided": saving.sums.avoided_s,
        "shared": saving.sums.shared_s,
        "spent": saving.sums.spent_s,
        "waited": saving.sums.waited_s,
        "loses": saving.loses,
        "note": None if saving.interval is not None else UNKNOWN,
        "money": None,
    }


def report(figures: Figures) -> tuple[dict[str, dict[str, Any]], dict[str, Any], list[str]]:
    """By category, in all, and the names of the categories that lose time, the worst first."""
    found = by_category(figures)
    losing = sorted((name for name, saving in found.items() if saving.loses), key=lambda name: found[name].seconds)
    return {name: as_json(saving) for name, saving in found.items()}, as_json(total(found.values())), losing


def nothing() -> dict[str, Any]:
    """Of a category whose operations were not timed."""
    return as_json(Saving(Sums(0, 0.0, 0.0), 0.0, float("inf")))
