"""The numbers of a ledger, as plain data: to copy, to subtract what was there before, to add up over processes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from telemetry.histogram import Histogram
from telemetry.vocabulary import (
    BREAKER_GAUGE,
    BreakerState,
    ErrorType,
    FlightScope,
    MissReason,
    MissTrigger,
    Operation,
    Outcome,
    Tier,
    Trigger,
    VerificationResult,
    WriteResult,
)
from telemetry.worth import Worth

RequestKey = tuple[str, Operation, Outcome, Tier | None, MissReason | None]


@dataclass(slots=True)
class Figures:
    """All numbers of a process since it began, or between two moments."""

    requests: Counter[RequestKey] = field(default_factory=Counter)
    invalidated: Counter[tuple[str, MissTrigger]] = field(default_factory=Counter)
    """Misses of what was invalid, by what made it so."""
    writes: Counter[tuple[str, WriteResult]] = field(default_factory=Counter)
    deletes: Counter[tuple[str, Trigger]] = field(default_factory=Counter)
    invalidations: Counter[tuple[str, Trigger]] = field(default_factory=Counter)
    errors: Counter[tuple[str, Operation, ErrorType]] = field(default_factory=Counter)
    waits: Counter[tuple[str, FlightScope]] = field(default_factory=Counter)
    bytes_stored: Counter[str] = field(default_factory=Counter)
    transitions: Counter[BreakerState] = field(default_factory=Counter)
    verifications: Counter[tuple[str, VerificationResult]] = field(default_factory=Counter)
    avoided_s: dict[str, float] = field(default_factory=dict)
    overhead_s: dict[str, float] = field(default_factory=dict)
    worth: dict[tuple[str, Worth], float] = field(default_factory=dict)
    breakers: dict[str, BreakerState] = field(default_factory=dict)
    ttls_s: dict[str, float] = field(default_factory=dict)
    """What each registered category's policy promises, seconds: a setting, not a sum."""
    durations: dict[tuple[str, Outcome], Histogram] = field(default_factory=dict)
    computations: dict[str, Histogram] = field(default_factory=dict)
    wait_times: dict[tuple[str, FlightScope], Histogram] = field(default_factory=dict)
    sizes: dict[str, Histogram] = field(default_factory=dict)
    ages: dict[str, Histogram] = field(default_factory=dict)
    dropped: int = 0
    since: float = 0.0
    """Seconds since the epoch."""
    generation: int = 0
    """How often this ledger was begun anew by a fork."""

    def copy(self) -> Figures:
        """The same numbers, apart from what is counted later."""
        return Figures(**{part.name: _apart(getattr(self, part.name)) for part in fields(self)})

    def after(self, earlier: Figures) -> Figures:
        """What was counted since ``earlier``; states of breakers and TTLs are as they are now."""
        parts = {part.name: _minus(getattr(self, part.name), getattr(earlier, part.name)) for part in fields(self)}
        kept = {
            "breakers": dict(self.breakers),
            "ttls_s": dict(self.ttls_s),
            "since": earlier.since,
            "generation": self.generation,
        }
        return Figures(**(parts | kept))

    def plus(self, other: Figures) -> Figures:
        """What both counted, since the earlier of the two began; a breaker is shown in its worse state,
        of two TTLs of a category the longer."""
        parts = {part.name: _plus(getattr(self, part.name), getattr(other, part.name)) for part in fields(self)}
        kept = {
            "breakers": _worse(self.breakers, other.breakers),
            "ttls_s": _longer(self.ttls_s, other.ttls_s),
            "since": min(self.since, other.since),
            "generation": max(self.generation, other.generation),
        }
        return Figures(**(parts | kept))


def nothing() -> Figures:
    """What adds nothing to other figures, not even a beginning."""
    return Figures(since=math.inf)


def _apart(value: Any) -> Any:
    if isinstance(value, dict):
        copied = ((key, item.copy() if isinstance(item, Histogram) else item) for key, item in value.items())
        return type(value)(dict(copied))
    return value


def _plus(mine: Any, theirs: Any) -> Any:
    if isinstance(mine, Counter):
        return mine + theirs
    if isinstance(mine, dict):
        return {key: _sum(mine.get(key), theirs.get(key)) for key in sorted(mine.keys() | theirs.keys())}
    return mine + theirs


def _sum(mine: Any, theirs: Any) -> Any:
    """One cell of a table; None where a side has none."""
    if mine is None or theirs is None:
        only = theirs if mine is None else mine
        return only.copy() if isinstance(only, Histogram) else only
    return mine.plus(theirs) if isinstance(mine, Histogram) else mine + theirs


def _worse(mine: dict[str, BreakerState], theirs: dict[str, BreakerState]) -> dict[str, BreakerState]:
    both = sorted((*mine.items(), *theirs.items()), key=lambda item: BREAKER_GAUGE[item[1]])
    return dict(both)


def _longer(mine: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
    both = sorted((*mine.items(), *theirs.items()), key=lambda item: item[1])
    return dict(both)


def _minus(now: Any, then: Any) -> Any:
    if isinstance(now, Counter) and isinstance(then, Counter):
        return now - then
    if isinstance(now, dict) and isinstance(then, dict):
        return {key: _minus(item, then.get(key)) for key, item in now.items()}
    if isinstance(now, Histogram):
        return now.minus(then if isinstance(then, Histogram) else None)
    if isinstance(now, float) and isinstance(then, float):
        # a sum of rounded parts may lie a rounding above the whole
        return max(0.0, now - then)
    if isinstance(now, int) and isinstance(then, int):
        return now - then
    return now
