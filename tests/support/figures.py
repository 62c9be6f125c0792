"""Figures that can be compared, and operations of every kind to make them from."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from telemetry.events import OperationEvent
from telemetry.figures import Figures
from telemetry.histogram import Histogram
from telemetry.ledger import Ledger
from telemetry.vocabulary import (
    ErrorType,
    FlightScope,
    MissReason,
    MissTrigger,
    Operation,
    Outcome,
    Tier,
    Trigger,
    WriteResult,
)

PER_PROCESS = {"breakers", "generation", "ttls_s"}
"""Fields that say how one process is, or how it was set."""


def facts(figures: Figures) -> dict[str, Any]:
    """All that is added up, as data that compares by value."""
    return {part.name: _facts(getattr(figures, part.name)) for part in fields(figures) if part.name not in PER_PROCESS}


def _facts(value: Any) -> Any:
    if isinstance(value, Counter):
        return dict(+value)
    if isinstance(value, dict):
        return {key: _facts(item) for key, item in value.items()}
    if isinstance(value, Histogram):
        return value.boundaries, tuple(value.counts), value.count, value.total
    return value


# made once: a strategy that is made anew at each draw costs more than the draw
SECONDS = st.integers(0, 1 << 24).map(lambda n: n / (1 << 20))
"""Durations that add up without rounding: whole multiples of 2**-20 s."""

_CATEGORIES, _OPERATIONS = st.sampled_from(["context", "tool", "prompt", "nobody's"]), st.sampled_from(Operation)
_TIERS, _REASONS, _TIMES = st.sampled_from(Tier), st.sampled_from(MissReason), st.integers(1, 50)
_OUTCOMES, _RESULTS = st.lists(st.sampled_from(Outcome), max_size=3), st.lists(st.sampled_from(WriteResult), max_size=2)
_SIZES, _FEW = st.integers(0, 1 << 22), st.integers(0, 3)
_TRIGGERS, _ERRORS = st.none() | st.sampled_from(Trigger), st.none() | st.sampled_from(ErrorType)
_MISS_TRIGGERS = st.lists(st.sampled_from(MissTrigger), max_size=2)
_WAITS, _COMPUTED = st.lists(st.sampled_from(FlightScope), max_size=2), st.lists(SECONDS, max_size=2)


@st.composite
def operations(draw: st.DrawFn) -> tuple[OperationEvent, float]:
    """One operation with all that can happen in one, and its duration."""
    event = OperationEvent(draw(_CATEGORIES), draw(_OPERATIONS))
    for outcome in draw(_OUTCOMES):
        event.looked(
            outcome,
            tier=draw(_TIERS),
            reason=draw(_REASONS),
            n=draw(_TIMES),
            age_s=draw(SECONDS),
            cost_s=draw(SECONDS),
        )
    for result in draw(_RESULTS):
        event.wrote(result, size=draw(_SIZES))
    event.deletes, event.invalidations = draw(_FEW), draw(_FEW)
    event.trigger = draw(_TRIGGERS)
    for trigger in draw(_MISS_TRIGGERS):
        event.missed(MissReason.INVALIDATED, trigger)
    event.error = draw(_ERRORS)
    for scope in draw(_WAITS):
        event.waited(scope)
        event.waited_for(scope, draw(SECONDS))
    event.computed = [(second, None) for second in draw(_COMPUTED)]
    return event, draw(SECONDS)


def ledger_of(done: list[tuple[OperationEvent, float]], since: float = 1.0) -> Ledger:
    """A ledger that has counted these operations."""
    ledger = Ledger(now=lambda: since)
    for event, duration_s in done:
        ledger.apply(event, duration_s)
    return ledger


def count(ledger: Ledger, hits: int = 1, category: str = "prompt") -> None:
    """Count hits in a ledger, as a process's cache does."""
    event = OperationEvent(category, Operation.GET)
    event.looked(Outcome.HIT, tier=Tier.REDIS, n=hits, age_s=1.0, cost_s=0.5)
    ledger.apply(event, 0.25)


def hits(figures: Figures, category: str = "prompt") -> int:
    """How many hits of a category were counted."""
    return sum(
        n for (name, _, outcome, _, _), n in figures.requests.items() if (name, outcome) == (category, Outcome.HIT)
    )
