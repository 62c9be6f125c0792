"""Codecs: JSON by orjson, float32 vectors, bytes; zstd above a size. Nothing else crosses the wire, no pickle ever.

A value is stored only if it would come back equal and of the same types; decoding gives each
caller a copy, or a value that cannot be changed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import orjson
import zstandard

from cache.errors import CacheValueError, ValueTooLargeError

JSON, VECTOR, BYTES = 1, 2, 3
"""Codec numbers in an entry; never reused."""

_STRICT = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_NESTED = frozenset({dict, list})
_JSON_TYPES = _NESTED | {str, int, float, bool, type(None)}
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
    payload = _ENCODERS[number](value, max_bytes)
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
        if len(data) <= max_bytes and not _same(orjson.loads(data), value):
            raise CacheValueError("a value would not come back from JSON as it was (a tuple, NaN, or the like)")
    except CacheValueError:
        raise
    except Exception as error:  # also what a value's own __eq__ raises
        raise CacheValueError(f"a {type(value).__name__} cannot be stored as JSON: {type(error).__name__}") from None
    return data


def _same(back: Any, value: Any) -> bool:
    """Equal and of the same types: bool, int and float differ in JSON, subclasses are refused, enums are found here."""
    return type(back) is type(value) and bool(back == value) and _plain(value)


def _plain(value: Any) -> bool:
    """True when all that a value holds has a type that JSON has (orjson writes an enum's member as its value)."""
    todo = [value] if type(value) in _NESTED else []
    while todo:
        item = todo.pop()
        members = item.values() if type(item) is dict else item
        kinds = set(map(type, members))
        if not kinds <= _JSON_TYPES:
            return False
        if kinds & _NESTED:
            todo += (member for member in members if type(member) in _NESTED)
    return True


def _decode_json(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except (ValueError, RecursionError) as error:
        raise CacheValueError("a payload is no JSON") from error


def _encode_bytes(value: Any, max_bytes: int) -> bytes:
    if type(value) is not bytes:
        raise CacheValueError(f"the bytes codec stores bytes, not {type(value).__name__}")
    return bytes(value)


def _encode_vector(value: Any, max_bytes: int) -> bytes:
    """float32, row-major, after a head of dtype, number of dimensions and shape."""
    if _is_array(value):
        if value.dtype.kind not in "fiu" or value.ndim not in (1, 2) or value.size * 4 > max_bytes:
            raise _vector_fault(value.size * 4, max_bytes)
        rows, columns = (1, value.shape[0]) if value.ndim == 1 else value.shape
        if value.ndim == 2 and not value.size:
            raise _vector_fault(0, max_bytes)
        body = _float32(value, max_bytes)
        return _VECTOR_HEAD.pack(_FLOAT32, value.ndim, rows, columns) + body
    if type(value) not in (list, tuple) or any(type(item) not in (float, int) for item in value):
        raise _vector_fault(0, max_bytes)
    try:
        body = struct.pack(f"<{len(value)}f", *value)
    except (struct.error, OverflowError):
        raise _vector_fault(0, max_bytes) from None
    return _VECTOR_HEAD.pack(_FLOAT32, 1, 1, len(value)) + body


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
    """A read-only float32 array; a tuple of floats where numpy is not installed."""
    try:
        kind, dimensions, rows, columns = _VECTOR_HEAD.unpack_from(payload)
    except struct.error:
        raise CacheValueError("a vector is cut short") from None
    fits = len(payload) == _VECTOR_HEAD.size + 4 * rows * columns
    if kind != _FLOAT32 or dimensions not in (1, 2) or not fits or not _shaped(dimensions, rows, columns):
        raise CacheValueError("a vector's head does not fit its body")
    try:
        import numpy
    except ImportError:
        numbers = struct.unpack_from(f"<{rows * columns}f", payload, _VECTOR_HEAD.size)
        return numbers if dimensions == 1 else tuple(numbers[i * columns : (i + 1) * columns] for i in range(rows))
    array = numpy.frombuffer(payload, dtype="<f4", offset=_VECTOR_HEAD.size)
    return array if dimensions == 1 else array.reshape(rows, columns)


def _shaped(dimensions: int, rows: int, columns: int) -> bool:
    """A row, maybe empty, or a table with at least one number: no claim of rows that no bytes stand behind."""
    return rows == 1 if dimensions == 1 else rows * columns > 0


_ENCODERS: dict[int, Callable[[Any, int], bytes]] = {JSON: _encode_json, VECTOR: _encode_vector, BYTES: _encode_bytes}
_DECODERS: dict[int, Callable[[bytes], Any]] = {JSON: _decode_json, VECTOR: _decode_vector, BYTES: bytes}
