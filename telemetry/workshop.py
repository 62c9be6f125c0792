"""What light spans need of the SDK: a decision on sampling, ids, and real spans in the end.

Sampling, ids, flags, limits and the SDK's own metrics are those that its tracer would have given; a
sampler that is none of the SDK's plain ones is asked by that tracer itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from math import inf
from random import getrandbits
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, Tracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.trace import Span as AnySpan

from telemetry.light import Ids, LightSpan, Told, Undecided
from telemetry.light_sampling import always, never, rules

SAMPLED, RANDOM = int(TraceFlags.SAMPLED), int(TraceFlags.RANDOM_TRACE_ID)

_UNSET = Status(StatusCode.UNSET)


class Count:
    """A number that many threads add one to without a lock; one reader takes what was added since it asked last."""

    __slots__ = ("_read", "_ticks", "add")

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self.add: Callable[[], int] = self._ticks.__next__
        self._read = 0

    def taken(self) -> int:
        """How often one was added since this was asked last."""
        # asking adds one too
        now = next(self._ticks)
        since, self._read = now - self._read, now + 1
        return since


class SpanCounts:
    """Of the SDK's own metrics, those of spans that were light when they started."""

    __slots__ = ("ended", "started")

    def __init__(self) -> None:
        origins = ("none", "local", "remote")
        self.started = {(origin, sampled): Count() for origin in origins for sampled in (False, True)}
        self.ended = Count()


class MadeSpan(Span):
    """The SDK's span in place of a light one."""

    def begin(self, light: LightSpan, told: Told) -> None:
        """Be as far as the light one is."""
        if not light.ended_ns:
            self.start(light.started_ns)
            return
        self._start_time, self._status = light.started_ns, told.status or _UNSET
        for name, attributes in told.events:
            self.add_event(name, attributes, light.ended_ns)
        self._end_time = light.ended_ns

    def readable(self) -> ReadableSpan:
        """What exporters are given."""
        return self._readable_span()


