"""Typed canonical encoding: two values give the same bytes only if they are the same value of the same type.

Every value is a tag, a length and a body, so no delimiter can be forged; mappings and sets are
sorted by the encoding of their members, so their order does not matter. What has no stable
meaning (an object's default repr, a generator, NaN) is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from operator import itemgetter
from typing import Any
from uuid import UUID

from cache.errors import CacheKeyError

MAX_DEPTH = 64
"""Deeper values are refused; a value that holds itself is one."""

MAX_ITEMS = 100_000
"""Values with more parts are refused."""

MAX_BYTES = 1 << 20
"""Longer encodings are refused."""


_FEW, _SHORT = 32, 1 << 16


def encode(value: Any) -> bytes:
    """The canonical bytes of a key's value.

    Raises:
        CacheKeyError: a type without a stable meaning, NaN, a lone surrogate, too deep, too large, cyclic.
    """
    flat = _flat(value)
    if flat is not None:
        return flat
    out: list[bytes] = []
    budget = _Budget()
    _encode(value, out, budget, 0)
    return b"".join(out)


def _flat(value: Any) -> bytes | None:
    """The same bytes of what most keys are: ASCII text, or a few parts that are such text, integers, or flat tables.

    Returns:
        None for any other value, and for one that is near a bound: the long way knows them all.
    """
    kind = type(value)
    if kind is str:
        found = _atom(value)
    elif kind is tuple and len(value) <= _FEW:
        parts = [_table(part) if type(part) is dict else _atom(part) for part in value]
        found = None if None in parts else f"U{len(parts)}:{''.join(parts)}"  # type: ignore[arg-type]
    else:
        return None
    return found.encode() if found is not None and len(found) <= _SHORT else None


def _atom(value: Any) -> str | None:
    kind = type(value)
    if kind is str:
        # a length is one of bytes: where each character is one, the text can be put together before it is encoded
        return f"s{len(value)}:{value}" if value.isascii() else None
    if kind is int:
        body = f"{value:x}"
        return f"i{len(body)}:{body}"
    if kind is bool:
        return "b1:1" if value else "b1:0"
    return "n0:" if value is None else None


def _table(value: dict[Any, Any]) -> str | None:
    if len(value) > _FEW:
        return None
    pairs = []
    for name, part in value.items():
        item = _atom(part)
        if type(name) is not str or not name.isascii() or item is None:
            return None
        pairs.append((f"s{len(name)}:{name}", item))
    pairs.sort()
    return f"M{len(pairs)}:{''.join([name + item for name, item in pairs])}"


class _Budget:
    """What is left to spend on one key."""

    __slots__ = ("bytes", "items")

    def __init__(self) -> None:
        self.items, self.bytes = MAX_ITEMS, MAX_BYTES

    def spend(self, size: int) -> None:
        self.items -= 1
        self.bytes -= size
        if self.items < 0 or self.bytes < 0:
            raise CacheKeyError(f"a key has more than {MAX_ITEMS} parts or {MAX_BYTES} bytes")


def _encode(value: Any, out: list[bytes], budget: _Budget, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CacheKeyError(f"a key is nested deeper than {MAX_DEPTH} levels, or holds itself")
    kind = type(value)
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        tag, body = scalar[0], scalar[1](value)
        budget.spend(len(body))
        out.append(b"%c%d:%b" % (tag, len(body), body))
        return
    container = _CONTAINERS.get(kind)
    if container is not None:
        container(value, out, budget, depth + 1)
        return
    _encode_other(value, out, budget, depth + 1)


def _text(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise CacheKeyError("a key holds text that is no valid Unicode") from None


def _float(value: float) -> bytes:
    if value != value:
        raise CacheKeyError("a key holds NaN, which equals nothing")
    return value.hex().encode()


def _int(value: int) -> bytes:
    return b"%x" % value if value >= 0 else b"-%x" % -value


def _decimal(value: Decimal) -> bytes:
    if value.is_nan():
        raise CacheKeyError("a key holds NaN, which equals nothing")
    return str(value).encode()


def _moment(value: datetime) -> bytes:
    """Local time and offset: together they are the instant, with no sum to overflow."""
    local, offset = value.replace(tzinfo=None).isoformat(), value.utcoffset()
    return (f"n{local}f{value.fold}" if offset is None else f"a{local}o{offset}").encode()


def _clock_time(value: time) -> bytes:
    return f"{value.isoformat()}f{value.fold}".encode()


_SCALARS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    type(None): (ord("n"), lambda _: b""),
    bool: (ord("b"), lambda value: b"1" if value else b"0"),
    int: (ord("i"), _int),
    float: (ord("f"), _float),
    str: (ord("s"), _text),
    bytes: (ord("y"), lambda value: value),
    datetime: (ord("T"), _moment),
    date: (ord("D"), lambda value: value.isoformat().encode()),
    time: (ord("t"), _clock_time),
    timedelta: (ord("d"), lambda value: b"%d,%d,%d" % (value.days, value.seconds, value.microseconds)),
    Decimal: (ord("m"), _decimal),
    UUID: (ord("u"), lambda value: value.bytes),
}


def _sequence(tag: bytes) -> Callable[[Any, list[bytes], _Budget, int], None]:
    def encode_sequence(value: Any, out: list[bytes], budget: _Budget, depth: int) -> None:
        budget.spend(8)
        out.append(b"%b%d:" % (tag, len(value)))
        for item in value:
            _encode(item, out, budget, depth)

    return encode_sequence


def _members(tag: bytes) -> Callable[[Any, list[bytes], _Budget, int], None]:
    def encode_members(value: Any, out: list[bytes], budget: _Budget, depth: int) -> None:
        budget.spend(8)
        out.append(b"%b%d:" % (tag, len(value)))
        out.extend(sorted(_alone(item, budget, depth) for item in value))

    return encode_members


def _mapping(value: Any, out: list[bytes], budget: _Budget, depth: int) -> None:
    budget.spend(8)
    out.append(b"M%d:" % len(value))
    pairs = [(_alone(key, budget, depth), item) for key, item in value.items()]
    pairs.sort(key=_first)
    for key, item in pairs:
        out.append(key)
        _encode(item, out, budget, depth)


_first = itemgetter(0)


def _alone(value: Any, budget: _Budget, depth: int) -> bytes:
    if type(value) is str:
        body = _text(value)
        budget.spend(len(body))
        return b"s%d:%b" % (len(body), body)
    out: list[bytes] = []
    _encode(value, out, budget, depth)
    return b"".join(out)


_CONTAINERS: dict[type, Callable[[Any, list[bytes], _Budget, int], None]] = {
    list: _sequence(b"L"),
    tuple: _sequence(b"U"),
    set: _members(b"S"),
    frozenset: _members(b"Z"),
    dict: _mapping,
}


def _encode_other(value: Any, out: list[bytes], budget: _Budget, depth: int) -> None:
    """Enums, paths, dataclasses and pydantic models, each with the name of its class."""
    # late: a path can only be given where it was imported, and it brings urllib
    from pathlib import PurePath

    kind = type(value)
    if isinstance(value, Enum):
        fields: Any = value.value if value.name is None else value.name  # a flag's unnamed bits have no name
    elif isinstance(value, PurePath):
        fields = str(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = _fields(value, (field.name for field in dataclasses.fields(value)))
    elif hasattr(kind, "model_fields") and hasattr(kind, "__pydantic_validator__"):
        fields = _fields(value, kind.model_fields)
        fields |= value.__pydantic_extra__ or {}
    else:
        raise CacheKeyError(f"a key cannot hold a {kind.__qualname__}: it has no stable encoding")
    out.append(b"C")
    _encode(f"{kind.__module__}.{kind.__qualname__}", out, budget, depth)
    _encode(fields, out, budget, depth)


def _fields(value: Any, names: Iterable[str]) -> dict[str, Any]:
    try:
        return {name: getattr(value, name) for name in names}
    except AttributeError:
        raise CacheKeyError(f"a key holds a {type(value).__qualname__} with a field that was never set") from None
