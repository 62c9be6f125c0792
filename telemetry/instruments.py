"""The metrics: counters that read the ledger when they are collected, histograms recorded inside the span.

OpenTelemetry API only. Every series of the closed sets exists from the start, those of miss
reasons excepted, so that a first error or a first hit is seen as an increase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from telemetry import schema
from telemetry.events import OperationEvent
from telemetry.ledger import Figures, Ledger
from telemetry.schema import Kind, Metric
from telemetry.vocabulary import (
    ALL,
    BREAKER_GAUGE,
    GENERAL,
    BreakerState,
    ErrorType,
    FlightScope,
    Operation,
    Outcome,
    Tier,
    Trigger,
    WriteResult,
)

Attributes = dict[str, str]
Points = Iterable[tuple[Attributes, float]]

LOOKUPS = (Operation.GET, Operation.GET_MANY, Operation.GET_OR_COMPUTE, Operation.GET_OR_COMPUTE_MANY, Operation.WARM)
"""Operations that look something up: the only ones that ``cache.requests`` counts."""


def _points(counter: Mapping[tuple[str, ...], float], keys: tuple[str, ...], zeros: Iterable[tuple[str, ...]]) -> Points:
    """Points of a counter whose keys are tuples of label values; None is left out."""
    merged = dict.fromkeys(zeros, 0.0) | dict(counter)
    for values, n in merged.items():
        yield {key: value for key, value in zip(keys, values, strict=True) if value is not None}, n


class Instruments:
    """Our instruments on one meter.

    Args:
        meter: from the application's provider, or the global one.
        ledger: what the counters read.
    """

    def __init__(self, meter: Meter, ledger: Ledger) -> None:
        self._ledger = ledger
        for metric, observe in self._counters():
            make = meter.create_observable_gauge if metric.kind is Kind.GAUGE else meter.create_observable_counter
            make(metric.name, [self._callback(observe)], metric.unit, metric.description)
        self._duration = self._histogram(meter, schema.OPERATION_DURATION)
        self._compute = self._histogram(meter, schema.COMPUTE_DURATION_METRIC)
        self._size = self._histogram(meter, schema.ENTRY_SIZE_METRIC)
        self._age = self._histogram(meter, schema.ENTRY_AGE_METRIC)

    @staticmethod
    def _histogram(meter: Meter, metric: Metric):  # type: ignore[no-untyped-def]
        return meter.create_histogram(
            metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=list(metric.buckets)
        )

    def record(self, event: OperationEvent, category: str, duration_s: float) -> None:
        """Record an operation's histograms; its span must be current, or exemplars are lost."""
        labels = {schema.CATEGORY: category, schema.OPERATION: event.operation.value}
        labels[schema.OUTCOME] = event.outcome().value
        tier = event.tier()
        if tier is not None:
            labels[schema.TIER] = tier.value
        self._duration.record(duration_s, labels)
        for size in event.sizes:
            self._size.record(size, {schema.CATEGORY: category})
        for age in event.ages_s:
            self._age.record(age, {schema.CATEGORY: category})

    def computed(self, category: str, seconds: float, error: ErrorType | None) -> None:
        """Record one computation; its span must be current."""
        labels = {schema.CATEGORY: category}
        if error is not None:
            labels[schema.ERROR_TYPE] = error.value
        self._compute.record(seconds, labels)

    def _callback(self, observe: Callable[[Figures], Points]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, attributes) for attributes, value in observe(self._ledger.figures())]

        return callback

    def _counters(self) -> tuple[tuple[Metric, Callable[[Figures], Points]], ...]:
        return (
            (schema.REQUESTS, self._requests),
            (schema.WRITES, lambda f: _points(f.writes, schema.WRITES.attributes, self._with(WriteResult))),
            (schema.DELETES, lambda f: _points(f.deletes, schema.DELETES.attributes, self._with((Trigger.API,)))),
            (
                schema.INVALIDATIONS,
                lambda f: _points(f.invalidations, schema.INVALIDATIONS.attributes, self._with(Trigger)),
            ),
            (schema.ERRORS, self._errors),
            (schema.AVOIDED, lambda f: self._seconds(f.avoided_s)),
            (schema.OVERHEAD, lambda f: self._seconds(f.overhead_s)),
            (schema.FLIGHT_WAITS, lambda f: _points(f.waits, schema.FLIGHT_WAITS.attributes, self._with(FlightScope))),
            (schema.BREAKER, _breakers),
            (schema.BREAKER_TRANSITIONS, _transitions),
            (schema.TELEMETRY_DROPPED, lambda f: [({}, f.dropped)]),
        )

    def _requests(self, figures: Figures) -> Points:
        served = ((Outcome.HIT, Tier.REDIS), (Outcome.STALE, Tier.REDIS))
        nothing = ((Outcome.MISS, None), (Outcome.ERROR, None), (Outcome.BYPASS, None))
        zeros = [
            (category, operation, outcome, tier, None)
            for category in self._ledger.categories()
            if category not in (ALL, GENERAL)
            for operation in LOOKUPS
            for outcome, tier in (*served, *nothing)
        ]
        return _points(figures.requests, schema.REQUESTS.attributes, zeros)  # type: ignore[arg-type]

    def _errors(self, figures: Figures) -> Points:
        common = (ErrorType.TIMEOUT, ErrorType.REFUSED, ErrorType.BREAKER_OPEN)
        lookups = (Operation.GET, Operation.GET_OR_COMPUTE, Operation.SET)
        zeros = [
            (category, operation, kind)
            for category in self._ledger.categories()
            for operation in lookups
            for kind in common
        ]
        return _points(figures.errors, schema.ERRORS.attributes, zeros)

    def _with(self, words: Iterable[str]) -> list[tuple[str, str]]:
        listed = list(words)
        return [(category, word) for category in self._ledger.categories() for word in listed]

    def _seconds(self, seconds: Mapping[str, float]) -> Points:
        return [({schema.CATEGORY: category}, seconds.get(category, 0.0)) for category in self._ledger.categories()]


def _breakers(figures: Figures) -> Points:
    return [({schema.STORE: store}, BREAKER_GAUGE[state]) for store, state in figures.breakers.items()]


def _transitions(figures: Figures) -> Points:
    return [({schema.BREAKER_TO: state.value}, figures.transitions[state]) for state in BreakerState]
