"""The metrics: zero series, types, buckets, exemplars, and one truth in ledger, SDK and exposition."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, Sum
from opentelemetry.sdk.metrics.export import Histogram as SDKHistogram
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from prometheus_client import REGISTRY

from telemetry import schema, series
from telemetry.recorder import Recorder
from telemetry.schema import Kind, Metric
from telemetry.testing import Captured
from telemetry.vocabulary import (
    BUILT_IN_CATEGORIES,
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

COUNTERS = [metric for metric in schema.METRICS if metric.kind is Kind.COUNTER]


def work(recorder: Recorder) -> None:
    """A little of everything."""
    with recorder.operation("context", Operation.GET) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=3.0, cost_s=0.5)
    with recorder.operation("embedding", Operation.GET_MANY, batch_size=5) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, n=3, age_s=7.0, cost_s=0.25)
        event.looked(Outcome.MISS, reason=MissReason.COLD, n=2)
    with recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with recorder.wait(event, FlightScope.PROCESS, None):
            pass
        with recorder.compute(event):
            pass
        event.looked(Outcome.MISS, reason=MissReason.EXPIRED)
        event.wrote(WriteResult.STORED, size=2000)
    with recorder.operation("prompt", Operation.GET) as event:
        event.fail(ErrorType.REFUSED)
        event.looked(Outcome.ERROR)
    with recorder.operation("context", Operation.INVALIDATE) as event:
        event.trigger, event.invalidations = Trigger.MESSAGE, 1
    with recorder.operation("context", Operation.DELETE) as event:
        event.trigger, event.deletes = Trigger.API, 1
    recorder.breaker("redis", BreakerState.OPEN)
    recorder.register_category("context", 3600.0)
    recorder.count_hit()


def metrics_of(reader: InMemoryMetricReader) -> dict[str, Any]:
    data = reader.get_metrics_data()
    assert data is not None
    return {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def recorder(reader: InMemoryMetricReader) -> Recorder:
    return Recorder(meter_provider=MeterProvider([reader], shutdown_on_exit=False))


def labels_of(metric: Metric, attributes: Any) -> tuple[str | None, ...]:
    return tuple(attributes.get(key) for key in metric.attributes)


@pytest.mark.parametrize("metric", COUNTERS, ids=lambda metric: metric.name)
def test_every_series_of_the_closed_sets_is_there_before_any_traffic(
    metric: Metric, recorder: Recorder, reader: InMemoryMetricReader
) -> None:
    """Each counter begins with all its label sets at zero."""
    points = metrics_of(reader)[metric.name].data.data_points
    expected = set(series.zero_sets(metric, recorder.ledger.categories()))
    assert {labels_of(metric, point.attributes) for point in points} == expected
    assert len(points) == len(expected)
    assert {(point.value, type(point.value)) for point in points} == {(0, float if metric.unit == "s" else int)}


def test_a_registered_category_begins_at_zero_too(recorder: Recorder, reader: InMemoryMetricReader) -> None:
    """From its registration on a category has its series."""
    recorder.register_category("static")
    points = metrics_of(reader)["cache.requests"].data.data_points
    mine = [point for point in points if point.attributes["cache.category"] == "static"]
    assert len(mine) == len(points) // (len(BUILT_IN_CATEGORIES) + 2)


@pytest.mark.parametrize("metric", schema.METRICS, ids=lambda metric: metric.name)
def test_name_unit_type_and_attribute_keys_are_the_schemas(
    metric: Metric, recorder: Recorder, reader: InMemoryMetricReader
) -> None:
    """What the SDK collects has the schema's type, unit and description, and only its attribute keys, as text."""
    work(recorder)
    found: Any = metrics_of(reader)[metric.name]
    assert (found.unit, found.description) == (metric.unit, metric.description)
    kinds = {Kind.COUNTER: Sum, Kind.UP_DOWN_COUNTER: Sum, Kind.GAUGE: Gauge, Kind.HISTOGRAM: SDKHistogram}
    expected = kinds[metric.kind]
    made = type(found.data)
    assert made is expected
    assert metric.kind is not Kind.COUNTER or found.data.is_monotonic
    for point in found.data.data_points:
        assert set(point.attributes) <= set(metric.attributes)
        assert {type(value) for value in point.attributes.values()} <= {str}
        if metric.kind is Kind.HISTOGRAM:
            assert point.explicit_bounds == metric.buckets


def test_nothing_is_exported_that_the_schema_does_not_know(recorder: Recorder, reader: InMemoryMetricReader) -> None:
    """The exported names are exactly the schema's."""
    work(recorder)
    assert metrics_of(reader).keys() == {metric.name for metric in schema.METRICS}


