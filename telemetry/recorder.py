"""The recorder: one context manager per operation that makes the span, the event and the numbers.

Nothing here raises into the caller: a fault of the telemetry is counted as dropped, and the
ledger has its event all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, TracerProvider

from telemetry import runs, schema, spans
from telemetry.events import OperationEvent
from telemetry.instruments import Instruments
from telemetry.ledger import Ledger
from telemetry.vocabulary import (
    GENERAL,
    BreakerState,
    ErrorType,
    FlightScope,
    MissReason,
    Operation,
    Outcome,
    WriteResult,
)


class Recorder:
    """Makes one event of every operation.

    Args:
        tracer_provider: the application's; None takes the global one, set now or later, or none at all.
        meter_provider: likewise.
        ledger: the accounts; None begins new ones.
        monotonic: the clock of durations, seconds.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        ledger: Ledger | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.tracer = trace.get_tracer(schema.SCOPE, tracer_provider=tracer_provider)
        self.instruments = Instruments(metrics.get_meter(schema.SCOPE, meter_provider=meter_provider), self.ledger)
        self.monotonic = monotonic

    def register_category(self, name: str) -> None:
        """Count a category under its own name and begin its series at zero."""
        self.ledger.register_category(name)

    def operation(
        self, category: str, operation: Operation, *, digest: str | None = None, batch_size: int | None = None
    ) -> _OperationScope:
        """Record what happens inside the ``with``; gives the event to fill in."""
        return _OperationScope(self, OperationEvent(category, operation, digest, batch_size))

    def compute(self, event: OperationEvent) -> _ComputeScope:
        """Record the caller's computation, under a span of its own."""
        return _ComputeScope(self, event)

    def wait(self, event: OperationEvent, scope: FlightScope, leader: SpanContext | None) -> _WaitScope:
        """Record the wait for another caller's computation; links to its span."""
        return _WaitScope(self, event, scope, leader)

    def refresh(self, category: str, cause: SpanContext | None) -> _SpanScope:
        """A root span for a background refresh, linked to what caused it."""
        return _SpanScope(self, schema.refresh_span(self.ledger.known(category)), cause, root=True)

    def current_span_context(self) -> SpanContext | None:
        """What others link to; None outside of a recording span."""
        found = trace.get_current_span().get_span_context()
        return found if found.is_valid else None

    def breaker(self, store: str, state: BreakerState) -> bool:
        """Note a breaker's state; True when it changed."""
        return self.ledger.breaker(store, state)

    def count_hit(self, category: str = GENERAL) -> None:
        """Count a hit of a cache of the application's own; makes no span."""
        self._count(category, lambda event: event.looked(Outcome.HIT))

    def count_miss(self, category: str = GENERAL) -> None:
        """Count a miss of a cache of the application's own."""
        self._count(category, lambda event: event.looked(Outcome.MISS, reason=MissReason.UNKNOWN))

    def count_set(self, category: str = GENERAL) -> None:
        """Count a write of a cache of the application's own."""
        self._count(category, lambda event: event.wrote(WriteResult.STORED), Operation.SET)

    def count_delete(self, category: str = GENERAL) -> None:
        """Count a delete of a cache of the application's own."""
        self._count(category, _one_delete, Operation.DELETE)

    def count_error(self, category: str = GENERAL) -> None:
        """Count an error of a cache of the application's own."""
        self._count(category, lambda event: event.fail(ErrorType.OTHER))

    def _count(
        self, category: str, fill: Callable[[OperationEvent], None], operation: Operation = Operation.GET
    ) -> None:
        event = OperationEvent(category, operation)
        fill(event)
        self.ledger.count(event)


def _one_delete(event: OperationEvent) -> None:
    event.deletes = 1


