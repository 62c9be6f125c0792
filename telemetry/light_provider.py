"""A tracer provider whose spans of ours are light until its exporter's thread takes them.

It is the SDK's in all else. As soon as somebody adds a span processor of his own, who may want to see
spans start and end, spans are the SDK's from their start.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.semconv._incubating.attributes.otel_attributes import (
    OTEL_SPAN_PARENT_ORIGIN,
    OTEL_SPAN_SAMPLING_RESULT,
    OtelSpanSamplingResultValues,
)
from opentelemetry.semconv._incubating.metrics.otel_metrics import (
    create_otel_sdk_span_live,
    create_otel_sdk_span_started,
)
from opentelemetry.trace import Tracer as AnyTracer

from telemetry import schema
from telemetry.current import variable
from telemetry.light import LightSpan
from telemetry.light_tracer import LightTracer
from telemetry.redis_endings import SCOPE as REDIS_SCOPE
from telemetry.workshop import SpanCounts, SpanWorkshop

LIGHT_SCOPES = frozenset({schema.SCOPE, REDIS_SCOPE})
"""Instrumentation scopes whose spans are made for every hit."""

_log = logging.getLogger("glasscache")


class LightProvider(TracerProvider):
    """The SDK's tracer provider, for exporters behind a queue.

    Args:
        meter_provider: where the SDK tells of its spans and queues.
    """

    def __init__(self, resource: Resource, meter_provider: MeterProvider) -> None:
        self._limits = SpanLimits()
        super().__init__(
            resource=resource, shutdown_on_exit=False, span_limits=self._limits, meter_provider=meter_provider
        )
        self._meters = meter_provider
        self._variable = variable()
        self._light: dict[InstrumentationScope, LightTracer] = {}
        self._emitters: list[Callable[[Any], None]] = []
        self._seen = False
        told = os.environ.get(OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED, "").strip().lower() == "true"
        self._counts = _counted(meter_provider) if told else None

    def add_exporter(self, exporter: SpanExporter, queue: int, batch: int, *, takes_light: bool = False) -> None:
        """Export spans by a thread of its own.

        Args:
            queue: how many may wait; what has no room is dropped and counted by the SDK.
            batch: how many go out at once.
            takes_light: True for one that is given light spans as they are.
        """
        taking = exporter if takes_light else Thawing(exporter)
        processor = BatchSpanProcessor(taking, queue, None, batch, meter_provider=self._meters)
        super().add_span_processor(processor)
        # the processor's public method asks each span for its context, which a light one would have to make
        waiting = getattr(processor, "_batch_processor", None)
        self._emitters.append(waiting.emit if waiting is not None else processor.on_end)
        for tracer in self._light.values():
            tracer.workshop.emit = self._emitter()

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Show real spans to a processor from their start; spans are light no longer."""
        super().add_span_processor(span_processor)
        self._seen = True
        for tracer in self._light.values():
            tracer.workshop.light = False

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> AnyTracer:
        made = super().get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        scope = InstrumentationScope(instrumenting_module_name, instrumenting_library_version or "", schema_url)
        light = instrumenting_module_name in LIGHT_SCOPES and self._variable is not None and not attributes
        if not light or self._variable is None or not isinstance(made, Tracer):
            return made
        found = self._light.get(scope)
        if found is None:
            workshop = SpanWorkshop(made, scope, self._limits, self._variable, self._counts, self._emitter())
            workshop.light = not self._seen
            found = self._light.setdefault(scope, LightTracer(made, workshop))
        return found

    def _emitter(self) -> Callable[[LightSpan], None]:
        return self._emitters[0] if len(self._emitters) == 1 else self._emit

    def _emit(self, span: LightSpan) -> None:
        for emit in self._emitters:
            emit(span)


class Thawing(SpanExporter):
    """Makes light spans real, in the exporter's thread, before the exporter sees them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export(list(thawed(spans)))

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def thawed(spans: Sequence[Any]) -> Iterable[ReadableSpan]:
    """Real spans in place of light ones; without those that cannot be made real, which are logged."""
    for span in spans:
        if not isinstance(span, LightSpan):
            yield span
            continue
        try:
            yield span.readable()
        except Exception as error:
            # the rest of the batch goes out all the same
            _log.warning("a span could not be exported: %s", type(error).__name__)


def _counted(meter_provider: MeterProvider) -> SpanCounts:
    """Counts of light spans that are added to the SDK's own metrics whenever those are collected."""
    counts, meter = SpanCounts(), meter_provider.get_meter("opentelemetry-sdk")
    started, live = create_otel_sdk_span_started(meter), create_otel_sdk_span_live(meter)
    results = {
        True: OtelSpanSamplingResultValues.RECORD_AND_SAMPLE.value,
        False: OtelSpanSamplingResultValues.DROP.value,
    }

    def hand_over(_: CallbackOptions) -> Iterable[Observation]:
        ended, begun = counts.ended.taken(), 0
        for (origin, sampled), count in counts.started.items():
            if new := count.taken():
                labels = {OTEL_SPAN_PARENT_ORIGIN: origin, OTEL_SPAN_SAMPLING_RESULT: results[sampled]}
                started.add(new, labels)
                begun += new if sampled else 0
        if begun or ended:
            live.add(begun - ended, {OTEL_SPAN_SAMPLING_RESULT: results[True]})
        return ()

    # it has no points and so is never exported: its callback runs before counters are read
    meter.create_observable_counter("otel.sdk.span.handed_over", [hand_over])
    return counts
