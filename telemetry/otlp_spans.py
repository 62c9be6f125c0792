"""Light spans as bytes of OTLP, written straight away: no messages of protobuf's are made of them.

What comes again and again (names, attributes, all that a span of one command says) is remembered, within bounds.
What cannot be written here raises, and is for the SDK's encoder. OpenTelemetry API only; no I/O.

Source: opentelemetry-proto 1.x, ``trace.proto`` and ``common.proto``; the wire format is
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Any

from opentelemetry.trace import SpanKind, Status

from telemetry.light import LightSpan, Told

MOST_REMEMBERED = 1024
"""Attributes, and names, that are remembered; those that were not used for longest are forgotten."""

LONGEST_REMEMBERED = 256
"""Characters of a text that is remembered."""

_TIMES, _DOUBLE, _FLAGS = Struct("<BQBQ").pack, Struct("<d").pack, Struct("<I").pack
_STARTED, _ENDED = 7 << 3 | 1, 8 << 3 | 1
_SHORT = [bytes([number]) for number in range(128)]
_UNSET = b"\x7a\x00"
_ATTRIBUTE, _OF_EVENT = b"\x4a", b"\x1a"

# SpanFlags: whether a parent is of another process is known, and whether it is
_LOCAL, _REMOTE = b"\x85\x01" + _FLAGS(0x100), b"\x85\x01" + _FLAGS(0x300)


@dataclass(frozen=True, slots=True)
class Heading:
    """Where spans come from, each message as the SDK encodes it.

    Args:
        resource: of the process; ``resource_url`` its schema's.
        scope: of the instrumentation; ``scope_url`` its schema's.
    """

    resource: bytes
    resource_url: str
    scope: bytes
    scope_url: str


class SpanBytes:
    """Writes spans; keeps what comes again."""

    def __init__(self) -> None:
        # typed: True, 1 and 1.0 are equal and are written differently
        self._known = lru_cache(MOST_REMEMBERED, typed=True)(_attribute)
        self._double = lru_cache(MOST_REMEMBERED)(_before_double)
        self._named = lru_cache(MOST_REMEMBERED)(_name)
        self._lasting: dict[int, tuple[Told, SpanKind, bytes, bytes]] = {}

    def of(self, span: LightSpan, told: Told) -> bytes:
        """One ``Span`` that has ended, without links.

        Args:
            told: what it says.

        Raises:
            Exception: something of it has no place in OTLP, or only the SDK knows which.
        """
        trace_id, span_id, _, state = span.ids
        parent, flags = _above(span.parent_span)
        front, back = self._remembered(told, span.kind) if told.lasting else self._said(told, span)
        return b"".join(
            (
                b"\x0a\x10",
                trace_id.to_bytes(16, "big"),
                b"\x12\x08",
                span_id.to_bytes(8, "big"),
                b"" if not state else _text(b"\x1a", ",".join([f"{key}={value}" for key, value in state.items()])),
                parent,
                front,
                _TIMES(_STARTED, span.started_ns, _ENDED, span.ended_ns),
                back,
                flags,
            )
        )

    def _remembered(self, told: Told, kind: SpanKind) -> tuple[bytes, bytes]:
        """Of what many spans say: what stands before the times, and after them."""
        found = self._lasting.get(id(told))
        if found is None or found[1] is not kind:
            if len(self._lasting) >= MOST_REMEMBERED:
                self._lasting.clear()
            # the telling is kept with it, so that its id is nobody else's
            found = self._lasting[id(told)] = (told, kind, self._named(told.name, kind), self._ended(told, 0))
        return found[2:]

    def _said(self, told: Told, span: LightSpan) -> tuple[bytes, bytes]:
        return self._named(told.name, span.kind), self._ended(told, span.ended_ns)

    def _ended(self, told: Told, ended_ns: int) -> bytes:
        """Attributes, events and status."""
        parts = self._attributes(told.attributes)
        parts += [_event(name, attributes, ended_ns) for name, attributes in told.events]
        parts.append(_UNSET if told.status is None else _status(told.status))
        return b"".join(parts)

    def _attributes(self, attributes: Mapping[str, Any]) -> list[bytes]:
        parts, known, double = [], self._known, self._double
        for key, value in attributes.items():
            kind = type(value)
            if kind is float:
                parts.append(double(key) + _DOUBLE(value))
            elif kind is bool or kind is int or (kind is str and len(value) <= LONGEST_REMEMBERED):
                parts.append(known(key, value))
            else:
                parts.append(_attribute(key, value))
        return parts


def request(groups: Iterable[tuple[Heading, Sequence[bytes]]]) -> bytes:
    """The ``ExportTraceServiceRequest`` of spans; those of one resource stand together."""
    resources: dict[tuple[bytes, str], list[bytes]] = {}
    for heading, spans in groups:
        scope = [_field(b"\x0a", heading.scope), *(_field(b"\x12", span) for span in spans)]
        scope.append(_text(b"\x1a", heading.scope_url))
        scopes = resources.setdefault((heading.resource, heading.resource_url), [])
        scopes.append(_field(b"\x12", b"".join(scope)))
    made = []
    for (resource, url), scopes in resources.items():
        body = b"".join((_field(b"\x0a", resource), *scopes, _text(b"\x1a", url)))
        made.append(_field(b"\x0a", body))
    return b"".join(made)


def _above(parent: Any) -> tuple[bytes, bytes]:
    """A parent's id, and the flags that tell where it is."""
    if parent is None:
        return b"", _LOCAL
    if getattr(parent, "light", False):
        # of this process; its context need not be made
        (trace_id, span_id, _, _), remote = parent.ids, False
    else:
        trace_id, span_id, remote, *_ = parent.get_span_context()
    if not trace_id or not span_id:
        return b"", _LOCAL
    return b"\x22\x08" + span_id.to_bytes(8, "big"), _REMOTE if remote else _LOCAL


