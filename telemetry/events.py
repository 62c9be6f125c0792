"""One event per operation: filled in while the operation proceeds, then fed to spans and metrics alike."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Generic, TypeVar

from telemetry.vocabulary import (
    BreakerState,
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

Lookup = tuple[Outcome, Tier | None, MissReason | None]
"""How one lookup ended."""


# shared by all events: what cannot be written to is never filled for all of them by mistake
_NO_TABLE: Any = MappingProxyType({})
_NO_LIST: Any = ()

V = TypeVar("V")


class _Rest(Generic[V]):
    """A field that a hit has not: its value is kept among the rest, so that one look tells that there is none."""

    __slots__ = ("_empty", "_name")

    def __init__(self, empty: V) -> None:
        self._empty = empty

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, event: OperationEvent | None, owner: type) -> V:
        found: V = self._empty if event is None else event.rest.get(self._name, self._empty)
        return found

    def __set__(self, event: OperationEvent, value: V) -> None:
        if not event.rest:
            event.rest = {}
        event.rest[self._name] = value


class OperationEvent:
    """What happened in one operation.

    Made for every hit, so what did not happen costs nothing: a field is the class's own empty
    value until somebody sets it, and its methods put a list or table in its place when they first need one.

    Args:
        category: where it is counted.
        operation: what the caller asked for.
        digest: first 16 hex of the key's SHA-256; for the span only.
        batch_size: how many keys; None for a single one.
        said: any other field, by its name.
    """

    lookups: dict[Lookup, int] = _NO_TABLE
    ages_s: list[float] = _NO_LIST
    avoided_s: float = 0.0
    ttl_s: float | None = None
    breaker: BreakerState | None = None
    trigger: Trigger | None = None
    failed: bool = False
    """True when the caller's computation raised: the only thing that makes a span's status ERROR."""
    compute_span: int = 0
    """Id of the span of the last computation, for exemplars; 0 when it is not sampled."""
    step: int = 0
    """Its number among the steps of the run that it is part of; 0 while nothing lies below it."""
    rest: dict[str, Any] = _NO_TABLE
    """The fields below that were set: what else there is to count than lookups that were served."""
    error = _Rest[ErrorType | None](None)
    writes = _Rest[dict[WriteResult, int]](_NO_TABLE)
    deletes = _Rest(0)
    invalidations = _Rest(0)
    compute_s = _Rest(0.0)
    wait_s = _Rest(0.0)
    computed = _Rest[list[tuple[float, ErrorType | None]]](_NO_LIST)
    shared_s = _Rest(0.0)
    """What the computations took that this caller waited for instead of computing itself, seconds."""
    again = _Rest[list[tuple[float, float]]](_NO_LIST)
    """Of each key that was computed again: seconds before and now."""
    sizes = _Rest[list[int]](_NO_LIST)
    waits = _Rest[list[FlightScope]](_NO_LIST)
    wait_times = _Rest[list[tuple[FlightScope, float, int]]](_NO_LIST)
    triggers = _Rest[dict[MissTrigger, int]](_NO_TABLE)

    def __init__(
        self,
        category: str,
        operation: Operation,
        digest: str | None = None,
        batch_size: int | None = None,
        **said: Any,
    ) -> None:
        self.category = category
        self.operation = operation
        self.digest = digest
        self.batch_size = batch_size
        if said:
            for name, value in said.items():
                if not hasattr(OperationEvent, name):
                    raise TypeError(f"an operation's event has no {name!r}")
                setattr(self, name, value)

    def __repr__(self) -> str:
        return f"OperationEvent({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

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
        if outcome is _HIT or outcome is _STALE:
            key: Lookup = (outcome, tier, None)
        else:
            key, age_s, cost_s = (outcome, None, reason if outcome is _MISS else None), None, 0.0
        lookups = self.lookups
        if lookups:
            lookups[key] = lookups.get(key, 0) + n
            self.avoided_s += cost_s
            if age_s is not None:
                self.ages_s = self.ages_s or []
                self.ages_s.append(age_s)
            return
        # the first one sets what a hit has, and looks at nothing
        self.lookups = {key: n}
        if cost_s:
            self.avoided_s = cost_s
        if age_s is not None:
            self.ages_s = [age_s]

    def missed(self, reason: MissReason | None, trigger: MissTrigger | None = None, *, n: int = 1) -> None:
        """Count ``n`` misses.

        Args:
            trigger: what made the entry invalid; None unless ``reason`` is invalidated.
        """
        self.looked(_MISS, reason=reason, n=n)
        if trigger is not None and n > 0:
            self.triggers = self.triggers or {}
            self.triggers[trigger] = self.triggers.get(trigger, 0) + n

    def served(self, tier: Tier, ages_s: list[float], cost_s: float) -> None:
        """Count hits of a batch, one for each age.

        Args:
            ages_s: ages of the entries that were served, seconds.
            cost_s: seconds that their computations took together.
        """
        self.looked(_HIT, tier=tier, n=len(ages_s), cost_s=cost_s)
        self.ages_s = [*self.ages_s, *ages_s]

    def summary(self) -> OperationEvent:
        """The same without the ages, which are as many as the hits."""
        copy = OperationEvent.__new__(OperationEvent)
        vars(copy).update(vars(self))
        copy.ages_s = _NO_LIST
        return copy

    def fail(self, kind: ErrorType) -> None:
        """Say what was wrong with the store; an operation has at most one error, the first."""
        if self.error is None:
            self.error = kind

    def wrote(self, result: WriteResult, *, n: int = 1, size: int | None = None) -> None:
        """Count ``n`` writes; ``size`` is the bytes of one that was stored."""
        self.writes = self.writes or {}
        self.writes[result] = self.writes.get(result, 0) + n
        if size is not None:
            self.sizes = self.sizes or []
            self.sizes.append(size)

    def waited(self, scope: FlightScope) -> None:
        """Count a wait for another caller's computation."""
        self.waits = self.waits or []
        self.waits.append(scope)

    def waited_for(self, scope: FlightScope, seconds: float, span: int = 0) -> None:
        """Add how long a wait took, seconds; ``span``: id of its span, for exemplars, 0 of one not sampled."""
        self.wait_s += seconds
        self.wait_times = self.wait_times or []
        self.wait_times.append((scope, seconds, span))

    def computed_in(self, seconds: float, failure: ErrorType | None) -> None:
        """Count one computation of the caller's.

        Args:
            seconds: how long it took.
            failure: what it failed of; None when it did not.
        """
        self.compute_s += seconds
        self.computed = self.computed or []
        self.computed.append((seconds, failure))
        if failure is not None:
            self.failed = True

    def computed_again(self, before_s: float, seconds: float) -> None:
        """Say that a key was computed again, whose entry tells how long it took before."""
        if before_s > 0.0:
            self.again = [*self.again, (before_s, seconds)]

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
_HIT, _MISS, _STALE = Outcome.HIT, Outcome.MISS, Outcome.STALE
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
