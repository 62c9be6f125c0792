"""The ledger's histograms, joined at collection: the numbers, names and exemplars of the SDK's own instruments."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    InMemoryMetricReader,
    Metric,
    MetricExporter,
    MetricExportResult,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from telemetry import schema
from telemetry.joined import Joining, JoiningPeriodicReader, JoiningProvider
from telemetry.light_provider import LightProvider
from telemetry.otel_settings import OtelSettings
from telemetry.provider import Telemetry, build_meter_provider
from telemetry.recorder import Recorder
from telemetry.schema import Kind
from telemetry.testing import TickingTime
from telemetry.vocabulary import FlightScope, MissReason, Operation, Outcome, Tier, WriteResult

RESOURCE = Resource({"service.name": "test"})
HISTOGRAMS = [metric for metric in schema.METRICS if metric.kind is Kind.HISTOGRAM]


class Reader(Joining, InMemoryMetricReader):
    """A reader of our own set-up that keeps what it collects."""


class Kept(MetricExporter):
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        self.given.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing to do."""


def metrics_of(data: Any) -> dict[str, Metric]:
    return {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}


def points(data: Any) -> dict[Any, Any]:
    """What the histograms say, times apart."""
    found = {}
    for metric in HISTOGRAMS:
        collected = metrics_of(data).get(metric.name)
        for point in collected.data.data_points if collected is not None else ():
            found[metric.name, tuple(sorted(point.attributes.items()))] = (
                point.count, point.sum, point.bucket_counts, point.explicit_bounds, point.min, point.max,
                [(exemplar.value, exemplar.filtered_attributes or {}) for exemplar in point.exemplars],
            )  # fmt: skip
            assert point.start_time_unix_nano <= point.time_unix_nano
            assert all(e.time_unix_nano <= point.time_unix_nano for e in point.exemplars)
    return found


def work(recorder: Recorder) -> None:
    """A little of everything that is measured."""
    for age in (3.0, 4.0, 90.0):
        with recorder.operation("context", Operation.GET) as event:
            event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=age, cost_s=0.5)
    with recorder.operation("embedding", Operation.GET_MANY, batch_size=5) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, n=3, age_s=7.0)
        event.looked(Outcome.HIT, tier=Tier.LOCAL, age_s=8.0)
        event.looked(Outcome.MISS, reason=MissReason.COLD)
    with recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with recorder.wait(event, FlightScope.PROCESS, None):
            pass
        with recorder.compute(event):
            pass
        event.looked(Outcome.MISS, reason=MissReason.EXPIRED)
        event.wrote(WriteResult.STORED, size=2000)
        event.wrote(WriteResult.STORED, size=20)
    with recorder.operation("tool", Operation.GET_OR_COMPUTE) as event, suppress(KeyError), recorder.compute(event):
        raise KeyError
    with recorder.operation("nobody's", Operation.DELETE) as event:
        event.deletes = 1


def recorder_of(meters: Any, traces: LightProvider | None = None) -> Recorder:
    return Recorder(
        meter_provider=meters,
        tracer_provider=traces if traces is not None else LightProvider(RESOURCE, meters),
        monotonic=TickingTime(0.001),
    )


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def meters(reader: Reader) -> JoiningProvider:
    return JoiningProvider([reader], RESOURCE)


def test_the_numbers_are_those_of_the_sdks_instruments(reader: Reader, meters: JoiningProvider) -> None:
    """Counts, sums, buckets, bounds, extremes, labels and exemplars are the same with a foreign provider."""
    foreign = InMemoryMetricReader()
    work(recorder_of(meters))
    work(recorder_of(MeterProvider([foreign], RESOURCE, shutdown_on_exit=False)))
    mine, theirs = reader.get_metrics_data(), foreign.get_metrics_data()
    assert points(mine) == points(theirs)
    for metric in HISTOGRAMS:
        a, b = metrics_of(mine)[metric.name], metrics_of(theirs)[metric.name]
        assert (a.name, a.unit, a.description) == (b.name, b.unit, b.description)
        assert isinstance(a.data, Histogram)
        assert a.data.aggregation_temporality is AggregationTemporality.CUMULATIVE
    assert metrics_of(mine).keys() == metrics_of(theirs).keys()


def test_series_go_on_and_an_exemplar_is_told_once_to_each_reader() -> None:
    """Counts are cumulative from one start; a second collection has the new exemplars alone."""
    readers = [Reader(), Reader()]
    recorder = recorder_of(JoiningProvider(readers, RESOURCE))
    work(recorder)
    firsts = [metrics_of(reader.get_metrics_data()) for reader in readers]
    with recorder.operation("context", Operation.GET) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=5.0)
    for reader, first in zip(readers, firsts, strict=True):
        before = ages(first)["context"]
        after = ages(metrics_of(reader.get_metrics_data()))["context"]
        assert (before.count, after.count) == (3, 4)
        assert after.start_time_unix_nano == before.start_time_unix_nano < before.time_unix_nano < after.time_unix_nano
        assert [exemplar.value for exemplar in before.exemplars] == [4.0, 90.0]
        assert [exemplar.value for exemplar in after.exemplars] == [5.0]


def ages(collected: dict[str, Metric]) -> dict[Any, Any]:
    return {point.attributes["cache.category"]: point for point in collected["cache.entry.age"].data.data_points}


