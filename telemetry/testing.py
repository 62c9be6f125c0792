"""For tests of applications: spans with fixed ids and a clock that ticks, and metrics read at once.

It sets no global: hand ``captured.recorder()`` to a cache or client, or the providers to whatever
takes them. Imports the SDK, which comes with ``glasscache[testing]``.

Example:
    >>> captured = capture()
    >>> with captured.recorder().operation("context", Operation.GET) as event:
    ...     event.looked(Outcome.MISS, reason=MissReason.COLD)
    >>> captured.tree()
    ['cache.get context']
    >>> captured.value("cache.requests", cache_outcome="miss", cache_category="context")
    1
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from telemetry.recorder import Recorder
from telemetry.vocabulary import MissReason, Operation, Outcome

__all__ = [
    "Captured",
    "CapturedMetrics",
    "CapturedSpans",
    "CountingIds",
    "MissReason",
    "Operation",
    "Outcome",
    "TickingTime",
    "capture",
]

Points = dict[tuple[tuple[str, Any], ...], Any]


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
        self._ticks, self._step = itertools.count(1), step_s

    def __call__(self) -> float:
        return next(self._ticks) * self._step


class CapturedSpans(SpanProcessor):
    """Ended spans in the order of their ends; calling it gives them as a list, by name when one is given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: list[ReadableSpan] = []
        self._times: dict[int, list[int]] = {}
        self._ticks = itertools.count()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note when it started, in ticks."""
        with self._lock:
            self._times[span.get_span_context().span_id] = [next(self._ticks)]

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it, and note when it ended."""
        with self._lock:
            self._times.setdefault(_id(span), [0]).append(next(self._ticks))
            self._ended.append(span)

    def __call__(self, name: str | None = None) -> list[ReadableSpan]:
        with self._lock:
            return [span for span in self._ended if name is None or span.name == name]

    def by_name(self, name: str) -> ReadableSpan:
        """The one span of that name.

        Raises:
            AssertionError: there is none, or more than one; the message names all there are.
        """
        found = self(name)
        assert len(found) == 1, f"{len(found)} spans are called {name!r} among {[span.name for span in self()]}"
        return found[0]

    def attributes(self, name: str) -> dict[str, Any]:
        """Attributes of the one span of that name."""
        return dict(self.by_name(name).attributes or {})

    def tree(self) -> list[str]:
        """The spans' names, indented by two blanks below their parents, in the order of their starts."""
        return list(_branches(self._by_start(), None, 0))

    def as_dicts(self) -> list[dict[str, Any]]:
        """The spans as plain values, in the order of their starts, to be compared as a whole.

        Ids count from 1 and times are ticks, one for each start and end, so that a run repeats exactly.
        """
        return [self._as_dict(span) for span in self._by_start()]

    def clear(self) -> None:
        """Forget the spans."""
        with self._lock:
            self._ended.clear()

    def _by_start(self) -> list[ReadableSpan]:
        return sorted(self(), key=lambda span: self._times[_id(span)][0])

    def _as_dict(self, span: ReadableSpan) -> dict[str, Any]:
        start, end = self._times[_id(span)]
        return {
            "name": span.name,
            "kind": span.kind.name,
            "trace": span.context.trace_id if span.context else 0,
            "id": _id(span),
            "parent": span.parent.span_id if span.parent else None,
            "start": start,
            "end": end,
            "status": span.status.status_code.name,
            "attributes": dict(span.attributes or {}),
            "events": [(event.name, dict(event.attributes or {})) for event in span.events],
            "links": [link.context.span_id for link in span.links],
        }


class CapturedMetrics:
    """A metric's points as they are now; calling it gives them by their sorted attributes."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader

    def __call__(self, name: str) -> Points:
        return self._read().get(name, {})

    def names(self) -> list[str]:
        """Names of all metrics that have points, sorted."""
        return sorted(self._read())

    def value(self, name: str, **attributes: str) -> float:
        """The sum of a counter's or gauge's points that carry all of ``attributes``.

        Args:
            name: of the metric.
            attributes: with ``_`` or ``.`` between their words: ``cache_outcome="hit"``.

        Returns:
            0 when no point does.
        """
        found: float = sum(self._matching(name, attributes))
        return found

    def count(self, name: str, **attributes: str) -> int:
        """How many measurements a histogram has had, likewise."""
        points = self._matching(name, attributes)
        return sum(point.count for point in points if isinstance(point, HistogramDataPoint))

    def total(self, name: str, **attributes: str) -> float:
        """The sum of a histogram's measurements, likewise."""
        points = self._matching(name, attributes)
        return math.fsum(point.sum for point in points if isinstance(point, HistogramDataPoint))

    def _matching(self, name: str, attributes: dict[str, str]) -> list[Any]:
        wanted = {_plain(key): value for key, value in attributes.items()}.items()
        return [point for key, point in self(name).items() if wanted <= {_plain(k): v for k, v in key}.items()]

    def _read(self) -> dict[str, Points]:
        found: dict[str, Points] = {}
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                points = found.setdefault(metric.name, {})
                for point in metric.data.data_points:
                    points[tuple(sorted((point.attributes or {}).items()))] = getattr(point, "value", point)
        return found


class Captured:
    """Providers of one's own that keep what they are given.

    Args:
        step_s: seconds that the clock of durations moves at each reading; None takes the real one.
    """

    def __init__(self, step_s: float | None = 0.001) -> None:
        reader, resource = InMemoryMetricReader(), Resource({"service.name": "test"})
        self.spans, self.metrics = CapturedSpans(), CapturedMetrics(reader)
        self.tracer_provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=CountingIds())
        self.tracer_provider.add_span_processor(self.spans)
        self.meter_provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._step = step_s

    def recorder(self) -> Recorder:
        """A recorder that reports here; hand it to a cache or client."""
        return Recorder(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            monotonic=time.perf_counter if self._step is None else TickingTime(self._step),
        )

    def tree(self) -> list[str]:
        """Short for ``spans.tree()``."""
        return self.spans.tree()

    def points(self, name: str) -> Points:
        """The points of a metric by their sorted attributes: numbers, or the histogram's point."""
        return self.metrics(name)

    def value(self, name: str, **attributes: str) -> float:
        """Short for ``metrics.value(...)``."""
        return self.metrics.value(name, **attributes)

    def clear(self) -> None:
        """Forget the spans; metrics go on."""
        self.spans.clear()


def capture(step_s: float | None = 0.001) -> Captured:
    """Providers that keep spans and metrics for a test; the argument is that of ``Captured``."""
    return Captured(step_s)


def _id(span: ReadableSpan) -> int:
    return span.context.span_id if span.context is not None else 0


def _plain(attribute: str) -> str:
    return attribute.replace(".", "_")


def _branches(spans: Sequence[ReadableSpan], parent: int | None, depth: int) -> Iterator[str]:
    known = {_id(span) for span in spans}
    for span in spans:
        above = span.parent.span_id if span.parent is not None and span.parent.span_id in known else None
        if above == parent:
            yield "  " * depth + span.name
            yield from _branches(spans, _id(span), depth + 1)
