"""Sets the SDK up for our own programs, from the standard ``OTEL_*`` variables; nothing else touches the SDK.

As a library glasscache uses the API only: under ``opentelemetry-instrument`` or an
application's own providers, ``setup`` leaves them in place and only switches Redis on.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from telemetry import redis as redis_instrumentation

EXPORT_TIMEOUT_S = 2.0
"""A Collector that does not answer may not hold the process's end."""

EXPORT_INTERVAL_MS = 15_000
"""The same as Grafana's time interval; the SDK's default of 60 s is too slow for who watches."""

QUEUE = 16_384
"""Spans that wait for the exporter; beyond it the SDK drops them and counts that."""

_POOL_METRICS = ("db.client.connection.*", "redis.client.*")


@dataclass(slots=True)
class Telemetry:
    """What ``setup`` made, to be shut down at the end.

    Args:
        tracer_provider: None when another was in place, or telemetry is disabled.
        meter_provider: likewise.
        registry: what ``scrape`` shows; None without a Prometheus reader.
        kept: every ended span, where ``keep_spans`` asked for it.
    """

    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    registry: CollectorRegistry | None = None
    kept: InMemorySpanExporter | None = None

    def scrape(self) -> tuple[bytes, str]:
        """The exposition and its content type; empty without a Prometheus reader."""
        return (generate_latest(self.registry) if self.registry is not None else b""), CONTENT_TYPE_LATEST

    def flush(self, seconds: float = EXPORT_TIMEOUT_S) -> None:
        """Export what is there, for ``seconds`` at most."""
        self._within([provider.force_flush for provider in self._providers()], seconds)

    def shutdown(self, seconds: float = 1.0) -> None:
        """Export what is there and end, for ``seconds`` at most, whether or not a Collector answers."""
        self._within([provider.shutdown for provider in self._providers()], seconds)

    def _providers(self) -> list[Any]:
        return [provider for provider in (self.tracer_provider, self.meter_provider) if provider is not None]

    @staticmethod
    def _within(calls: list[Any], seconds: float) -> None:
        threads = [threading.Thread(target=call, daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds)


def setup(
    *,
    service_name: str = "glasscache",
    console: bool = False,
    prometheus: bool = True,
    keep_spans: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Telemetry:
    """Set tracing and metrics up for one of our own programs, and instrument the Redis client.

    Args:
        service_name: unless ``OTEL_SERVICE_NAME`` says another.
        console: print spans and metrics too.
        prometheus: keep a registry for ``scrape``.
        keep_spans: keep every ended span in memory, for a program that shows them itself.
        environ: the variables; None takes the process's.

    Returns:
        The handle to scrape and to shut down. OTLP goes out only where an endpoint is named.
    """
    env = os.environ if environ is None else environ
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Telemetry()
    if _foreign():
        redis_instrumentation.instrument()
        return Telemetry()
    os.environ.setdefault("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    resource = _resource(service_name, env)
    registry = CollectorRegistry() if prometheus else None
    meters = MeterProvider(_readers(env, registry, console=console), resource, views=_views(), shutdown_on_exit=False)
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in _span_exporters(env, console=console):
        tracers.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE, max_export_batch_size=512))
    kept = InMemorySpanExporter() if keep_spans else None
    if kept is not None:
        tracers.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    redis_instrumentation.instrument(tracers)
    _watch_pool()
    return Telemetry(tracers, meters, registry, kept)


def _foreign() -> bool:
    """True when somebody has set a tracer provider already."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _resource(service_name: str, env: Mapping[str, str]) -> Resource:
    name = env.get("OTEL_SERVICE_NAME") or service_name
    return Resource.create({"service.name": name, "service.instance.id": str(uuid.uuid4())})


def _wants(env: Mapping[str, str], signal: str, what: str) -> bool:
    """True when ``OTEL_{signal}_EXPORTER`` names ``what``; OTLP needs an endpoint unless it is named."""
    named = env.get(f"OTEL_{signal}_EXPORTER", "")
    if named:
        return what in [word.strip() for word in named.split(",")]
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return what == "otlp" and any(env.get(name) for name in endpoints)


def _span_exporters(env: Mapping[str, str], *, console: bool) -> list[SpanExporter]:
    exporters: list[SpanExporter] = []
    if _wants(env, "TRACES", "otlp"):
        exporters.append(OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S))
    if console or _wants(env, "TRACES", "console"):
        exporters.append(ConsoleSpanExporter())
    return exporters


def _readers(env: Mapping[str, str], registry: CollectorRegistry | None, *, console: bool) -> list[MetricReader]:
    readers: list[MetricReader] = []
    interval = float(env.get("OTEL_METRIC_EXPORT_INTERVAL") or EXPORT_INTERVAL_MS)
    if registry is not None:
        readers.append(PrometheusMetricReader(registry=registry))
    if _wants(env, "METRICS", "otlp"):
        exporter = OTLPMetricExporter(timeout=EXPORT_TIMEOUT_S)
        readers.append(PeriodicExportingMetricReader(exporter, interval, EXPORT_TIMEOUT_S * 1000))
    if console or _wants(env, "METRICS", "console"):
        readers.append(PeriodicExportingMetricReader(ConsoleMetricExporter(), interval))
    return readers


def _views() -> list[View]:
    """redis-py names each pool by a random word: without this every restart makes new series."""
    keep = {"db.client.connection.state", "error.type", "redis.client.connection.close.reason"}
    return [View(instrument_name=name, attribute_keys=keep) for name in _POOL_METRICS]


def _watch_pool() -> None:
    """Switch redis-py's own pool and resilience metrics on; they go to the global meter provider."""
    from redis.observability import MetricGroup, OTelConfig, get_observability_instance

    groups = [MetricGroup.RESILIENCY, MetricGroup.CONNECTION_BASIC, MetricGroup.CONNECTION_ADVANCED]
    get_observability_instance().init(OTelConfig(metric_groups=groups))


def instrument_fastapi(app: Any) -> None:
    """Make a SERVER span of every request, so that a call to the API is one trace down to Redis."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(app, excluded_urls="live,ready,/metrics$")
