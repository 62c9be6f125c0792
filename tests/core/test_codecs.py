"""Codecs: what is stored comes back as it was, everything else is refused by name, and no payload can do harm."""

from __future__ import annotations

import ast
import math
import random
import struct
import sys
import time
import tracemalloc
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy
import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cache.core.codecs import _STRICT, BYTES, FLOATS, JSON, VECTOR, CodecName, Encoded, decode, encode, shared
from cache.errors import CacheValueError, ValueTooLargeError

CAP = 1 << 20
AUTO = CodecName.AUTO


class Word(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


class Table(dict[str, int]):
    pass


@dataclass
class Point:
    x: int


class Quarrelsome:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


def stored(value: Any, codec: CodecName = AUTO, *, cap: int = CAP, above: int = 4096) -> Encoded:
    return encode(value, codec=codec, max_bytes=cap, compress_above=above)


def back(encoded: Encoded, *, cap: int = CAP) -> Any:
    return decode(encoded.codec, encoded.compressed, encoded.payload, max_bytes=cap)


def typed(value: Any) -> Any:
    """A value with the type of each of its parts."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else (type(value), repr(value))


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(documents, st.sampled_from([0, 4096]))
def test_json_comes_back_equal_and_of_the_same_types(value: Any, above: int) -> None:
    """Any JSON document survives, compressed or not."""
    encoded = stored(value, above=above)
    assert encoded.codec == JSON
    assert typed(back(encoded)) == typed(value)


@given(st.binary(max_size=200), st.integers(1, 40))
def test_bytes_come_back(piece: bytes, times: int) -> None:
    """Bytes survive, compressed when that makes them smaller."""
    encoded = stored(piece * times, above=64)
    assert (encoded.codec, back(encoded)) == (BYTES, piece * times)
    assert len(encoded.payload) <= len(piece * times)


@given(st.lists(st.floats(width=32), max_size=50))
def test_lists_of_float32_come_back_bit_by_bit(numbers: list[float]) -> None:
    """The vector codec keeps every float32, infinities, NaN and minus zero included."""
    vector = back(stored(numbers, CodecName.VECTOR))
    assert vector.dtype == numpy.float32
    assert struct.pack(f"<{len(numbers)}f", *numbers) == vector.tobytes()


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2", "<i4", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_float32_in_their_shape(kind: str, order: Any) -> None:
    """Whatever the byte order and layout in memory, the numbers stand where they stood."""
    array = numpy.arange(12).reshape(3, 4).astype(kind, order=order)
    for given_array in (array, array[0], array[:, 1], array[::2]):
        vector = back(stored(given_array))
        assert vector.dtype == numpy.float32
        assert vector.tolist() == given_array.tolist()


def test_vectors_without_numpy_are_tuples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numpy is not installed, a row is a tuple and a table a tuple of tuples."""
    row, table = stored([1, 2.5], CodecName.VECTOR), stored(numpy.arange(4.0).reshape(2, 2))
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert back(row) == (1.0, 2.5)
    assert back(table) == ((0.0, 1.0), (2.0, 3.0))


def test_what_is_shared_cannot_be_changed() -> None:
    """Vectors are read-only and bytes immutable; of JSON every caller gets a copy."""
    with pytest.raises(ValueError, match="read-only"):
        back(stored([1.0], CodecName.VECTOR))[0] = 2
    encoded = stored([[1]])
    assert back(encoded)[0] is not back(encoded)[0]
    assert [shared(codec) for codec in (JSON, VECTOR, BYTES, FLOATS)] == [False, True, True, True]


REFUSED = {
    "tuple": (1, 2), "tuple inside": [(1,)], "set": {1}, "NaN": math.nan, "NaN inside": {"a": [math.nan]},
    "infinity": math.inf, "minus infinity inside": [-math.inf], "number as key": {1: 2}, "None as key": {None: 1},
    "enum": Word.RED, "enum in a list": [Word.RED], "enum deep in a dict": {"a": [{"b": Word.RED}]},
    "number's enum in a list": [1, Number.ONE], "enum as key": {Word.RED: 1}, "subclass of str": Text("a"),
    "subclass of str inside": ["b", Text("a")], "subclass as key": {Text("a"): 1}, "subclass of dict": Table(a=1),
    "subclass of dict inside": [Table(a=1)], "dataclass": Point(1), "datetime": datetime(2020, 1, 1, tzinfo=UTC),
    "uuid": UUID(int=1), "uuid inside": [UUID(int=1)], "decimal": Decimal(1), "integer too large": 2**64,
    "integer too small": -(2**63) - 1, "lone surrogate": "\ud800", "surrogate as key": {"\ud800": 1},
    "bytes inside": [b"a"], "bytearray": bytearray(b"a"), "memoryview": memoryview(b"a"), "object": object(),
    "generator": (n for n in ()), "function": len, "complex": 1j, "raises when compared": Quarrelsome(),
    "raw JSON": orjson.Fragment(b"[1]"), "raw JSON inside": [orjson.Fragment(b"1")],
    "numpy's number": numpy.float64(1), "array inside": [numpy.zeros(1)], "array of text": numpy.array(["a"]),
    "array of objects": numpy.array([None]), "array of no dimension": numpy.array(1.0),
    "array of three dimensions": numpy.zeros((1, 1, 1)), "complex array": numpy.zeros(1, "c8"),
    "boolean array": numpy.zeros(1, "?"), "array beyond float32": numpy.array([1e39]),
    "table without columns": numpy.zeros((3, 0)), "far too many rows": numpy.zeros((2**33, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_come_back_is_refused(name: str) -> None:
    """It is a CacheValueError under the automatic choice and under each codec."""
    for codec in (AUTO, CodecName.JSON, CodecName.BYTES):
        with pytest.raises(CacheValueError):
            stored(REFUSED[name], codec)


@pytest.mark.parametrize(
    "value", [None, 1, "a", b"a", {"a": 1}, ["a"], [True], [None], [[1.0]], [1e39], [10**400], {1.0}]
)
def test_what_is_no_vector_is_refused(value: Any) -> None:
    """The vector codec takes arrays and flat lists of numbers in float32's range alone."""
    with pytest.raises(CacheValueError):
        stored(value, CodecName.VECTOR)


def test_a_value_that_holds_itself_is_refused() -> None:
    """Cycles and nesting without end are CacheValueErrors."""
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (loop, deep):
        with pytest.raises(CacheValueError):
            stored(value)


@pytest.mark.parametrize("above", [0, CAP])
@pytest.mark.parametrize(
    ("codec", "make"),
    [
        (CodecName.BYTES, lambda size: b"x" * size),
        (CodecName.JSON, lambda size: "x" * (size - 2)),
        (CodecName.VECTOR, lambda size: numpy.ones(size // 4, "f4")),
        (CodecName.VECTOR, lambda size: [1.0] * (size // 4)),
    ],
)
def test_the_cap_is_exact(codec: CodecName, make: Any, above: int) -> None:
    """A value below the cap or of its size is stored and read, one step above is refused, compressed or not."""
    cap, step = 4000, 4 if codec is CodecName.VECTOR else 1
    for size in (cap - step, cap):
        encoded = stored(make(size), codec, cap=cap, above=above)
        assert len(back(encoded, cap=cap)) == len(make(size))
    with pytest.raises(ValueTooLargeError):
        stored(make(cap + step), codec, cap=cap, above=above)
    large = stored(make(cap + step), codec, above=above)
    with pytest.raises(CacheValueError):
        back(large, cap=cap)


def test_compression_begins_above_its_limit() -> None:
    """A value of the limit's size stays as it is, one byte more is compressed."""
    assert [stored(b"x" * size, above=100).compressed for size in (99, 100, 101)] == [False, False, True]


def test_what_does_not_shrink_is_not_compressed() -> None:
    """Random bytes are stored as they are."""
    assert not stored(random.Random(1).randbytes(10_000), above=0).compressed


@pytest.mark.parametrize("size_is_said", [True, False])
def test_a_bomb_is_refused_before_it_goes_off(size_is_said: bool) -> None:
    """A frame of 64 MiB of zeros, whether it says so or not, is refused at once and without the memory."""
    bomb = zstandard.ZstdCompressor(write_content_size=size_is_said).compress(bytes(64 << 20))
    assert len(bomb) < 10_000
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(CacheValueError):
        decode(BYTES, True, bomb, max_bytes=CAP)
    took, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 0.1
    assert peak < CAP


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    """A frame whose header says fewer bytes than it holds is damaged, not believed."""
    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(1 << 20)))
    at = frame.index((1 << 20).to_bytes(4, "little"))
    frame[at : at + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(CacheValueError):
        decode(BYTES, True, bytes(frame), max_bytes=CAP)


def test_a_table_cannot_claim_rows_that_are_not_there() -> None:
    """Four billion rows of no columns take no bytes, and are refused for that."""
    with pytest.raises(CacheValueError):
        decode(VECTOR, False, struct.pack(">BBII", 1, 2, 2**32 - 1, 0), max_bytes=CAP)


def test_a_vector_of_one_dimension_is_its_numbers_and_nothing_else() -> None:
    """Four bytes a number, at the start of what is read: the array is aligned; a piece of a number is refused."""
    encoded = stored(numpy.arange(384.0))
    assert (encoded.codec, len(encoded.payload)) == (FLOATS, 4 * 384)
    assert back(encoded).flags.aligned
    with pytest.raises(CacheValueError):
        decode(FLOATS, False, encoded.payload[:-1], max_bytes=CAP)


def only_value_errors(codec: int, compressed: bool, payload: bytes) -> bool:
    """True when it was read or refused by name; any other exception goes through."""
    try:
        decode(codec, compressed, payload, max_bytes=1000)
    except CacheValueError:
        return True
    return True


@given(st.integers(0, 255), st.booleans(), st.binary(max_size=100))
def test_any_payload_is_read_or_refused_by_name(codec: int, compressed: bool, payload: bytes) -> None:
    """Random bytes raise nothing but CacheValueError."""
    assert only_value_errors(codec, compressed, payload)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "é"] * 20}, b"ab" * 100, numpy.arange(24.0).reshape(4, 6)])
@pytest.mark.parametrize("above", [0, CAP])
def test_damaged_payloads_are_read_or_refused_by_name(value: Any, above: int) -> None:
    """A payload cut at any length, or with any byte flipped, raises nothing but CacheValueError."""
    good = stored(value, above=above)
    damaged = [good.payload[:size] for size in range(len(good.payload))]
    for at in range(len(good.payload)):
        damaged += [
            good.payload[:at] + bytes([good.payload[at] ^ mask]) + good.payload[at + 1 :] for mask in (1, 128, 255)
        ]
    assert all(only_value_errors(good.codec, good.compressed, payload) for payload in damaged)


def test_the_sources_hold_no_pickle_and_no_hash_of_the_process() -> None:
    """Nothing unpickles, evaluates or marshals, and no key depends on ``hash``, which differs in each process."""
    sources = [path for top in ("cache", "telemetry") for path in (Path(__file__).parents[2] / top).rglob("*.py")]
    imported, called = set(), set()
    for node in (node for path in sources for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called.add(node.func.id)
    assert len(sources) > 50
    assert not imported & {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    assert not called & {"hash", "eval", "exec"}


ODD = st.sampled_from([(), (1,), None, True, "null", Word.RED, Number.ONE, Text("a"), UUID(int=0), b"", {1}, Point(1)])


@given(
    st.recursive(
        ODD | st.floats() | st.integers(-(1 << 70), 1 << 70) | st.text(st.characters(), max_size=8),
        lambda inner: (
            st.lists(inner, max_size=20)
            | st.dictionaries(st.text(max_size=3) | st.integers() | st.sampled_from([Word.RED, Text("a")]), inner)
        ),
        max_leaves=30,
    )
)
def test_a_look_at_the_types_says_what_reading_it_back_would(value: Any) -> None:
    """Just what would come back equal and of the same types is encoded, though nothing is read back."""
    try:
        kept = repr(orjson.loads(orjson.dumps(value, option=_STRICT))) == repr(value)
    except (TypeError, ValueError):
        kept = False
    try:
        encode(value, codec=CodecName.JSON, max_bytes=CAP, compress_above=CAP)
        encoded = True
    except CacheValueError:
        encoded = False
    assert encoded == kept
