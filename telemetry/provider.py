"""Sets the SDK up for our own programs, from the standard ``OTEL_*`` variables; the one place that sets a global.

As a library glasscache uses the API only. Under ``opentelemetry-instrument``, or an application's
own providers, ``setup`` leaves them in place and only switches Redis on. Call it once in each
worker, after the fork: a child exports the counts of a parent that has recorded before it.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from redis.observability import MetricGroup, OTelConfig, attributes, get_observability_instance

from telemetry import pools
from telemetry import redis as redis_instrumentation
from telemetry.joined import Joining, JoiningPeriodicReader, JoiningProvider
from telemetry.light_exporter import LightSpanExporter
from telemetry.light_provider import LightProvider
from telemetry.otel_settings import OtelSettings

EXIT_S = 0.8
"""How long the end of the process may take when a Collector does not answer."""

UNTRACED_URLS = r"/live$,/ready$,/cache/stream$,//[^/]+/metrics$"
"""Probes, scrapes and the page's endless stream make no spans; ``/cache/metrics`` does."""

_HANDLE = "_glasscache_telemetry"


class ScrapedReader(Joining, PrometheusMetricReader):
    """The Prometheus reader, read by scrapes alone.

    The exporter's own queues what a flush collects and shows it at the next scrape beside the newer
    figures: every series twice, which Prometheus refuses.
    """

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """A scrape is never stale: there is nothing to flush."""
        return True


@dataclass(slots=True)
class Telemetry:
    """The providers in force, to be scraped and, those that are ours, to be shut down.

    Args:
        tracer_provider: ours, or the one that was in place before.
        meter_provider: likewise.
        prometheus_registry: what ``scrape`` shows; None without a Prometheus reader.
        own: the providers that ``setup`` made.
    """

    tracer_provider: trace.TracerProvider
    meter_provider: metrics.MeterProvider
    prometheus_registry: CollectorRegistry | None = None
    own: tuple[TracerProvider | MeterProvider, ...] = ()
    _ended: threading.Event = field(default_factory=threading.Event)

    def scrape(self) -> tuple[bytes, str]:
        """The exposition in Prometheus's text format, and its content type; empty without a Prometheus reader."""
        registry = self.prometheus_registry
        return (b"" if registry is None else generate_latest(registry)), CONTENT_TYPE_LATEST

    def keep_spans(self) -> Callable[[], Sequence[ReadableSpan]]:
        """Keep every span that ends from now on in memory, for a program that shows them itself.

        Returns:
            A function that gives the spans so far; none under a tracer provider that is not the SDK's.
        """
        if not isinstance(self.tracer_provider, TracerProvider):
            return tuple
        kept = InMemorySpanExporter()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(kept))
        return kept.get_finished_spans

    def force_flush(self, seconds: float = EXIT_S) -> bool:
        """Export what is there.

        Args:
            seconds: how long that may take in all.

        Returns:
            False when time ran out.
        """
        return _within(seconds, [provider.force_flush for provider in self.own])

    def shutdown(self, seconds: float = EXIT_S) -> bool:
        """Export what is there and end; a second call does nothing.

        Spans go first: what became of them is told by the metrics, which go out last.

        Args:
            seconds: how long that may take in all; what is not out by then is lost.

        Returns:
            False when time ran out.
        """
        if self._ended.is_set():
            return True
        self._ended.set()
        atexit.unregister(self.shutdown)
        give_up = time.monotonic() + seconds
        tracing = [provider.shutdown for provider in self.own if isinstance(provider, TracerProvider)]
        metering = [provider.shutdown for provider in self.own if isinstance(provider, MeterProvider)]
        spans_out = _within(seconds / 2, tracing)
        return _within(give_up - time.monotonic(), metering) and spans_out


