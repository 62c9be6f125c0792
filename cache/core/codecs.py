"""Codecs: JSON by orjson, float32 vectors, bytes; zstd above a size. Nothing else crosses the wire, no pickle ever.

A value is stored only if it would come back equal and of the same types; decoding gives each
caller a copy, or a value that cannot be changed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import StrEnum
from math import isfinite
from typing import Any

import orjson
import zstandard

from cache.errors import CacheValueError, ValueTooLargeError

JSON, VECTOR, BYTES, FLOATS = 1, 2, 3, 4
"""Codec numbers in an entry; never reused. A vector of two dimensions has a head, one of one dimension needs none."""

_STRICT = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_ATOMS = frozenset((str, int, float, bool, type(None)))
_MANY = 16
_FLOAT32 = 1
_VECTOR_HEAD = struct.Struct(">BBII")


class CodecName(StrEnum):
    """How a category writes its values."""

    AUTO = "auto"
    """bytes as bytes, numpy arrays as vectors, everything else as JSON."""
    JSON = "json"
    VECTOR = "vector"
    BYTES = "bytes"


class Encoded:
    """A value's bytes and what is needed to read them.

    Args:
        codec: the codec's number.
        compressed: True when ``payload`` is a zstd frame.
        payload: the bytes.
    """

    __slots__ = ("codec", "compressed", "payload")

    def __init__(self, codec: int, compressed: bool, payload: bytes) -> None:
        self.codec, self.compressed, self.payload = codec, compressed, payload


def encode(value: Any, *, codec: CodecName, max_bytes: int, compress_above: int) -> Encoded:
    """Encode a value.

    Args:
        max_bytes: largest encoding, before compression.
        compress_above: encodings larger than this are compressed when that makes them smaller.

    Raises:
        CacheValueError: the value would not come back as it was.
        ValueTooLargeError: its encoding is above ``max_bytes``.
    """
    number = _choose(value, codec)
    if number == VECTOR:
        number, payload = _encode_vector(value, max_bytes)
    else:
        payload = _encode_json(value, max_bytes) if number == JSON else _encode_bytes(value)
    if len(payload) > max_bytes:
        raise ValueTooLargeError(f"a value of {len(payload)} bytes is above the category's cap of {max_bytes}")
    if len(payload) > compress_above:
        smaller = zstandard.ZstdCompressor(level=1).compress(payload)
        if len(smaller) < len(payload):
            return Encoded(number, True, smaller)
    return Encoded(number, False, payload)


def decode(codec: int, compressed: bool, payload: bytes, *, max_bytes: int) -> Any:
    """Decode a payload; never allocates more than ``max_bytes`` for it.

    Raises:
        CacheValueError: the payload is not what its codec writes, or is too large.
    """
    if codec == JSON and not compressed and len(payload) <= max_bytes:
        # what most entries are
        try:
            return orjson.loads(payload)
        except (ValueError, RecursionError) as error:
            raise CacheValueError("a payload is no JSON") from error
    decoder = _DECODERS.get(codec)
    if decoder is None:
        raise CacheValueError(f"there is no codec {codec}")
    if compressed:
        payload = _decompress(payload, max_bytes)
    if len(payload) > max_bytes:
        raise CacheValueError("a payload is above the category's cap")
    return decoder(payload)


def shared(codec: int) -> bool:
    """True when the decoded value cannot be changed and may be handed to several callers."""
    return codec != JSON


def _choose(value: Any, codec: CodecName) -> int:
    if codec is CodecName.AUTO:
        if isinstance(value, bytes):
            return BYTES
        return VECTOR if _is_array(value) else JSON
    return {CodecName.JSON: JSON, CodecName.VECTOR: VECTOR, CodecName.BYTES: BYTES}[codec]


def _is_array(value: Any) -> bool:
    """True for numpy arrays, without importing numpy."""
    return type(value).__module__ == "numpy" and type(value).__name__ == "ndarray"


def _decompress(payload: bytes, max_bytes: int) -> bytes:
    try:
        size = zstandard.frame_content_size(payload)
        if not 0 <= size <= max_bytes:
            raise CacheValueError("a compressed payload does not say its size, or is above the cap")
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=size or 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise CacheValueError("a compressed payload is damaged") from error


def _encode_json(value: Any, max_bytes: int) -> bytes:
    try:
        data = orjson.dumps(value, option=_STRICT)
    except Exception as error:
        raise CacheValueError(f"a {type(value).__name__} cannot be stored as JSON: {type(error).__name__}") from None
    # what is not finite is written as null, and only what holds a null needs a closer look at its numbers
    if len(data) <= max_bytes and not _plain(value, finite=b"null" not in data):
        raise CacheValueError("a value would not come back from JSON as it was (a tuple, NaN, or the like)")
    return data


def _plain(value: Any, finite: bool) -> bool:
    """True when a value that orjson wrote comes back as it was: all that it holds has a type that JSON has.

    orjson has seen to the rest: names are text, text is Unicode, integers have 64 bits, and a float is read as the
    one that was written. Enums, which it writes as their values, tuples and subclasses are found here.

    Args:
        finite: every float is known to be.
    """
    todo = [value]
    for item in todo:
        kind = type(item)
        if kind in _ATOMS:
            if not finite and kind is float and not isfinite(item):
                return False
            continue
        if kind is not dict and kind is not list:
            return False
        members = item.values() if kind is dict else item
        if not finite or len(members) < _MANY or not _ATOMS.issuperset(map(type, members)):
            todo += members
    return True


def _decode_json(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except (ValueError, RecursionError) as error:
        raise CacheValueError("a payload is no JSON") from error


def _encode_bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise CacheValueError(f"the bytes codec stores bytes, not {type(value).__name__}")
    return bytes(value)


def _encode_vector(value: Any, max_bytes: int) -> tuple[int, bytes]:
    """Codec, and float32: bare in one dimension, else row-major after a head of dtype, dimensions and shape."""
    if _is_array(value):
        if value.dtype.kind not in "fiu" or value.ndim not in (1, 2) or value.size * 4 > max_bytes:
            raise _vector_fault(value.size * 4, max_bytes)
        if value.ndim == 1:
            return FLOATS, _float32(value, max_bytes)
        if not value.size:
            raise _vector_fault(0, max_bytes)
        return VECTOR, _VECTOR_HEAD.pack(_FLOAT32, 2, *value.shape) + _float32(value, max_bytes)
    if type(value) not in (list, tuple) or any(type(item) not in (float, int) for item in value):
        raise _vector_fault(0, max_bytes)
    try:
        return FLOATS, struct.pack(f"<{len(value)}f", *value)
    except (struct.error, OverflowError):
        raise _vector_fault(0, max_bytes) from None


def _float32(value: Any, max_bytes: int) -> bytes:
    """An array's bytes as float32; finite numbers beyond its range are refused, as in a list."""
    import numpy

    try:
        with numpy.errstate(over="raise"):
            return bytes(value.astype("<f4", order="C", copy=False).tobytes())
    except FloatingPointError:
        raise _vector_fault(0, max_bytes) from None


