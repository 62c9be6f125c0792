"""For tests of applications: spans with fixed ids and a clock that ticks, and metrics read at once.

Example:
    >>> captured = Captured()
    >>> with captured.recorder().operation("context", Operation.GET) as event:
    ...     event.looked(Outcome.MISS, reason=MissReason.COLD)
    >>> [span.name for span in captured.spans()]
    ['cache.get context']
    >>> captured.value("cache.requests", **{"cache.outcome": "miss", "cache.category": "context"})
    1
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from telemetry.recorder import Recorder
from telemetry.vocabulary import MissReason, Operation, Outcome

__all__ = ["Captured", "CountingIds", "MissReason", "Operation", "Outcome", "TickingTime"]


class CountingIds(IdGenerator):
    """Trace and span ids that count from 1."""

    def __init__(self) -> None:
        self._traces, self._spans = itertools.count(1), itertools.count(1)
        self._lock = threading.Lock()

    def generate_trace_id(self) -> int:
        with self._lock:
            return next(self._traces)

    def generate_span_id(self) -> int:
        with self._lock:
            return next(self._spans)


class TickingTime:
    """A clock that moves by ``step_s`` seconds at each reading."""

    def __init__(self, step_s: float = 0.001) -> None:
        self._now, self._step = 0.0, step_s

    def __call__(self) -> float:
        self._now += self._step
        return self._now


class Captured:
    """Providers of one's own that keep what they are given.

    Args:
        step_s: seconds that the clock of durations moves at each reading; None takes the real one.
    """

    def __init__(self, step_s: float | None = 0.001) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracer_provider = TracerProvider(id_generator=CountingIds(), shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self._step = step_s

    def recorder(self) -> Recorder:
        """A recorder that reports here; hand it to a cache or client."""
        timing = {} if self._step is None else {"monotonic": TickingTime(self._step)}
        return Recorder(tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **timing)

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """Ended spans in the order of their ends; those called ``name`` only, when given."""
        ended = self._exporter.get_finished_spans()
        return [span for span in ended if name is None or span.name == name]

    def tree(self) -> list[str]:
        """The spans' names, indented below their parents, in the order of their starts."""
        ended = sorted(self.spans(), key=lambda span: span.start_time or 0)
        return list(_branches(ended, None, 0))

    def points(self, name: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        """The points of a metric by their sorted attributes: numbers, or the histogram's point."""
        data = self._reader.get_metrics_data()
        found: dict[tuple[tuple[str, Any], ...], Any] = {}
        for resource in data.resource_metrics if data is not None else ():
            for metric in (m for scope in resource.scope_metrics for m in scope.metrics if m.name == name):
                for point in metric.data.data_points:
                    key = tuple(sorted((point.attributes or {}).items()))
                    found[key] = getattr(point, "value", point)
        return found

    def value(self, name: str, **attributes: str) -> float:
        """The sum of a counter's points that carry all of ``attributes``."""
        wanted = attributes.items()
        return sum(value for key, value in self.points(name).items() if wanted <= dict(key).items())

    def clear(self) -> None:
        """Forget the spans; metrics go on."""
        self._exporter.clear()


def _branches(spans: Sequence[ReadableSpan], parent: int | None, depth: int) -> Iterator[str]:
    known = {span.context.span_id for span in spans if span.context is not None}
    for span in spans:
        above = span.parent.span_id if span.parent is not None and span.parent.span_id in known else None
        if above == parent and span.context is not None:
            yield "  " * depth + span.name
            yield from _branches(spans, span.context.span_id, depth + 1)