def test_the_durations_labels_have_the_tier_of_a_hit_only(captured: Captured) -> None:
    """A hit's duration names its tier; a batch with a miss is a miss and names none; a write is ``ok``."""
    work(captured.recorder())
    found = {
        tuple(value for _, value in labels): point.count
        for labels, point in captured.points("cache.operation.duration").items()
    }
    assert found == {
        ("context", "get", "hit", "redis"): 1,
        ("embedding", "get_many", "miss"): 1,
        ("tool", "get_or_compute", "miss"): 1,
        ("prompt", "get", "error"): 1,
        ("context", "invalidate", "ok"): 1,
        ("context", "delete", "ok"): 1,
    }


def test_a_view_of_the_application_wins_over_our_buckets() -> None:
    """The boundaries are advice."""
    reader, view = InMemoryMetricReader(), ExplicitBucketHistogramAggregation([1.0])
    views = [View(instrument_name="cache.operation.duration", aggregation=view)]
    work(Recorder(meter_provider=MeterProvider([reader], views=views, shutdown_on_exit=False)))
    assert {point.explicit_bounds for point in metrics_of(reader)["cache.operation.duration"].data.data_points} == {
        (1.0,)
    }


@pytest.fixture
def captured() -> Captured:
    return Captured()


def test_every_histogram_has_exemplars_of_its_operations_trace(
    captured: Captured, reader: InMemoryMetricReader
) -> None:
    """Measurements are taken while the span is current, so each points at a trace that exists."""
    provider = MeterProvider([reader], shutdown_on_exit=False)
    work(Recorder(tracer_provider=captured.tracer_provider, meter_provider=provider))
    traces = {span.context.trace_id for span in captured.spans() if span.context is not None}
    collected = metrics_of(reader)
    for metric in (m for m in schema.METRICS if m.kind is Kind.HISTOGRAM):
        points = collected[metric.name].data.data_points
        assert points
        assert all(point.exemplars for point in points), metric.name
        assert {exemplar.trace_id for point in points for exemplar in point.exemplars} <= traces


def test_ledger_sdk_and_exposition_say_the_same() -> None:
    """Every counter has the same numbers under the same labels in the ledger, the SDK and Prometheus's text."""
    memory, exposition = InMemoryMetricReader(), PrometheusMetricReader()
    try:
        recorder = Recorder(meter_provider=MeterProvider([memory, exposition], shutdown_on_exit=False))
        work(recorder)
        collected = metrics_of(memory)
        samples = [sample for family in REGISTRY.collect() for sample in family.samples]
    finally:
        exposition.shutdown()
    for metric in COUNTERS:
        in_sdk = {labels_of(metric, p.attributes): p.value for p in collected[metric.name].data.data_points}
        keys = [schema.prometheus_label(attribute) for attribute in metric.attributes]
        in_text = {
            tuple(sample.labels.get(key) or None for key in keys): sample.value
            for sample in samples
            if sample.name == metric.prometheus
        }
        assert in_text == in_sdk, metric.name
    requests = collected["cache.requests"].data.data_points
    counted = {labels_of(schema.REQUESTS, point.attributes): point.value for point in requests if point.value}
    assert counted == recorder.ledger.figures().requests
    assert sum(counted.values()) == 9


def test_prometheus_names_are_those_of_the_exporter() -> None:
    """Each exported instrument, histograms and gauge too, appears under the name that the schema gives."""
    exposition = PrometheusMetricReader()
    try:
        work(Recorder(meter_provider=MeterProvider([exposition], shutdown_on_exit=False)))
        names = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    finally:
        exposition.shutdown()
    for metric in schema.METRICS:
        suffix = "_bucket" if metric.kind is Kind.HISTOGRAM else ""
        assert metric.prometheus + suffix in names


def test_the_ttl_of_a_policy_is_a_gauge_of_its_category(recorder: Recorder, reader: InMemoryMetricReader) -> None:
    """Only categories that have a policy have one; the last that was told is shown."""
    recorder.register_category("static")
    recorder.register_category("report", 60.0)
    recorder.register_category("report", 30.0)
    (point,) = metrics_of(reader)["cache.policy.ttl"].data.data_points
    assert (dict(point.attributes), point.value) == ({"cache.category": "report"}, 30.0)


def test_the_breakers_gauge_has_the_contracts_numbers(recorder: Recorder, reader: InMemoryMetricReader) -> None:
    """Closed is 0, half-open 1, open 2."""
    for state, value in ((BreakerState.CLOSED, 0), (BreakerState.HALF_OPEN, 1), (BreakerState.OPEN, 2)):
        recorder.breaker("redis", state)
        (point,) = metrics_of(reader)["cache.breaker.state"].data.data_points
        assert (dict(point.attributes), point.value) == ({"cache.store": "redis"}, value)
