"""The ``with`` blocks of the recorder: each is a current span that ends by itself.

Written as classes because they are on the path of every hit. No fault of a provider, sampler,
processor or exporter leaves them: it is counted as dropped.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Mapping
from time import time_ns
from types import TracebackType
from typing import Any, Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NoOpTracer,
    ProxyTracer,
    Span,
    SpanContext,
    Status,
    StatusCode,
    Tracer,
)
from opentelemetry.util.types import AttributeValue

from telemetry import schema, spans, tally
from telemetry.accounts import Account
from telemetry.buckets import Ids
from telemetry.current import KEY
from telemetry.events import OperationEvent
from telemetry.instruments import Instruments
from telemetry.ledger import Ledger
from telemetry.light import LightSpan, LightTracer, Told, Undecided, Workshop
from telemetry.tally import Tally
from telemetry.vocabulary import ErrorType, FlightScope


class Kit:
    """What the scopes of one recorder share.

    Args:
        tracer: of the application's provider; one that stands in until a provider is set is followed.
        monotonic: the clock of durations, seconds.
    """

    __slots__ = ("instruments", "ledger", "light", "monotonic", "pending", "silent", "tracer")

    def __init__(
        self, tracer: Tracer, instruments: Instruments, ledger: Ledger, monotonic: Callable[[], float]
    ) -> None:
        self.tracer, self.instruments, self.ledger, self.monotonic = tracer, instruments, ledger, monotonic
        self.silent, self.light = True, _NO_WORKSHOP
        """``silent``: nothing is traced. ``light``: makes spans that cost little, where that can be."""
        self.pending = True
        """True while a provider may yet be set."""
        self.settle()

    def settle(self) -> None:
        """Find out what records; asked again for each operation as long as that is open."""
        tracer = self.tracer
        # the API has no public name for whether a provider is set; asking for it may read the environment
        unset = isinstance(tracer, ProxyTracer) and getattr(trace, "_TRACER_PROVIDER", self) is None
        if unset and self.instruments.waits():
            return
        self.instruments.settle()
        if unset:
            return
        if isinstance(tracer, ProxyTracer):
            tracer = trace.get_tracer(schema.SCOPE)
        self.silent = isinstance(tracer, NoOpTracer)
        if isinstance(tracer, LightTracer):
            self.light = tracer.workshop
        self.pending = self.instruments.pending


class _NoWorkshop:
    """Stands where spans are not light."""

    light = False


_NO_WORKSHOP: Any = _NoWorkshop()


class SpanScope:
    """A current span.

    Args:
        tracer: makes it.
        ledger: where faults of the telemetry are counted; None counts them nowhere.
    """

    __slots__ = ("_attached", "_ledger", "_token", "_tracer", "span")

    def __init__(self, tracer: Tracer, ledger: Ledger | None = None) -> None:
        self._tracer, self._ledger = tracer, ledger
        self.span: Span = trace.INVALID_SPAN
        self._token: contextvars.Token[Context] | None = None
        self._attached: Context | None = None

    def start(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue],
        cause: SpanContext | None = None,
        parent: Context | None = None,
    ) -> None:
        """Start the span and make it current; ``parent`` None takes the current one's."""
        try:
            links = [Link(cause)] if cause is not None and cause.is_valid else None
            self.span = self._tracer.start_span(name, parent, attributes=attributes, links=links)
            self._attached = trace.set_span_in_context(self.span, parent)
            self._token = context.attach(self._attached)
        except Exception:
            self.drop()

    def finish(self, kind: type[BaseException] | None) -> None:
        """Make the parent current again and end the span."""
        if self._token is not None:
            _detach(self._token, self._attached, abandoned=kind is GeneratorExit)
            self._token = None
        try:
            self.span.end()
        except Exception:
            self.drop()

    def drop(self) -> None:
        """Count a fault of the telemetry."""
        if self._ledger is not None:
            self._ledger.drop()

    def guarded(self) -> _Guard:
        """A ``with`` that lets no fault of the telemetry out."""
        return _Guard(self)


class _Guard:
    """Swallows an ``Exception`` and counts it as dropped."""

    __slots__ = ("_scope",)

    def __init__(self, scope: SpanScope) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        self._scope.drop()
        return True


