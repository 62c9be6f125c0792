"""One event per operation: filled in while the operation proceeds, then fed to spans and metrics alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from telemetry.vocabulary import (
    BreakerState,
    ErrorType,
    FlightScope,
    MissReason,
    Operation,
    Outcome,
    Tier,
    Trigger,
    WriteResult,
)

Lookup = tuple[Outcome, Tier | None, MissReason | None]
"""How one lookup ended."""


@dataclass(slots=True)
class OperationEvent:
    """What happened in one operation.

    Args:
        category: where it is counted.
        operation: what the caller asked for.
        digest: first 16 hex of the key's SHA-256; for the span only.
        batch_size: how many keys; None for a single one.
    """

    category: str
    operation: Operation
    digest: str | None = None
    batch_size: int | None = None
    lookups: dict[Lookup, int] = field(default_factory=dict)
    error: ErrorType | None = None
    writes: dict[WriteResult, int] = field(default_factory=dict)
    deletes: int = 0
    invalidations: int = 0
    trigger: Trigger | None = None
    avoided_s: float = 0.0
    compute_s: float = 0.0
    wait_s: float = 0.0
    computed: list[tuple[float, ErrorType | None]] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    waits: list[FlightScope] = field(default_factory=list)
    ttl_s: float | None = None
    breaker: BreakerState | None = None
    failed: bool = False
    """True when the caller's computation raised: the only thing that makes a span's status ERROR."""

    def looked(
        self,
        outcome: Outcome,
        *,
        tier: Tier | None = None,
        reason: MissReason | None = None,
        n: int = 1,
        age_s: float | None = None,
        cost_s: float = 0.0,
    ) -> None:
        """Count ``n`` lookups that ended so; a tier only goes with hit and stale, a reason only with miss.

        Args:
            age_s: age of the entry that was served, seconds.
            cost_s: seconds that its computation took: what was avoided.
        """
        if n <= 0:
            return
        served = outcome in _SERVED
        key = (outcome, tier if served else None, reason if outcome is _MISS else None)
        self.lookups[key] = self.lookups.get(key, 0) + n
        if not served:
            return
        self.avoided_s += cost_s
        if age_s is not None:
            self.ages_s.append(age_s)

    def fail(self, kind: ErrorType) -> None:
        """Say what was wrong with the store; an operation has at most one error, the first."""
        if self.error is None:
            self.error = kind

    def wrote(self, result: WriteResult, *, n: int = 1, size: int | None = None) -> None:
        """Count ``n`` writes; ``size`` is the bytes of one that was stored."""
        self.writes[result] = self.writes.get(result, 0) + n
        if size is not None:
            self.sizes.append(size)

    def count(self, outcome: Outcome) -> int:
        """How many lookups ended so."""
        return sum(n for (ended, _, _), n in self.lookups.items() if ended is outcome)

    def outcome(self) -> Outcome:
        """The outcome of the whole operation.

        A batch is what its worst lookup was: error before miss before stale before bypass before
        hit, so it is a hit only when all are. ``ok`` when nothing was looked up: a write, or an
        operation that was given up before its lookup ended.
        """
        lookups = self.lookups
        if len(lookups) == 1:
            return next(iter(lookups))[0]
        ended = {outcome for outcome, _, _ in lookups}
        return next((outcome for outcome in _WORST_FIRST if outcome in ended), Outcome.OK)

    def tier(self) -> Tier | None:
        """The farthest tier that served an operation whose outcome is hit or stale; else None."""
        lookups = self.lookups
        if len(lookups) == 1:
            return next(iter(lookups))[1]
        if self.outcome() not in _SERVED:
            return None
        tiers = {tier for _, tier, _ in lookups}
        return Tier.REDIS if Tier.REDIS in tiers else Tier.LOCAL if Tier.LOCAL in tiers else None


# bound once: ``looked`` is on the path of every hit
_MISS = Outcome.MISS
_SERVED = frozenset({Outcome.HIT, Outcome.STALE})
_WORST_FIRST = (Outcome.ERROR, Outcome.MISS, Outcome.STALE, Outcome.BYPASS, Outcome.HIT)


def counted_hit(category: str) -> OperationEvent:
    """A hit of a cache of the application's own."""
    event = OperationEvent(category, Operation.GET)
    event.looked(Outcome.HIT)
    return event


def counted_miss(category: str) -> OperationEvent:
    """A miss of a cache of the application's own; why it missed is not known here."""
    event = OperationEvent(category, Operation.GET)
    event.looked(Outcome.MISS)
    return event


def counted_set(category: str) -> OperationEvent:
    """A write of a cache of the application's own."""
    event = OperationEvent(category, Operation.SET)
    event.wrote(WriteResult.STORED)
    return event


def counted_delete(category: str) -> OperationEvent:
    """A key removed from a cache of the application's own."""
    return OperationEvent(category, Operation.DELETE, deletes=1)


def counted_error(category: str) -> OperationEvent:
    """An error of a cache of the application's own."""
    return OperationEvent(category, Operation.GET, error=ErrorType.OTHER)
