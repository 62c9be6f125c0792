"""The ``with`` blocks of the recorder: each is a current span that ends by itself.

No fault of a provider, sampler, processor or exporter leaves them: it is counted as dropped.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from telemetry import schema, tally
from telemetry.events import OperationEvent
from telemetry.kit import Kit
from telemetry.ledger import Ledger
from telemetry.steps import Part
from telemetry.tally import Level
from telemetry.vocabulary import ErrorType, FlightScope


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
        started_ns: int | None = None,
    ) -> None:
        """Start the span and make it current; ``parent`` None takes the current one's, ``started_ns`` None is now."""
        try:
            links = [Link(cause)] if cause is not None and cause.is_valid else None
            self.span = self._tracer.start_span(name, parent, attributes=attributes, links=links, start_time=started_ns)
            self._attached = trace.set_span_in_context(self.span, parent)
            self._token = context.attach(self._attached)
        except Exception:
            self.drop()

    def finish(self, kind: type[BaseException] | None) -> None:
        """Make the parent current again and end the span."""
        if self._token is not None:
            give_back(self._token, self._attached, abandoned=kind is GeneratorExit)
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


def give_back(token: contextvars.Token[Context], attached: Context | None, *, abandoned: bool) -> None:
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


class ComputeScope(SpanScope):
    """The caller's computation inside an operation."""

    __slots__ = ("_began", "_event", "_kit", "_level")

    def __init__(self, kit: Kit, event: OperationEvent) -> None:
        super().__init__(kit.tracer, kit.ledger)
        self._kit = kit
        self._event = event
        self._began = 0.0
        self._level: Level | None = None

    def __enter__(self) -> Self:
        category = self._kit.ledger.known(self._event.category)
        self.start(schema.compute_span(category), {schema.CATEGORY: category})
        self._level = _level(self._kit, Part.COMPUTE, category, self._event)
        self._began = self._kit.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        kit, event = self._kit, self._event
        seconds = max(0.0, kit.monotonic() - self._began)
        if self._level is not None:
            self._level.leave()
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

    __slots__ = ("_began", "_category", "_digest", "_event", "_kit", "_leader", "_level", "_scope")

    def __init__(
        self,
        kit: Kit,
        event: OperationEvent,
        scope: FlightScope,
        leader: SpanContext | None,
        digest: str | None = None,
    ) -> None:
        super().__init__(kit.tracer, kit.ledger)
        self._kit = kit
        self._event, self._scope, self._leader = event, scope, leader
        self._category, self._digest = kit.ledger.known(event.category), digest or event.digest
        self._began = 0.0
        self._level: Level | None = None

    def __enter__(self) -> Self:
        attributes = {schema.CATEGORY: self._category, schema.FLIGHT_SCOPE: self._scope.value}
        if self._digest is not None:
            attributes[schema.KEY_DIGEST] = self._digest
        self.start(schema.wait_span(self._category), attributes, self._leader)
        self._level = _level(self._kit, Part.WAIT, self._category, self._event)
        self._began = self._kit.monotonic()
        self._event.waited(self._scope)
        return self

    def follows(self, leader: SpanContext | None) -> None:
        """Link to the span that is waited for, once, now that it is known; None: it is not."""
        if leader is None or self._leader is not None:
            return
        self._leader = leader
        with self.guarded():
            self.span.add_link(leader)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        kit, seconds = self._kit, max(0.0, self._kit.monotonic() - self._began)
        if self._level is not None:
            self._level.leave()
        span = 0
        with self.guarded():
            context = self.span.get_span_context()
            span = context.span_id if context.trace_flags.sampled else 0
        self._event.waited_for(self._scope, seconds, span)
        with self.guarded():
            if kit.instruments.recorded:
                kit.instruments.waited(self._category, seconds, self._scope)
            if self._digest is not None:
                leader = self._leader
                ids = (0, 0) if leader is None else (leader.trace_id, leader.span_id)
                kit.waits.add(self._category, self._digest, self._scope, seconds, ids)
        self.finish(kind)


def _level(kit: Kit, part: Part, category: str, event: OperationEvent) -> Level | None:
    """A step of the run that this happens in, when there is one whose steps are kept."""
    runs = tally.running()
    return Level(part, category, runs, event) if runs and kit.runs is not None else None


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