def setup(
    *,
    service_name: str = "glasscache",
    console: bool = False,
    prometheus: bool = True,
    otlp: bool | None = None,
    environ: Mapping[str, str] | None = None,
) -> Telemetry:
    """Set tracing and metrics up for one of our own programs, and instrument the Redis client.

    Args:
        service_name: unless ``OTEL_SERVICE_NAME`` or ``OTEL_RESOURCE_ATTRIBUTES`` has another.
        console: print spans and metrics too.
        prometheus: keep a registry for ``scrape``; ``OTEL_METRICS_EXPORTER=none`` overrules it.
        otlp: True exports over HTTP, to localhost where no endpoint is named; False never does;
            None does so where ``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_*_EXPORTER`` asks for it.
        environ: the variables that we read; None takes the process's.

    Returns:
        The handle. A second call returns the first one's.

    Raises:
        ValueError: a variable that a provider of ours would be made from is wrong; one line names it, the fault
            and an example.

    Example:
        >>> handle = setup(environ={"OTEL_SDK_DISABLED": "true"})
        >>> handle.scrape()[0]
        b''
    """
    env = os.environ if environ is None else environ
    settings = OtelSettings.from_mapping(
        env, service_name=service_name, console=console, prometheus=prometheus, otlp=otlp
    )
    if settings.disabled:
        return Telemetry(trace.NoOpTracerProvider(), metrics.NoOpMeterProvider())
    os.environ.setdefault(redis_instrumentation.OPT_IN, "database,http")
    os.environ.setdefault("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    earlier = getattr(metrics.get_meter_provider(), _HANDLE, None)
    if isinstance(earlier, Telemetry):
        return earlier
    telemetry = _install(settings)
    if settings.redis:
        redis_instrumentation.instrument(telemetry.tracer_provider)
    _watch_pools()
    return telemetry


def _install(settings: OtelSettings) -> Telemetry:
    """Build the providers that nobody has set yet, and set them."""
    meter_provider, tracer_provider = metrics.get_meter_provider(), trace.get_tracer_provider()
    # what an application scrapes of its own providers is the default registry
    registry: CollectorRegistry | None = REGISTRY
    own: list[TracerProvider | MeterProvider] = []
    resource = Resource.create(dict(settings.resource))
    # the API has no public name for its meter provider that stands in until one is set
    meters_free = type(meter_provider).__name__ == "_ProxyMeterProvider"
    traces_free = isinstance(tracer_provider, trace.ProxyTracerProvider)
    # what others set up reads the variables in its own way
    fault = (traces_free and settings.traces.fault) or (meters_free and settings.metrics.fault)
    if fault:
        raise ValueError(fault)
    if meters_free:
        registry = CollectorRegistry() if settings.prometheus else None
        meter_provider = build_meter_provider(settings, resource, registry)
        metrics.set_meter_provider(meter_provider)
        own.append(meter_provider)
    if traces_free:
        tracer_provider = build_tracer_provider(settings, resource, meter_provider)
        trace.set_tracer_provider(tracer_provider)
        own.append(tracer_provider)
    telemetry = Telemetry(tracer_provider, meter_provider, registry, tuple(own))
    if own:
        atexit.register(telemetry.shutdown)
    if isinstance(own[0] if own else None, MeterProvider):
        setattr(meter_provider, _HANDLE, telemetry)
    return telemetry


def build_meter_provider(
    settings: OtelSettings, resource: Resource, registry: CollectorRegistry | None
) -> MeterProvider:
    """A meter provider with the readers that the settings name; it sets no global."""
    readers: list[MetricReader] = []
    if registry is not None:
        # without scope labels the series are those that OTLP makes in Prometheus
        readers.append(ScrapedReader(registry=registry, scope_info_enabled=False))
    signal = settings.metrics
    if "otlp" in signal.exporters:
        exporter = OTLPMetricExporter(endpoint=signal.endpoint, timeout=signal.timeout_s)
        readers.append(JoiningPeriodicReader(exporter, settings.interval_ms, signal.timeout_s * 1000))
    if "console" in signal.exporters:
        readers.append(JoiningPeriodicReader(ConsoleMetricExporter(), settings.interval_ms))
    return JoiningProvider(readers, resource, _views())


def build_tracer_provider(
    settings: OtelSettings, resource: Resource, meter_provider: metrics.MeterProvider
) -> LightProvider:
    """A tracer provider with the exporters that the settings name, each behind a queue; it sets no global."""
    provider = LightProvider(resource, meter_provider)
    signal = settings.traces
    if "otlp" in signal.exporters:
        exporter = LightSpanExporter(signal.endpoint, signal.timeout_s, meter_provider)
        provider.add_exporter(exporter, settings.queue, settings.batch, takes_light=True)
    if "console" in signal.exporters:
        provider.add_exporter(ConsoleSpanExporter(), settings.queue, settings.batch)
    return provider


def _views() -> list[View]:
    """redis-py names each pool by a random word: without these views every restart makes new series."""
    names = {value for name, value in vars(attributes).items() if name.isupper() and isinstance(value, str)}
    keep = names - {attributes.DB_CLIENT_CONNECTION_POOL_NAME, attributes.DB_CLIENT_CONNECTION_NAME}
    patterns = ("db.client.connection.*", "redis.client.*")
    return [View(meter_name="redis-py", instrument_name=pattern, attribute_keys=keep) for pattern in patterns]


def _watch_pools() -> None:
    """Switch redis-py's own pool and resilience metrics on; they go to the global meter provider."""
    observability = get_observability_instance()
    if not observability.is_enabled():
        groups = [MetricGroup.RESILIENCY, MetricGroup.CONNECTION_BASIC, MetricGroup.CONNECTION_ADVANCED]
        observability.init(OTelConfig(metric_groups=groups))
        pools.level_at_collection(metrics.get_meter("redis-py"))


def _within(seconds: float, calls: Sequence[Callable[[], Any]]) -> bool:
    """Make all calls at once; True when all have returned in time. Those that have not end with the process."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    give_up = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def instrument_fastapi(app: Any, telemetry: Telemetry | None = None) -> None:
    """Make a SERVER span of every request, so that a call to the API is one trace down to Redis.

    Args:
        app: a FastAPI application.
        telemetry: whose providers to use; None takes the global ones.
    """
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    os.environ.setdefault(redis_instrumentation.OPT_IN, "database,http")
    FastAPIInstrumentor.instrument_app(
        app,
        server_request_hook=_without_query,
        tracer_provider=telemetry.tracer_provider if telemetry else None,
        meter_provider=telemetry.meter_provider if telemetry else None,
        excluded_urls=UNTRACED_URLS,
        exclude_spans=["receive", "send"],
    )


def _without_query(span: trace.Span, scope: dict[str, Any]) -> None:
    """A query may hold a key or a pattern: only the path stays on the span."""
    if span.is_recording():
        path = str(scope.get("path", ""))
        for name in {"url.query", "url.full", "http.url", "http.target"} & dict(getattr(span, "attributes", {})).keys():
            span.set_attribute(name, "" if name == "url.query" else path)
