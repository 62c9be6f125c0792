"""A meter provider that joins the ledger's histograms to what its readers collect.

The SDK's histograms copy and hash attributes at each measurement. Here nothing is measured twice:
the readers take the ledger's buckets, exemplars included, under the names, units, boundaries and
start times that the SDK's own instruments would have given them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource

from telemetry import schema
from telemetry.buckets import Buckets

Found = Iterable[tuple[dict[str, str], Buckets]]
Source = Callable[[], Found]

_JOINED = {metric.name for metric in schema.METRICS if metric.kind is schema.Kind.HISTOGRAM}

_PLAIN = {
    "OTEL_METRICS_EXEMPLAR_FILTER": "trace_based",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "explicit_bucket_histogram",
}
"""What the SDK reads from the environment, and the one value of each that our buckets are made for."""


def joinable(env: Mapping[str, str]) -> bool:
    """True when histograms are wanted as our buckets are: cumulative, of explicit bounds, exemplars by trace."""
    return all(env.get(name, "").strip().lower() in ("", value) for name, value in _PLAIN.items())


class ReadHistogram(metrics.Histogram):
    """A histogram of ours on the joining provider; what somebody records to it goes to the SDK's.

    Args:
        made: the SDK's instrument of the same name.
    """

    def __init__(self, made: metrics.Histogram, metric: Metric) -> None:
        self._made, self.metric = made, metric
        self._sources: tuple[Source, ...] = ()
        self._lock = threading.Lock()

    def record(self, *args: Any, **kwargs: Any) -> None:
        self._made.record(*args, **kwargs)

    def read_from(self, source: Source) -> None:
        """Take the histograms, each with its attributes, from ``source`` too."""
        with self._lock:
            self._sources += (source,)

    def read(self) -> list[tuple[dict[str, str], Buckets]]:
        """All there are; those of several recorders are added up."""
        found: dict[tuple[tuple[str, str], ...], Buckets] = {}
        for source in self._sources:
            for attributes, buckets in source():
                key = tuple(attributes.items())
                before = found.get(key)
                found[key] = buckets if before is None else before.plus(buckets)
        return [(dict(key), buckets) for key, buckets in found.items()]


class Joiner:
    """The histograms of one provider, joined to what a reader collects."""

    def __init__(self) -> None:
        self._histograms: dict[str, ReadHistogram] = {}

    def add(self, made: metrics.Histogram, name: str, unit: str, description: str) -> ReadHistogram:
        """The histogram of that name, which is asked at each collection from now on."""
        empty = Histogram([], AggregationTemporality.CUMULATIVE)
        return self._histograms.setdefault(name, ReadHistogram(made, Metric(name, description, unit, empty)))

    def join(self, data: MetricsData, after_ns: int) -> MetricsData:
        """The same data with our histograms in our scope.

        Args:
            after_ns: exemplars that are older were told before.
        """
        now = time.time_ns()
        mine = [m for m in (_metric(made, now, after_ns) for made in self._histograms.values()) if m is not None]
        if not mine:
            return data
        parts = [
            replace(resource, scope_metrics=[_joined(scope, mine) for scope in resource.scope_metrics])
            for resource in data.resource_metrics
        ]
        return MetricsData(resource_metrics=parts)


def _joined(scope: ScopeMetrics, mine: Sequence[Metric]) -> ScopeMetrics:
    if scope.scope.name != schema.SCOPE:
        return scope
    return replace(scope, metrics=[*scope.metrics, *mine])


def _metric(made: ReadHistogram, now_ns: int, after_ns: int) -> Metric | None:
    points = [_point(attributes, buckets, now_ns, after_ns) for attributes, buckets in made.read()]
    return replace(made.metric, data=Histogram(points, AggregationTemporality.CUMULATIVE)) if points else None


def _point(attributes: dict[str, str], buckets: Buckets, now_ns: int, after_ns: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=buckets.start_ns,
        time_unix_nano=now_ns,
        count=buckets.count,
        sum=buckets.total,
        bucket_counts=tuple(buckets.counts),
        explicit_bounds=buckets.boundaries,
        min=buckets.least,
        max=buckets.greatest,
        exemplars=[
            Exemplar({}, one.value, one.time_ns, one.span_id, one.trace_id) for one in buckets.last_exemplars(after_ns)
        ],
    )


class Joining(MetricReader):
    """A reader that is given the ledger's histograms beside what it collects; to be mixed into one of the SDK's."""

    joiner: Joiner | None = None
    _told_ns = 0

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        if self.joiner is not None:
            after_ns, self._told_ns = self._told_ns, time.time_ns()
            metrics_data = self.joiner.join(metrics_data, after_ns)
        super()._receive_metrics(metrics_data, timeout_millis=timeout_millis, **kwargs)  # type: ignore[safe-super]


class JoiningPeriodicReader(Joining, PeriodicExportingMetricReader):
    """The SDK's periodic reader, given the ledger's histograms too."""


class JoiningProvider(MeterProvider):
    """The SDK's meter provider, whose readers are given the ledger's histograms too.

    Args:
        readers: those that mix ``Joining`` in are given them.
    """

    def __init__(self, readers: Sequence[MetricReader], resource: Resource, views: Sequence[View] = ()) -> None:
        super().__init__(readers, resource, views=views, shutdown_on_exit=False)
        self._joiner: Joiner | None = None
        if joinable(os.environ):
            self._joiner = Joiner()
            for reader in readers:
                if isinstance(reader, Joining):
                    reader.joiner = self._joiner

    def get_meter(self, name: str, *args: Any, **kwargs: Any) -> metrics.Meter:
        made = super().get_meter(name, *args, **kwargs)
        return _JoiningMeter(made, self._joiner) if name == schema.SCOPE and self._joiner is not None else made


class _JoiningMeter(metrics.Meter):
    """The meter of our scope: all its instruments are the SDK's but the histograms that the ledger keeps."""

    def __init__(self, made: metrics.Meter, joiner: Joiner) -> None:
        super().__init__(made.name, made.version, made.schema_url)
        self._made, self._joiner = made, joiner

    def create_histogram(self, name: str, unit: str = "", description: str = "", **advice: Any) -> metrics.Histogram:
        made = self._made.create_histogram(name, unit, description, **advice)
        return self._joiner.add(made, name, unit, description) if name in _JOINED else made

    def create_counter(self, *args: Any, **kwargs: Any) -> metrics.Counter:
        return self._made.create_counter(*args, **kwargs)

    def create_up_down_counter(self, *args: Any, **kwargs: Any) -> metrics.UpDownCounter:
        return self._made.create_up_down_counter(*args, **kwargs)

    def create_observable_counter(self, *args: Any, **kwargs: Any) -> metrics.ObservableCounter:
        return self._made.create_observable_counter(*args, **kwargs)

    def create_observable_gauge(self, *args: Any, **kwargs: Any) -> metrics.ObservableGauge:
        return self._made.create_observable_gauge(*args, **kwargs)

    def create_observable_up_down_counter(self, *args: Any, **kwargs: Any) -> metrics.ObservableUpDownCounter:
        return self._made.create_observable_up_down_counter(*args, **kwargs)

    def create_gauge(self, *args: Any, **kwargs: Any) -> Any:
        return self._made.create_gauge(*args, **kwargs)