class SpanWorkshop:
    """What the light spans of one tracer need.

    Args:
        tracer: the SDK's.
        scope: its instrumentation scope.
        limits: of its provider.
        variable: what holds the current context.
        counts: where spans are counted; None when the SDK's own metrics are off.
        emit: takes an ended light span.
    """

    def __init__(
        self,
        tracer: Tracer,
        scope: InstrumentationScope,
        limits: SpanLimits,
        variable: ContextVar[Context],
        counts: SpanCounts | None,
        emit: Callable[[LightSpan], None],
    ) -> None:
        self.light = True
        self.variable = variable
        self._tracer, self._scope, self._limits, self._counts, self.emit = tracer, scope, limits, counts, emit
        self._sampler = tracer.sampler
        self._follows, self._decides = rules(tracer.sampler)
        most = (limits.max_span_attributes, limits.max_events, limits.max_event_attributes)
        self._most = tuple([inf if limit is None else limit for limit in most])
        self._cut = limits.max_span_attribute_length is not None or limits.max_attribute_length is not None
        self._begins, self._never = self._decides is always, self._decides is never
        self._root_flags = SAMPLED | (RANDOM if tracer.id_generator.is_trace_id_random() else 0)
        self._new_id, self._new_trace = tracer.id_generator.generate_span_id, tracer.id_generator.generate_trace_id
        if type(tracer.id_generator) is RandomIdGenerator and not vars(tracer.id_generator):
            # its own source, without its look at whether the number is 0: once in 10^19
            self._new_id, self._new_trace = partial(getrandbits, 64), partial(getrandbits, 128)
        self.ended: Callable[[], object] = counts.ended.add if counts is not None else int
        self._local: Callable[[], object] = counts.started["local", True].add if counts is not None else int
        self._root: Callable[[], object] = counts.started["none", True].add if counts is not None else int
        self._refused: Callable[[], object] = counts.started["none", False].add if counts is not None else int
        self._still: Callable[[], object] = counts.started["local", False].add if counts is not None else int

    def ids(self, parent: Any) -> Ids | NonRecordingSpan | None:
        """Decide on a new span and count it; see ``light.Workshop``."""
        if self._tracer.sampler is not self._sampler:
            raise Undecided
        if parent is None and self._begins:
            self._root()
            return self._new_trace(), self._new_id(), self._root_flags, None
        # not isinstance: the spans' classes are abstract, and asking those takes long
        if self._follows and getattr(parent, "light", False):
            self._local()
            trace_id, _, flags, state = parent.ids
            return trace_id, self._new_id(), flags, state
        if self._follows and type(parent) is NonRecordingSpan:
            _, _, remote, flags, _, valid = parent.get_span_context()
            if valid and not remote and not flags & SAMPLED:
                # what is current stays so: it records nothing, as this one would
                self._still()
                return None
        return self._ids(parent)

    def leaf(self, parent: Any) -> Ids | NonRecordingSpan | None:
        """As ``ids``, of a span under which no code of the application runs; see ``light.Workshop``."""
        if parent is None and self._never and self._tracer.sampler is self._sampler:
            self._refused()
            return None
        return self.ids(parent)

    def _ids(self, parent: Any) -> Ids | NonRecordingSpan | None:
        if self._decides is None:
            raise Undecided
        above: SpanContext | None = parent.get_span_context() if parent is not None else None
        generator = self._tracer.id_generator
        if above is None or not above.is_valid:
            origin, state, trace_id = "none", None, self._new_trace()
            random, sampled = RANDOM if generator.is_trace_id_random() else 0, self._decides(trace_id)
        else:
            origin, state, trace_id = "remote" if above.is_remote else "local", above.trace_state, above.trace_id
            random, kept = above.trace_flags & RANDOM, above.trace_flags & SAMPLED
            sampled = bool(kept) if self._follows else self._decides(trace_id)
            if not sampled and not kept and origin == "local":
                if type(parent) is not NonRecordingSpan:
                    raise Undecided
                self._still()
                return None
        self._started(origin, sampled)
        span_id = self._new_id()
        if sampled:
            return trace_id, span_id, random | SAMPLED, state
        return NonRecordingSpan(SpanContext(trace_id, span_id, False, TraceFlags(random), state))

    def _started(self, origin: str, sampled: bool) -> None:
        if self._counts is not None:
            self._counts.started[origin, sampled].add()

    def _count_end(self) -> None:
        self.ended()

    def made(self, span: LightSpan) -> AnySpan:
        """The SDK's span in its place, made once."""
        told, tracer = span.told(), self._tracer
        made = MadeSpan(
            told.name,
            span.get_span_context(),
            _parent(span),
            sampler=tracer.sampler,
            resource=tracer.resource,
            attributes=told.attributes,
            links=span.links,
            kind=span.kind,
            span_processor=tracer.span_processor,
            instrumentation_info=tracer.instrumentation_info,
            limits=self._limits,
            instrumentation_scope=self._scope,
            record_end_metrics=self._count_end,
        )
        if span.replaced_by(made) is made:
            made.begin(span, told)
        return span.real()

    def readable(self, span: LightSpan) -> ReadableSpan:
        """An ended one for the exporters."""
        limits, told = self._limits, span.told()
        if span.links or told.events or limits.max_span_attribute_length is not None:
            made = self.made(span)
            return made.readable() if isinstance(made, MadeSpan) else ReadableSpan(told.name)
        attributes: Any = told.attributes
        if limits.max_span_attributes is not None and len(attributes) > limits.max_span_attributes:
            attributes = BoundedAttributes(limits.max_span_attributes, attributes)
        return ReadableSpan(
            told.name,
            span.get_span_context(),
            _parent(span),
            self._tracer.resource,
            attributes,
            kind=span.kind,
            instrumentation_info=self._tracer.instrumentation_info,
            status=told.status or _UNSET,
            start_time=span.started_ns,
            end_time=span.ended_ns,
            instrumentation_scope=self._scope,
        )

    def unlimited(self, span: LightSpan, told: Told) -> bool:
        """Whether the SDK would export it as it was told; see ``light.Workshop``."""
        attributes, events, of_event = self._most
        if span.links or self._cut or len(told.attributes) > attributes or len(told.events) > events:
            return False
        return all(len(said) <= of_event for _, said in told.events)


def _parent(span: LightSpan) -> SpanContext | None:
    above = span.parent_span
    context: SpanContext | None = None if above is None else above.get_span_context()
    return context if context is not None and context.is_valid else None