class _SpanScope:
    """A current span that ends with the ``with``; faults of the SDK stay inside."""

    __slots__ = ("_cause", "_name", "_recorder", "_root", "_token", "span")

    def __init__(self, recorder: Recorder, name: str, cause: SpanContext | None = None, *, root: bool = False) -> None:
        self._recorder, self._name, self._cause, self._root = recorder, name, cause, root
        self.span: Span = trace.INVALID_SPAN
        self._token: object = None

    def __enter__(self) -> Self:
        self.start({})
        return self

    def start(self, attributes: dict[str, object]) -> None:
        """Start the span and make it current."""
        try:
            links = [Link(self._cause)] if self._cause is not None else None
            parent = Context() if self._root else None
            self.span = self._recorder.tracer.start_span(self._name, parent, attributes=attributes, links=links)  # type: ignore[arg-type]
            self._token = context.attach(trace.set_span_in_context(self.span))
        except Exception:
            self._recorder.ledger.drop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Make the parent current again and end the span, whatever happens."""
        try:
            if self._token is not None:
                # not context.detach: a generator closed elsewhere may not log an error for it
                context._RUNTIME_CONTEXT.detach(self._token)  # type: ignore[arg-type]
        except Exception:
            self._token = None
        try:
            self.span.end()
        except Exception:
            self._recorder.ledger.drop()


class _OperationScope(_SpanScope):
    """One operation: span, duration, numbers."""

    __slots__ = ("_began", "_category", "event")

    def __init__(self, recorder: Recorder, event: OperationEvent) -> None:
        self._category = recorder.ledger.known(event.category)
        super().__init__(recorder, schema.operation_span(event.operation.value, self._category))
        self.event = event

    def __enter__(self) -> OperationEvent:  # type: ignore[override]
        self._began = self._recorder.monotonic()
        self.start(spans.start_attributes(self.event, self._category))  # type: ignore[arg-type]
        return self.event

    def end(self) -> None:
        recorder, event = self._recorder, self.event
        duration = recorder.monotonic() - self._began
        try:
            recorder.ledger.apply(event, duration)
            runs.add(event)
            recorder.instruments.record(event, self._category, duration)
            if self.span.is_recording():
                self.span.set_attributes(spans.end_attributes(event))
                if event.failed:
                    self.span.set_status(Status(StatusCode.ERROR))
        except Exception:
            recorder.ledger.drop()
        super().end()


class _ComputeScope(_SpanScope):
    """The caller's computation inside an operation."""

    __slots__ = ("_began", "_event")

    def __init__(self, recorder: Recorder, event: OperationEvent) -> None:
        super().__init__(recorder, schema.compute_span(recorder.ledger.known(event.category)))
        self._event = event

    def __enter__(self) -> Self:
        self.start({schema.CATEGORY: self._recorder.ledger.known(self._event.category)})
        self._began = self._recorder.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        seconds = self._recorder.monotonic() - self._began
        failure = None
        if isinstance(error, Exception):
            failure = ErrorType.TIMEOUT if isinstance(error, TimeoutError) else ErrorType.OTHER
        self._event.compute_s += seconds
        self._event.computed.append((seconds, failure))
        try:
            self._recorder.instruments.computed(self._recorder.ledger.known(self._event.category), seconds, failure)
            if failure is not None:
                self._event.failed = True
                # the class only: a message may hold what must not be in telemetry
                self.span.add_event("exception", {"exception.type": type(error).__qualname__})
                self.span.set_attribute(schema.ERROR_TYPE, failure.value)
                self.span.set_status(Status(StatusCode.ERROR))
        except Exception:
            self._recorder.ledger.drop()
        self.end()


class _WaitScope(_SpanScope):
    """A follower's wait inside an operation."""

    __slots__ = ("_began", "_event", "_scope")

    def __init__(
        self, recorder: Recorder, event: OperationEvent, scope: FlightScope, leader: SpanContext | None
    ) -> None:
        super().__init__(recorder, schema.wait_span(recorder.ledger.known(event.category)), leader)
        self._event, self._scope = event, scope

    def __enter__(self) -> Self:
        category = self._recorder.ledger.known(self._event.category)
        self.start({schema.CATEGORY: category, schema.FLIGHT_SCOPE: self._scope.value})
        self._began = self._recorder.monotonic()
        self._event.waits.append(self._scope)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._event.wait_s += self._recorder.monotonic() - self._began
        self.end()
