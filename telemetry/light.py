"""Spans that cost little: a few fields until the exporter's thread writes them, or makes real spans of them.

A light span is always recorded and sampled. It has the whole of the API: who looks at it closer, or
writes to it, is given the SDK's own span with the same ids, and from then on that is the span.
OpenTelemetry API only; who makes real spans is handed in.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from time import time_ns
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes, AttributeValue

_INTERNAL = SpanKind.INTERNAL

Ids = tuple[int, int, int, TraceState | None]
"""Of a sampled span: trace id, span id, flags and state."""


class Told(NamedTuple):
    """What a light span says, for the one who makes a real span of it."""

    name: str
    attributes: Mapping[str, AttributeValue]
    status: Status | None = None
    events: Sequence[tuple[str, Mapping[str, AttributeValue]]] = ()
    lasting: bool = False
    """True of one that many spans say: it never changes, and has no events."""


class Workshop(Protocol):
    """What the light spans of one tracer need of the SDK."""

    light: bool
    """False as soon as somebody wants to see real spans start and end."""

    variable: ContextVar[Context]
    """What holds the current context."""

    def ids(self, parent: Any) -> Ids | NonRecordingSpan | None:
        """Decide on the sampling of a new span, and count it as started.

        Args:
            parent: the current span; None when there is none.

        Returns:
            Trace id, span id, flags and state of one that is sampled; a span that records nothing, to be made
            current; or None when that is so already.

        Raises:
            Undecided: the sampler has to see the span's name and attributes.
        """

    def leaf(self, parent: Any) -> Ids | NonRecordingSpan | None:
        """As ``ids``, of a span under which no code of the application runs.

        Where no root is ever sampled it needs no ids: nobody could pass them on.
        """

    def made(self, span: LightSpan) -> Span:
        """The SDK's span in its place, started or ended as it is."""

    def readable(self, span: LightSpan) -> Any:
        """What exporters are given of one that has ended."""

    def unlimited(self, span: LightSpan, told: Told) -> bool:
        """True when one that has ended is exported as it was told: without links, and no limit changes it."""

    emit: Callable[[LightSpan], None]
    """Hands one that has ended to the exporters."""

    ended: Callable[[], object]
    """Counts one that has ended."""


class Undecided(Exception):
    """The ordinary way has to be taken; nothing was counted."""


class LightSpan(Span):
    """A span of which only ids and times are there.

    Args:
        ids: trace id, span id, flags and state.
        parent: the span that was current before; None, or one that is not valid, for a root.
    """

    light = True
    """What tells it from other spans; it is sampled."""

    def __init__(
        self,
        workshop: Workshop,
        ids: Ids,
        parent: Any,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
    ) -> None:
        self.workshop, self.ids, self.parent_span = workshop, ids, parent
        if kind is not _INTERNAL:
            self.kind = kind
        if links:
            self.links = links
        self.started_ns = time_ns()

    # in front of __getattr__, and values until somebody sets others
    kind = SpanKind.INTERNAL
    links: Sequence[Link] = ()
    ended_ns = 0
    _context: SpanContext | None = None
    _real: Span | None = None

    @abstractmethod
    def told(self) -> Told:
        """What it says now: while it goes on what was known at its start, afterwards all."""

    def close(self, end_ns: int) -> bool:
        """End it the cheap way; False when it has to be ended as a real span."""
        workshop = self.workshop
        if self._real is not None or self.ended_ns or not workshop.light:
            return False
        self.ended_ns = end_ns
        workshop.emit(self)
        workshop.ended()
        return True

    def real(self) -> Span:
        """The SDK's span in its place."""
        return self.workshop.made(self) if self._real is None else self._real

    def readable(self) -> Any:
        """What exporters are given of it."""
        return self.workshop.readable(self)

    def replaced_by(self, made: Span) -> Span:
        """Be ``made`` from now on, unless another thread was first; gives what it is now."""
        now: Span = vars(self).setdefault("_real", made)
        return now

    def get_span_context(self) -> SpanContext:
        made = self._context
        if made is None:
            trace_id, span_id, flags, state = self.ids
            made = self._context = SpanContext(trace_id, span_id, False, TraceFlags(flags), state)
        return made

    @property
    def context(self) -> SpanContext:
        """As the SDK's span has it."""
        return self.get_span_context()

    def is_recording(self) -> bool:
        return not self.ended_ns if self._real is None else self._real.is_recording()

    def end(self, end_time: int | None = None) -> None:
        if not self.close(time_ns() if end_time is None else end_time):
            self.real().end(end_time)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.real().set_attributes(attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self.real().set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self.real().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        self.real().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        self.real().update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self.real().set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self.real().record_exception(exception, attributes, timestamp, escaped)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.real().__exit__(kind, error, where)

    def __getattr__(self, name: str) -> Any:
        # what the API does not know: name, attributes, events, resource, scope and all else of the SDK's span
        return getattr(self.real(), name)