def _detach(token: contextvars.Token[Context], attached: Context | None, *, abandoned: bool) -> None:
    """Give the context back without a word when this is no longer the context it was taken in.

    ``context.detach`` would log an error; an abandoned generator that is closed later may stand
    between spans that are not its own, and leaves those alone.
    """
    try:
        if abandoned and context.get_current() is not attached:
            return
        if isinstance(token, contextvars.Token):
            token.var.reset(token)
        else:
            context.detach(token)
    except Exception:
        return


class RefreshScope(SpanScope):
    """The root span of a background refresh."""

    __slots__ = ("_category", "_cause", "_kit")

    def __init__(self, kit: Kit, category: str, cause: SpanContext | None) -> None:
        super().__init__(kit.tracer, kit.ledger)
        self._kit = kit
        self._category, self._cause = kit.ledger.known(category), cause

    def __enter__(self) -> Self:
        name = schema.refresh_span(self._category)
        self.start(name, {schema.CATEGORY: self._category}, self._cause, Context())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.finish(kind)


class OperationSpan(LightSpan):
    """The span of an operation; what it says is made of the event, when the exporter asks."""

    account: Account
    event: OperationEvent
    kept: Told | None = None

    def told(self) -> Told:
        if self.kept is not None:
            return self.kept
        attributes = spans.start_attributes(self.event, self.account.category.name)
        return self.whole(attributes) if self.ended_ns else Told(self.account.span_name, attributes)

    def whole(self, attributes: dict[str, AttributeValue]) -> Told:
        """What it says at the end, beside what was known at its start."""
        attributes |= spans.end_attributes(self.event)
        return Told(self.account.span_name, attributes, _FAILED if self.event.failed else None)

    def keep(self) -> None:
        """Make now what it will say, and let go of an event that may be as long as its batch."""
        self.kept = self.whole(spans.start_attributes(self.event, self.account.category.name))
        del self.event


_FAILED = Status(StatusCode.ERROR)
_UNTRACED = trace.INVALID_SPAN


class OperationScope(SpanScope):
    """One operation: span, duration, numbers."""

    __slots__ = ("_account", "_began", "_kit", "event")

    def __init__(self, kit: Kit, event: OperationEvent) -> None:
        # not the class above's: this is on the path of every hit
        self._kit, self.event = kit, event
        self._account = kit.ledger.account(event.category, event.operation)
        self._token = None

    def __enter__(self) -> OperationEvent:
        kit, event = self._kit, self.event
        self._began = kit.monotonic()
        if kit.pending:
            kit.settle()
        self.span = _UNTRACED
        if kit.silent:
            return event
        if not kit.light.light or not self._start_light(kit.light):
            self._tracer, self._ledger = kit.tracer, kit.ledger
            account = self._account
            self.start(account.span_name, spans.start_attributes(event, account.category.name))
        return event

    def _start_light(self, workshop: Workshop) -> bool:
        try:
            variable = workshop.variable
            current = variable.get()
            parent = current.get(KEY)
            ids = workshop.ids(parent)
            if ids is None:
                return True
            if isinstance(ids, tuple):
                self.span = span = OperationSpan(workshop, ids, parent)
                span.account, span.event = self._account, self.event
                attached = Context({**current, KEY: span})
            else:
                attached = Context({**current, KEY: ids})
            self._attached = attached
            self._token = variable.set(attached)
        except Undecided:
            return False
        except Exception:
            self.drop()
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        kit, event, span = self._kit, self.event, self.span
        duration_s = kit.monotonic() - self._began
        instruments, ids, end_ns, light = kit.instruments, None, 0, None
        if span is not _UNTRACED:
            # not isinstance: the spans' classes are abstract, and asking those takes long
            if type(span) is OperationSpan:
                light, end_ns = span, time_ns()
                if instruments.exemplars:
                    ids = (end_ns, *light.ids[:2])
            elif instruments.exemplars:
                ids = self._ids()
        kit.ledger.apply(event, duration_s, self._account, ids)
        runs = tally.running()
        if runs or instruments.recorded:
            self._record(duration_s, runs)
        if span is not _UNTRACED and (light is None or not self._closed(light, end_ns)):
            self._end_real(span, kind)
            return
        token, self._token = self._token, None
        if token is None:
            return
        if kind is not None or light is None:
            _detach(token, self._attached, abandoned=kind is GeneratorExit)
            return
        try:
            token.var.reset(token)
        except (ValueError, RuntimeError):
            # another context than the one it was taken in
            return

    def _record(self, duration_s: float, runs: Iterable[Tally]) -> None:
        """Tell those who do not read the ledger."""
        try:
            for sums in runs:
                sums.add(self.event)
            if self._kit.instruments.recorded:
                self._kit.instruments.record(self.event, self._account.category.name, duration_s)
        except Exception:
            self.drop()

    def _end_real(self, span: Span, kind: type[BaseException] | None) -> None:
        try:
            if span.is_recording():
                span.set_attributes(spans.end_attributes(self.event))
                if self.event.failed:
                    span.set_status(_FAILED)
        except Exception:
            self.drop()
        self.finish(kind)

    def _closed(self, span: OperationSpan, end_ns: int) -> bool:
        """End a light span; False when it is to be ended the ordinary way."""
        try:
            if self.event.batch_size is not None:
                # before the exporter has it
                span.keep()
            return span.close(end_ns)
        except Exception:
            self.drop()
            return True

    def _ids(self) -> Ids | None:
        """Of a span that is not light, when it is sampled."""
        try:
            context = self.span.get_span_context()
            return (time_ns(), context.trace_id, context.span_id) if context.trace_flags.sampled else None
        except Exception:
            self.drop()
            return None

    def drop(self) -> None:
        """Count a fault of the telemetry."""
        self._kit.ledger.drop()


