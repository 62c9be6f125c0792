"""What breaks in the telemetry stays there: the caller sees nothing, the ledger has every count."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider as SDKMeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SDKTracerProvider
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import NoOpTracerProvider, TracerProvider

from telemetry import runs
from telemetry.recorder import Recorder
from telemetry.vocabulary import Operation, Outcome, Tier

ROOT = str(Path(__file__).parents[2])


class Fault(RuntimeError):
    pass


class BrokenTracerProvider(TracerProvider):
    def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
        raise Fault


class BrokenMeterProvider(MeterProvider):
    def get_meter(self, *args: Any, **kwargs: Any) -> Any:
        raise Fault


class BreaksAtStart(SpanProcessor):
    def on_start(self, *args: Any, **kwargs: Any) -> None:
        raise Fault


class BreaksAtEnd(SpanProcessor):
    def on_end(self, *args: Any, **kwargs: Any) -> None:
        raise Fault


class BrokenSampler(Sampler):
    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        raise Fault

    def get_description(self) -> str:
        return "broken"


class Deaf:
    """A histogram that raises."""

    def record(self, *args: Any, **kwargs: Any) -> None:
        raise Fault


def with_processor(processor: SpanProcessor) -> SDKTracerProvider:
    provider = SDKTracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def broken_histograms() -> Recorder:
    recorder = Recorder(meter_provider=SDKMeterProvider(shutdown_on_exit=False))
    for name in ("_duration", "_compute", "_size", "_age"):
        setattr(recorder._kit.instruments, name, Deaf())
    return recorder


BROKEN: dict[str, Callable[[], Recorder]] = {
    "tracer provider": lambda: Recorder(tracer_provider=BrokenTracerProvider()),
    "meter provider": lambda: Recorder(meter_provider=BrokenMeterProvider()),
    "processor at start": lambda: Recorder(tracer_provider=with_processor(BreaksAtStart())),
    "processor at end": lambda: Recorder(tracer_provider=with_processor(BreaksAtEnd())),
    "sampler": lambda: Recorder(tracer_provider=SDKTracerProvider(sampler=BrokenSampler(), shutdown_on_exit=False)),
    "histograms": broken_histograms,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_of_the_telemetry_reaches_nobody_and_loses_no_count(name: str) -> None:
    """The operation goes on, its count is in the ledger, and what was lost is counted."""
    recorder = BROKEN[name]()
    with recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with recorder.compute(event):
            pass
        event.looked(Outcome.MISS)
    figures = recorder.ledger.figures()
    assert figures.requests.total() == 1
    assert figures.dropped >= 1
    assert recorder.current_span_context() is None


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_of_the_telemetry_never_hides_the_callers_error(name: str) -> None:
    """The computation's own error comes out, not the telemetry's."""
    recorder = BROKEN[name]()
    with pytest.raises(KeyError), recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with recorder.compute(event):
            raise KeyError("mine")


@pytest.mark.parametrize("name", BROKEN)
def test_a_run_survives_the_same_faults(name: str) -> None:
    """A run and its nodes go on, and keep their sums, whatever is broken."""
    recorder = BROKEN[name]()
    with runs.run(recorder) as sums, runs.node("one", recorder):
        with recorder.operation("tool", Operation.GET) as event:
            event.looked(Outcome.HIT, tier=Tier.REDIS)
    assert sums.hits == 1


def test_a_run_asks_a_broken_provider_in_vain() -> None:
    """A provider that raises gives a run without a span."""
    with runs.run(BrokenTracerProvider()) as sums:
        pass
    assert sums.hits == 0


def test_foreign_providers_that_record_nothing_work() -> None:
    """With the API's no-op providers everything is counted and nothing is dropped."""
    recorder = Recorder(tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider())
    with recorder.operation("tool", Operation.GET) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0)
    assert (recorder.ledger.figures().requests.total(), recorder.ledger.figures().dropped) == (1, 0)


def test_a_fault_while_a_counter_is_read_is_counted_and_the_rest_is_collected() -> None:
    """One counter that cannot be read does not take the others with it."""
    reader = InMemoryMetricReader()
    provider = SDKMeterProvider([reader], shutdown_on_exit=False)
    recorder = Recorder(meter_provider=provider)
    recorder.ledger._figures.avoided_s = None  # type: ignore[assignment]
    data = reader.get_metrics_data()
    assert data is not None
    names = {m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
    assert "cache.compute.avoided" not in names
    assert {"cache.requests", "cache.telemetry.dropped"} <= names
    assert recorder.ledger.dropped() == 1


PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from opentelemetry import metrics, trace
if {sdk}:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider())
from telemetry.recorder import Recorder
from telemetry.vocabulary import Operation, Outcome
recorder = Recorder()
with recorder.operation("tool", Operation.GET) as event:
    event.looked(Outcome.HIT)
figures = recorder.ledger.figures()
print(figures.requests.total(), figures.dropped, any(name.startswith("opentelemetry.sdk") for name in sys.modules))
"""


@pytest.mark.parametrize(("sdk", "expected"), [(False, "1 0 False"), (True, "1 0 True")])
def test_without_the_sdk_and_with_it_disabled_everything_is_counted(sdk: bool, expected: str) -> None:
    """A fresh process counts without importing the SDK, and with OTEL_SDK_DISABLED=true."""
    environment = {**os.environ, "OTEL_SDK_DISABLED": "true", "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(sdk=sdk)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), "Traceback" in done.stderr) == (expected, False), done.stderr


LATE = """
from opentelemetry import metrics, trace
from telemetry.recorder import Recorder
from telemetry.vocabulary import Operation, Outcome
recorder = Recorder()
with recorder.operation("tool", Operation.GET) as event:
    event.looked(Outcome.MISS)
from telemetry.testing import Captured
captured = Captured()
trace.set_tracer_provider(captured.tracer_provider)
metrics.set_meter_provider(captured.meter_provider)
with recorder.operation("tool", Operation.GET) as event:
    event.looked(Outcome.MISS)
durations = captured.points("cache.operation.duration").values()
print(int(captured.value("cache.requests")), len(captured.spans()), sum(point.count for point in durations))
"""


def test_providers_that_are_set_later_are_found() -> None:
    """Counters know of what was counted before the application set its providers; spans begin with them."""
    done = subprocess.run(
        [sys.executable, "-c", LATE], env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "2 1 1", done.stderr


BROKEN_LATE = """
from opentelemetry import trace
from telemetry.recorder import Recorder
from telemetry.vocabulary import Operation, Outcome
class Broken(trace.TracerProvider):
    def get_tracer(self, *args, **kwargs):
        raise RuntimeError
recorder = Recorder()
trace.set_tracer_provider(Broken())
with recorder.operation("tool", Operation.GET) as event:
    event.looked(Outcome.MISS)
figures = recorder.ledger.figures()
print(figures.requests.total(), figures.dropped > 0)
"""


def test_a_broken_provider_that_is_set_later_reaches_nobody() -> None:
    """It costs the span, which is counted, and nothing else."""
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_LATE], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "1 True", done.stderr