def _name(name: str, kind: SpanKind) -> bytes:
    # OTLP has one more kind, the unspecified 0
    return _text(b"\x2a", name) + b"\x30" + _varint(kind.value + 1)


def _status(status: Status) -> bytes:
    code = status.status_code.value
    return _field(b"\x7a", _text(b"\x12", status.description or "") + (b"\x18" + _varint(code) if code else b""))


def _event(name: str, attributes: Mapping[str, Any], when_ns: int) -> bytes:
    said = [_field(_OF_EVENT, _pair(key, _value(value))) for key, value in attributes.items()]
    return _field(b"\x5a", b"".join((b"\x09", when_ns.to_bytes(8, "little"), _text(b"\x12", name), *said)))


def _attribute(key: str, value: Any) -> bytes:
    return _field(_ATTRIBUTE, _pair(key, _value(value)))


def _before_double(key: str) -> bytes:
    """All of an attribute but the eight bytes of its number."""
    return _attribute(key, 0.0)[:-8]


def _pair(key: str, value: bytes) -> bytes:
    return _text(b"\x0a", key) + _field(b"\x12", value)


def _value(value: Any) -> bytes:
    """An ``AnyValue``; its field is written even where it is empty, for it says which of the types it is."""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, str):
        return _field(b"\x0a", value.encode())
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("an integer of more than 64 bits")
        return b"\x18" + _varint(value & (1 << 64) - 1)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE(value)
    if isinstance(value, list | tuple):
        return _field(b"\x2a", b"".join([_field(b"\x0a", _value(item)) for item in value]))
    raise TypeError(f"no value of an attribute: {type(value).__name__}")


def _text(tag: bytes, text: str) -> bytes:
    """A field of text; none when it is empty."""
    return _field(tag, text.encode()) if text else b""


def _field(tag: bytes, body: bytes) -> bytes:
    return b"".join((tag, _varint(len(body)), body))


def _varint(number: int) -> bytes:
    """A number that is not negative, seven bits a byte, the lowest first."""
    if number < 128:
        return _SHORT[number]
    made = bytearray()
    while number >= 128:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)