def _vector_fault(size: int, max_bytes: int) -> CacheValueError:
    if size > max_bytes:
        return ValueTooLargeError(f"a vector of {size} bytes is above the category's cap of {max_bytes}")
    return CacheValueError(
        "a vector is an array of one or two dimensions (two: not empty) or a list, of numbers in float32's range"
    )


def _decode_vector(payload: bytes) -> Any:
    """A read-only float32 array of two dimensions; a tuple of tuples where numpy is not installed."""
    try:
        kind, dimensions, rows, columns = _VECTOR_HEAD.unpack_from(payload)
    except struct.error:
        raise CacheValueError("a vector is cut short") from None
    fits = len(payload) == _VECTOR_HEAD.size + 4 * rows * columns
    # no claim of rows that no bytes stand behind
    if kind != _FLOAT32 or dimensions != 2 or not fits or not rows * columns:
        raise CacheValueError("a vector's head does not fit its body")
    try:
        import numpy
    except ImportError:
        numbers = struct.unpack_from(f"<{rows * columns}f", payload, _VECTOR_HEAD.size)
        return tuple(numbers[i * columns : (i + 1) * columns] for i in range(rows))
    return numpy.frombuffer(payload, dtype="<f4", offset=_VECTOR_HEAD.size).reshape(rows, columns)


def _decode_floats(payload: bytes) -> Any:
    """The same of one dimension: a tuple of floats without numpy."""
    if len(payload) % 4:
        raise CacheValueError("a vector is cut short")
    try:
        import numpy
    except ImportError:
        return struct.unpack(f"<{len(payload) // 4}f", payload)
    return numpy.frombuffer(payload, dtype="<f4")


_DECODERS: dict[int, Callable[[bytes], Any]] = {
    JSON: _decode_json,
    VECTOR: _decode_vector,
    BYTES: bytes,
    FLOATS: _decode_floats,
}
