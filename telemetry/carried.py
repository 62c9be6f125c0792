"""What crosses the border of a process: a run's id as W3C baggage, a span's ids beside a lock.

Source: W3C Baggage; W3C Trace Context, section 3.2.2 (version, trace id, parent id, flags). OpenTelemetry's API
only, which is loaded when something crosses.
"""

from __future__ import annotations

import re
from random import getrandbits
from typing import TYPE_CHECKING

from telemetry import schema

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

SPAN_BYTES = 26
"""Of a packed span: a version, 16 of the trace id, 8 of the span id, the flags."""

_RUN_ID = re.compile(r"[0-9a-f]{32}\Z")
_VERSION = b"\x00"


def is_run_id(value: object) -> bool:
    """True for 32 lower-case hex characters that are not all zero: nothing else is taken from outside."""
    return isinstance(value, str) and _RUN_ID.match(value) is not None and value.strip("0") != ""


def new_run_id() -> str:
    """The id of a run that nobody traces."""
    return f"{getrandbits(128) or 1:032x}"


def run_id(context: Context | None = None) -> str | None:
    """The id of the run that this happens in, from the baggage of ``context`` or of the current one."""
    from opentelemetry import baggage

    found = baggage.get_baggage(schema.RUN_ID, context)
    return found if isinstance(found, str) and is_run_id(found) else None


def with_run_id(value: str, context: Context | None = None) -> Context:
    """A context whose baggage has the run's id."""
    from opentelemetry import baggage

    return baggage.set_baggage(schema.RUN_ID, value, context)


def packed(span: SpanContext | None) -> bytes:
    """A span's ids as bytes; none for what is none."""
    if span is None or not span.is_valid:
        return b""
    ids = span.trace_id.to_bytes(16, "big") + span.span_id.to_bytes(8, "big")
    return _VERSION + ids + bytes((int(span.trace_flags) & 0xFF,))


def unpacked(data: bytes) -> SpanContext | None:
    """The span whose ids these are; None for anything else."""
    if len(data) != SPAN_BYTES or not data.startswith(_VERSION):
        return None
    from opentelemetry.trace import SpanContext, TraceFlags

    trace_id, span_id = int.from_bytes(data[1:17], "big"), int.from_bytes(data[17:25], "big")
    found = SpanContext(trace_id, span_id, True, TraceFlags(data[25]))
    return found if found.is_valid else None