@pytest.mark.parametrize("light", [True, False])
def test_exemplars_point_at_the_spans_that_are_exported(reader: Reader, meters: JoiningProvider, light: bool) -> None:
    """Trace and span are those of the operation, or of the computation, whether spans are light or the SDK's."""
    traces, kept = LightProvider(RESOURCE, meters), InMemorySpanExporter()
    if light:
        traces.add_exporter(kept, 100, 100)
    else:
        traces.add_span_processor(SimpleSpanProcessor(kept))
    work(recorder_of(meters, traces))
    traces.force_flush()
    spans = {(s.context.trace_id, s.context.span_id): s.name for s in kept.get_finished_spans() if s.context}
    told = {
        name: {
            spans[exemplar.trace_id, exemplar.span_id]
            for point in metrics_of(data)[name].data.data_points
            for exemplar in point.exemplars
        }
        for data in [reader.get_metrics_data()]
        for name in (metric.name for metric in HISTOGRAMS)
    }
    assert told["cache.compute.duration"] == {"cache.compute tool"}
    assert told["cache.flight.wait.duration"] == {"cache.wait tool"}
    assert told["cache.entry.size"] == {"cache.get_or_compute tool"}
    assert told["cache.entry.age"] == {"cache.get context", "cache.get_many embedding"}
    assert "cache.delete other" in told["cache.operation.duration"]


def test_without_a_sampled_span_there_is_no_exemplar(
    reader: Reader, meters: JoiningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exemplar points at a trace that exists."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    work(recorder_of(meters))
    found = points(reader.get_metrics_data())
    assert found and not any(exemplars for *_, exemplars in found.values())


def test_two_recorders_add_up(reader: Reader, meters: JoiningProvider) -> None:
    """As they do with the SDK's instruments."""
    for _ in range(2):
        work(recorder_of(meters))
    assert {point.count for point in ages(metrics_of(reader.get_metrics_data())).values()} == {6, 4}


def test_both_roads_have_them() -> None:
    """The periodic reader's exporter and the exposition are given the same numbers."""
    exporter, registry = Kept(), CollectorRegistry()
    settings = OtelSettings.from_mapping({}, service_name="t", console=False, prometheus=True, otlp=None)
    scraped = build_meter_provider(settings, RESOURCE, registry)
    pushed = JoiningProvider([JoiningPeriodicReader(exporter, 3_600_000)], RESOURCE)
    try:
        for meters in (scraped, pushed):
            work(recorder_of(meters))
        pushed.force_flush()
        text = Telemetry(LightProvider(RESOURCE, scraped), scraped, registry).scrape()[0].decode()
    finally:
        for meters in (scraped, pushed):
            meters.shutdown()
    durations = metrics_of(exporter.given[0])["cache.operation.duration"].data.data_points
    assert sum(point.count for point in durations) == 7
    lines = [line for line in text.splitlines() if line.startswith("cache_operation_duration_seconds_count{")]
    assert sum(float(line.rpartition(" ")[2]) for line in lines) == 7
    assert "# TYPE cache_entry_size_bytes histogram" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_off"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"),
    ],
)
def test_what_our_buckets_are_not_made_for_is_left_to_the_sdk(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Another temporality, aggregation or choice of exemplars takes the SDK's instruments, with the same counts."""
    monkeypatch.setenv(name, value)
    meters = JoiningProvider([reader], RESOURCE)
    recorder = recorder_of(meters)
    work(recorder)
    assert (recorder._kit.instruments.recorded, recorder._kit.instruments.exemplars) == (True, False)
    assert ages(metrics_of(reader.get_metrics_data()))["context"].count == 3


def test_ones_own_measurements_are_the_sdks(reader: Reader, meters: JoiningProvider) -> None:
    """An application that records to a histogram of ours is not lost, and other instruments are as they were."""
    meter = meters.get_meter(schema.SCOPE)
    meter.create_histogram("cache.entry.age", "s").record(1.0, {"cache.category": "mine"})
    makers: list[Callable[..., Any]] = [meter.create_counter, meter.create_up_down_counter, meter.create_gauge]
    for number, make in enumerate(makers):
        made = make(f"mine.{number}")
        (made.set if hasattr(made, "set") else made.add)(1)
    meter.create_observable_up_down_counter("mine.observed", [])
    collected = metrics_of(reader.get_metrics_data())
    assert {"cache.entry.age", "mine.0", "mine.1", "mine.2"} <= collected.keys()
    assert ages(collected)["mine"].count == 1


def test_no_count_is_lost_while_readers_read(reader: Reader, meters: JoiningProvider) -> None:
    """Threads that count while another collects arrive at the exact sums, in counters and histograms."""
    recorder, start = recorder_of(meters), threading.Barrier(5)

    def count() -> None:
        start.wait()
        for _ in range(400):
            with recorder.operation("tool", Operation.GET) as event:
                event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0, cost_s=1.0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in threads):
        reader.get_metrics_data()
    collected = metrics_of(reader.get_metrics_data())
    (duration,) = collected["cache.operation.duration"].data.data_points
    assert duration.count == ages(collected)["tool"].count == 1600
    requests = {point.value for point in collected["cache.requests"].data.data_points}
    avoided = {point.value for point in collected["cache.compute.avoided"].data.data_points}
    assert (requests, avoided) == ({0, 1600}, {0.0, 1600.0})


def test_the_accounts_stay_flat(meters: JoiningProvider) -> None:
    """However many operations there are, what is kept of them is bounded by the sets of labels."""
    recorder = recorder_of(meters)

    def kept() -> tuple[int, int, int]:
        accounts = list(recorder.ledger.accounts.values())
        waiting = [len(cell.waiting) for account in accounts for cell in account.cells.values()]
        return len(accounts), len(waiting), max(waiting, default=0) // 128

    numbers = itertools.cycle(range(20))
    sizes = []
    for _ in range(2):
        for number in itertools.islice(numbers, 4000):
            with recorder.operation(f"nobody's {number}", Operation.GET) as event:
                event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0)
        sizes.append(kept())
    assert sizes == [(1, 1, 0), (1, 1, 0)]
