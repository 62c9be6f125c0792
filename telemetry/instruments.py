"""The metrics: counters that read the ledger when they are collected, histograms recorded inside the span.

A meter of our own set-up reads the ledger's histograms too; instruments of others are recorded to.
OpenTelemetry API only. Every series of the closed sets exists from the start, so that a first
error, hit or miss is seen as an increase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, NoOpHistogram, Observation

from telemetry import savings, schema
from telemetry.buckets import Buckets
from telemetry.events import OperationEvent
from telemetry.figures import Figures
from telemetry.ledger import Ledger
from telemetry.schema import Kind, Metric
from telemetry.series import zero_sets
from telemetry.vocabulary import BREAKER_GAUGE, ErrorType, FlightScope

Table = Callable[[Figures], Mapping[Any, int | float]]
"""Where in the figures a counter's numbers stand, by label set in the order of its attributes."""

_TABLES: tuple[tuple[Metric, Table], ...] = (
    (schema.REQUESTS, lambda figures: figures.requests),
    (schema.INVALIDATED, lambda figures: figures.invalidated),
    (schema.WRITES, lambda figures: figures.writes),
    (schema.DELETES, lambda figures: figures.deletes),
    (schema.INVALIDATIONS, lambda figures: figures.invalidations),
    (schema.ERRORS, lambda figures: figures.errors),
    (schema.FLIGHT_WAITS, lambda figures: figures.waits),
    (schema.AVOIDED, lambda figures: {(name,): s for name, s in figures.avoided_s.items()}),
    (schema.OVERHEAD, lambda figures: {(name,): s for name, s in figures.overhead_s.items()}),
    (schema.VERIFICATIONS, lambda figures: figures.verifications),
    (schema.TIME_SAVED, savings.table),
    (schema.BREAKER_TRANSITIONS, lambda figures: {(state,): n for state, n in figures.transitions.items()}),
    (schema.BREAKER, lambda figures: {(name,): BREAKER_GAUGE[state] for name, state in figures.breakers.items()}),
    (schema.POLICY_TTL, lambda figures: {(name,): s for name, s in figures.ttls_s.items()}),
    (schema.TELEMETRY_DROPPED, lambda figures: {(): figures.dropped}),
)


_HISTOGRAMS = (
    schema.OPERATION_DURATION,
    schema.COMPUTE_DURATION_METRIC,
    schema.ENTRY_SIZE_METRIC,
    schema.ENTRY_AGE_METRIC,
    schema.FLIGHT_WAIT_DURATION,
)


@runtime_checkable
class ReadsHistograms(Protocol):
    """An instrument that is not recorded to: it asks for its histograms when it is collected."""

    def read_from(self, source: Callable[[], Iterable[tuple[dict[str, str], Buckets]]]) -> None:
        """Take the histograms, each with its attributes, from ``source`` too."""


class Instruments:
    """Our instruments on one meter.

    Args:
        meter: from the application's provider, or the global one.
        ledger: what the counters read.
    """

    def __init__(self, meter: Meter, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[tuple[str | None, ...], dict[str, str]] = {}
        for metric, table in _TABLES:
            make = meter.create_observable_gauge if metric.kind is Kind.GAUGE else meter.create_observable_counter
            make(metric.name, [self._callback(metric, table)], metric.unit, metric.description)
        self._made = [_histogram(meter, metric) for metric in _HISTOGRAMS]
        self._duration, self._compute, self._size, self._age, self._wait = self._made
        self.recorded = False
        """True when the histograms are to be recorded to."""
        self.exemplars = False
        """True when the ledger's histograms are read instead, with the exemplars that it is given."""
        self.pending = True
        """True while instruments stand in for those of a provider that nobody has set yet."""
        self.settle()

    def waits(self) -> bool:
        """True while there is no provider yet."""
        return _real(self._age) is None

    def settle(self) -> None:
        """Find out what takes the histograms."""
        if not self.pending or self.waits():
            return
        self.pending = False
        for made, metric in zip(map(_real, self._made), _HISTOGRAMS, strict=True):
            if isinstance(made, ReadsHistograms):
                self.exemplars = True
                made.read_from(partial(self._series, metric))
            elif not isinstance(made, NoOpHistogram):
                self.recorded = True

    def _series(self, metric: Metric) -> list[tuple[dict[str, str], Buckets]]:
        return [(_attributes(metric, labels), buckets) for labels, buckets in self._ledger.series(metric)]

    def record(self, event: OperationEvent, category: str, duration_s: float) -> None:
        """Record an operation's histograms; its span must be current, or exemplars are lost."""
        labels = self._labels(category, event.operation, event.outcome(), event.tier())
        self._duration.record(max(0.0, duration_s), labels)
        for size in event.sizes:
            self._size.record(size, {schema.CATEGORY: category})
        for age_s in event.ages_s:
            self._age.record(age_s, {schema.CATEGORY: category})

    def _labels(self, *words: str | None) -> dict[str, str]:
        """The labels of a duration, made once for each of the label sets that can exist."""
        labels = self._known.get(words)
        if labels is None:
            labels = self._known[words] = _attributes(schema.OPERATION_DURATION, words)
        return labels

    def computed(self, category: str, seconds: float, error: ErrorType | None) -> None:
        """Record one computation; its span must be current."""
        labels = {schema.CATEGORY: category}
        if error is not None:
            labels[schema.ERROR_TYPE] = error.value
        self._compute.record(seconds, labels)

    def waited(self, category: str, seconds: float, scope: FlightScope) -> None:
        """Record one wait; its span must be current."""
        self._wait.record(seconds, {schema.CATEGORY: category, schema.FLIGHT_SCOPE: scope.value})

    def _callback(self, metric: Metric, table: Table) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_: CallbackOptions) -> Iterable[Observation]:
            try:
                self.settle()
                return self._observe(metric, table)
            except Exception:
                self._ledger.drop()
                return []

        return callback

    def _observe(self, metric: Metric, table: Table) -> list[Observation]:
        zero = 0.0 if metric.unit == "s" else 0
        points = dict.fromkeys(zero_sets(metric, self._ledger.categories()), zero) | self._ledger.read(table)
        return [Observation(value, _attributes(metric, labels)) for labels, value in points.items()]


def _real(made: Histogram) -> Histogram | None:
    """The instrument behind one that stands in until a provider is set; None while there is none."""
    # the API has no public name for its instruments that stand in
    return getattr(made, "_real_instrument", made)


def _attributes(metric: Metric, labels: tuple[str | None, ...]) -> dict[str, str]:
    named = zip(metric.attributes, labels, strict=True)
    # str(): the members of the enums are told to exporters as plain text
    return {key: str(value) for key, value in named if value is not None}


def _histogram(meter: Meter, metric: Metric) -> Histogram:
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=list(metric.buckets)
    )
