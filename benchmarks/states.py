"""The telemetry that a process runs under, set up as its users do, before anything that is measured is imported.

The Redis instrumentation and the global providers belong to a whole process. So each contender in each state has a
process of its own, and the rounds of all of them are interleaved over pipes; the base runs where nothing was
instrumented, and no exporter's thread of another contender can slow it down and flatter the ratio.

- ``bare``: nothing; the base alone.
- ``sampled``: every trace sampled, spans and metrics by OTLP over HTTP, a Prometheus reader beside.
- ``unsampled``: the same with ``OTEL_TRACES_SAMPLER=always_off``.
- ``absent``: the API alone; no provider was ever set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

DELAY_MS = 600_000
"""The clock of the exporter's batches and of the readers. At 500 hits a second a batch of spans is full long before
the SDK's 5 s are over; here, where each process rests for most of a round, those 5 s would end in the slice of
another, who would pay for it. What a reader's export costs is a row of its own."""

STATES = ("sampled", "unsampled", "absent")

_DROPPED = re.compile(
    r"^(?:otel_sdk_processor_span_processed(?:_total)?\{[^}]*error_type=\"[^\"]+\"[^}]*\}"
    r"|cache_telemetry_dropped(?:_total)?(?:\{[^}]*\})?) (\S+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class State:
    """A set-up that runs.

    Args:
        flush: exports the spans that wait; False when they were not out in time. Metrics go out when they are due.
        scrape: the exposition in Prometheus's text format.
        collect: collects and exports the metrics, as the reader does every 15 s.
    """

    flush: Callable[[], bool]
    scrape: Callable[[], str]
    collect: Callable[[], bool]

    def dropped(self) -> int:
        """Spans that a full queue refused, and events that the cache's telemetry dropped."""
        return dropped(self.scrape())


def dropped(exposition: str) -> int:
    """The same, read from an exposition."""
    return round(sum(float(figure) for figure in _DROPPED.findall(exposition)))


def variables(state: str, sink: str, service: str) -> Mapping[str, str]:
    """The environment of a process in a state.

    Args:
        sink: URL of the OTLP sink.
        service: ``service.name``, by which the sink counts.
    """
    if state in ("bare", "absent"):
        return {}
    sampler = {"OTEL_TRACES_SAMPLER": "always_off"} if state == "unsampled" else {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink,
        "OTEL_SERVICE_NAME": service,
        "OTEL_SEMCONV_STABILITY_OPT_IN": "database,http",
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
        "OTEL_BSP_SCHEDULE_DELAY": str(DELAY_MS),
        "OTEL_METRIC_EXPORT_INTERVAL": str(DELAY_MS),
        **sampler,
    }


def enter(state: str, setup: str) -> State:
    """Set this process up.

    Args:
        setup: ``ours`` is ``telemetry.setup``; ``standard`` the SDK and the Redis instrumentation as they come, with
            the same exporters, readers and queue.
    """
    if state in ("bare", "absent"):
        return State(lambda: True, lambda: "", lambda: True)
    return _ours() if setup == "ours" else _standard()


def _ours() -> State:
    import telemetry

    handle = telemetry.setup(otlp=True)
    provider: Any = handle.tracer_provider
    meters: Any = handle.meter_provider
    return State(
        lambda: bool(provider.force_flush(30_000)),
        lambda: handle.scrape()[0].decode(),
        lambda: bool(meters.force_flush(30_000)),
    )


def _standard() -> State:
    from opentelemetry import metrics, trace
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from prometheus_client import REGISTRY, generate_latest

    from telemetry.otel_settings import QUEUE

    meters = MeterProvider([PrometheusMetricReader(), PeriodicExportingMetricReader(OTLPMetricExporter())])
    metrics.set_meter_provider(meters)
    tracers = TracerProvider(meter_provider=meters)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), QUEUE, meter_provider=meters))
    trace.set_tracer_provider(tracers)
    RedisInstrumentor().instrument()
    return State(
        lambda: tracers.force_flush(30_000),
        lambda: generate_latest(REGISTRY).decode(),
        lambda: meters.force_flush(30_000),
    )
