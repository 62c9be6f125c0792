"""Which label sets can exist: the closed sets of the vocabulary, less what cannot come together.

The instruments begin every one of these series at zero, and a test holds their number under the
SDK's limit of 2000 per instrument.

A plain product of ``cache.errors`` and ``cache.requests`` is above that limit, so rules bound them,
and the ledger keeps to the rules: a tier goes with hit and stale only, a reason with miss only;
errors of ``explain``, ``warm`` and ``health`` are counted under ``all``; only what reads an entry
can fail to decode it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from telemetry import schema
from telemetry.vocabulary import (
    ALL,
    GENERAL,
    Bound,
    BreakerState,
    ErrorType,
    EvictionCause,
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

Labels = tuple[str | None, ...]
"""One label set, in the order of the metric's attributes; None is a label that is left out."""

LOOKUPS = (
    Operation.GET,
    Operation.GET_MANY,
    Operation.GET_OR_COMPUTE,
    Operation.GET_OR_COMPUTE_MANY,
    Operation.WARM,
)
"""Operations that look something up: what ``cache.requests`` counts."""

FOR_ALL = (Operation.EXPLAIN, Operation.WARM, Operation.HEALTH)
"""Operations whose errors are counted under the category ``all``."""

LIMIT = 2000
"""Label sets per instrument.

Source: the SDK's default cardinality limit (OpenTelemetry specification, metrics SDK, "Cardinality limits").
"""

_DECODES = (*LOOKUPS, Operation.EXPLAIN)
_SERVED = tuple((outcome, tier) for outcome in (Outcome.HIT, Outcome.STALE) for tier in Tier)
_NOT_SERVED = (Outcome.MISS, Outcome.ERROR, Outcome.BYPASS)


def error_labels(category: str, operation: Operation, kind: ErrorType) -> tuple[str, Operation, ErrorType]:
    """The series that an error is counted in, by the rules above."""
    where = ALL if operation in FOR_ALL else category
    return where, operation, ErrorType.OTHER if kind is ErrorType.DECODE and operation not in _DECODES else kind


def _requests(category: str) -> Iterator[Labels]:
    if category in (GENERAL, ALL):
        yield from ((category, Operation.GET, outcome, None, None) for outcome in (Outcome.HIT, Outcome.MISS))
        return
    for operation in LOOKUPS:
        yield from ((category, operation, outcome, tier, None) for outcome, tier in _SERVED)
        yield from ((category, operation, outcome, None, None) for outcome in _NOT_SERVED)
        yield from ((category, operation, Outcome.MISS, None, reason) for reason in MissReason)
    # record_hit knows of no tier
    yield (category, Operation.GET, Outcome.HIT, None, None)


def _durations(category: str) -> Iterator[Labels]:
    for operation in Operation:
        yield category, operation, Outcome.OK, None
        if operation in LOOKUPS and category not in (GENERAL, ALL):
            yield from ((category, operation, outcome, tier) for outcome, tier in _SERVED)
            yield from ((category, operation, outcome, None) for outcome in _NOT_SERVED)


def _errors(category: str) -> Iterator[Labels]:
    if category == GENERAL:
        yield category, Operation.GET, ErrorType.OTHER
        return
    operations = (Operation.INVALIDATE, *FOR_ALL) if category == ALL else [o for o in Operation if o not in FOR_ALL]
    for operation in operations:
        for kind in ErrorType:
            if kind is not ErrorType.DECODE or operation in _DECODES:
                yield category, operation, kind


def _each(words: Iterable[str | None]) -> Callable[[str], Iterator[Labels]]:
    """Every category with every word of one more set."""
    listed = tuple(words)
    return lambda category: ((category, word) for word in listed)


_BY_CATEGORY: Mapping[str, Callable[[str], Iterator[Labels]]] = {
    schema.REQUESTS.name: _requests,
    schema.OPERATION_DURATION.name: _durations,
    schema.COMPUTE_DURATION_METRIC.name: _each((None, ErrorType.TIMEOUT, ErrorType.OTHER)),
    schema.INVALIDATED.name: _each(MissTrigger),
    schema.WRITES.name: _each(WriteResult),
    schema.DELETES.name: _each(Trigger),
    schema.INVALIDATIONS.name: _each(Trigger),
    schema.ERRORS.name: _errors,
    schema.FLIGHT_WAITS.name: _each(FlightScope),
    schema.TIME_SAVED.name: _each(Bound),
    schema.VERIFICATIONS.name: _each(VerificationResult),
    schema.FLIGHT_WAIT_DURATION.name: _each(FlightScope),
}


def label_sets(metric: schema.Metric, categories: Iterable[str]) -> Iterator[Labels]:
    """Every label set that ``metric`` can have over ``categories``; a store's breaker is not among them.

    Args:
        categories: those that are known, ``other``, ``general`` and ``all`` included.
    """
    if metric.name == schema.BREAKER_TRANSITIONS.name:
        yield from ((state,) for state in BreakerState)
    elif metric.name == schema.LOCAL_EVICTIONS.name:
        yield from ((cause,) for cause in EvictionCause)
    elif not metric.attributes:
        yield ()
    elif metric.attributes == (schema.CATEGORY,):
        yield from ((category,) for category in categories)
    elif metric.name in _BY_CATEGORY:
        for category in categories:
            yield from _BY_CATEGORY[metric.name](category)


def zero_sets(metric: schema.Metric, categories: Iterable[str]) -> Iterator[Labels]:
    """The label sets that begin at zero, or ``increase()`` would not see the first count; a gauge has no zero."""
    if metric.kind is not schema.Kind.GAUGE:
        yield from label_sets(metric, categories)
