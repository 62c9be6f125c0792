"""A tracer whose spans are light where that can be, and the SDK's where it must be. OpenTelemetry API only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.util.types import Attributes

from telemetry.current import KEY
from telemetry.light import LightSpan, Told, Undecided, Workshop


class PlainSpan(LightSpan):
    """A light span whose name and attributes are known at its start."""

    _told: Told

    def told(self) -> Told:
        return self._told


class LightTracer(Tracer):
    """Makes light spans where it can, and the SDK's where it must.

    Args:
        tracer: the SDK's.
        workshop: of its provider.
    """

    def __init__(self, tracer: Tracer, workshop: Workshop) -> None:
        self.ordinary, self.workshop = tracer, workshop

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        *rest: Any,
        **named: Any,
    ) -> Span:
        workshop = self.workshop
        if workshop.light and start_time is None and not rest and not named:
            parent = (workshop.variable.get() if context is None else context).get(KEY)
            try:
                ids = workshop.ids(parent)
            except Undecided:
                pass
            else:
                if isinstance(ids, tuple):
                    span = PlainSpan(workshop, ids, parent, kind, links or ())
                    span._told = Told(name, dict(attributes or {}))
                    return span
                return cast("Span", parent) if ids is None else ids
        return self.ordinary.start_span(name, context, kind, attributes, links, start_time, *rest, **named)

    # an API tracer is a generator function there; who makes spans so, wants them real
    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self.ordinary.start_as_current_span(name, *args, **kwargs)