class ComputeScope(SpanScope):
    """The caller's computation inside an operation."""

    __slots__ = ("_began", "_event", "_kit")

    def __init__(self, kit: Kit, event: OperationEvent) -> None:
        super().__init__(kit.tracer, kit.ledger)
        self._kit = kit
        self._event = event
        self._began = 0.0

    def __enter__(self) -> Self:
        category = self._kit.ledger.known(self._event.category)
        self.start(schema.compute_span(category), {schema.CATEGORY: category})
        self._began = self._kit.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        kit, event = self._kit, self._event
        seconds = max(0.0, kit.monotonic() - self._began)
        failure = failure_of(error)
        event.computed_in(seconds, failure)
        with self.guarded():
            if kit.instruments.recorded:
                kit.instruments.computed(kit.ledger.known(event.category), seconds, failure)
            context = self.span.get_span_context()
            event.compute_span = context.span_id if context.trace_flags.sampled else 0
        with self.guarded():
            if isinstance(error, Exception):
                mark_failed(self.span, error)
        self.finish(kind)


class WaitScope(SpanScope):
    """A follower's wait inside an operation."""

    __slots__ = ("_began", "_event", "_kit", "_leader", "_scope")

    def __init__(self, kit: Kit, event: OperationEvent, scope: FlightScope, leader: SpanContext | None) -> None:
        super().__init__(kit.tracer, kit.ledger)
        self._kit = kit
        self._event, self._scope, self._leader = event, scope, leader
        self._began = 0.0

    def __enter__(self) -> Self:
        category = self._kit.ledger.known(self._event.category)
        attributes = {schema.CATEGORY: category, schema.FLIGHT_SCOPE: self._scope.value}
        self.start(schema.wait_span(category), attributes, self._leader)
        self._began = self._kit.monotonic()
        self._event.waited(self._scope)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._event.wait_s += max(0.0, self._kit.monotonic() - self._began)
        self.finish(kind)


def failure_of(error: BaseException | None) -> ErrorType | None:
    """The word for a computation's error; a cancellation is none."""
    if not isinstance(error, Exception):
        return None
    return ErrorType.TIMEOUT if isinstance(error, TimeoutError) else ErrorType.OTHER


def mark_failed(span: Span, error: Exception) -> None:
    """Say on a span that the caller's computation failed: the error's class, never its text."""
    if not span.is_recording():
        return
    failure = failure_of(error) or ErrorType.OTHER
    span.add_event("exception", {"exception.type": f"{type(error).__module__}.{type(error).__qualname__}"})
    span.set_attribute(schema.ERROR_TYPE, failure.value)
    span.set_status(Status(StatusCode.ERROR))
