"""The canonical encoding of keys: different values never meet, and what has no stable meaning is refused."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from itertools import combinations
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from cache.core.canonical import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, encode
from cache.errors import CacheKeyError


class Colour(Enum):
    RED = 1
    BLUE = 2


class Word(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Bits(IntFlag):
    ONE = 1
    TWO = 2


@dataclass
class Point:
    x: Any
    y: Any = 0


@dataclass
class OtherPoint:
    x: Any
    y: Any = 0


@dataclass
class Unset:
    x: int = field(init=False)


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int


DAY = datetime(2020, 1, 1)  # noqa: DTZ001 (a naive moment is a key like any other)

LOOK_ALIKES = (
    lambda n: n,
    lambda n: float(n),
    lambda n: str(n),
    lambda n: str(n).encode(),
    lambda n: Decimal(n),
    lambda n: (n,),
    lambda n: [n],
    lambda n: {n},
    lambda n: frozenset({n}),
    lambda n: {n: None},
    lambda n: {str(n): n},
    lambda n: (str(n), ""),
    lambda n: ("", str(n)),
    lambda n: [[n]],
    lambda n: timedelta(microseconds=n),
    lambda n: UUID(int=n),
    lambda n: PurePosixPath(str(n)),
    lambda n: f"i{len(str(n))}:{n}",
    lambda n: DAY + timedelta(microseconds=n),
    lambda n: DAY.replace(tzinfo=UTC) + timedelta(microseconds=n),
)
"""Each makes, from one number, a value that looks like what the others make of it."""


def test_a_million_different_values_have_a_million_encodings() -> None:
    """10^6 seeded inputs, twenty look-alikes of types for each number, meet nowhere, in under half a minute."""
    numbers = random.Random(20).sample(range(1 << 48), 1_000_000 // len(LOOK_ALIKES))
    began = time.perf_counter()
    seen = {encode(make(number)) for number in numbers for make in LOOK_ALIKES}
    assert len(seen) == 1_000_000
    assert time.perf_counter() - began < 30


scalars = (
    st.sampled_from([None, True, False, 0, 1, 0.0, -0.0, 1.0, "", "0", "1", b"", b"0", b"1", Decimal(1), UUID(int=1)])
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.datetimes(timezones=st.none() | st.just(UTC))
)
hashables = scalars | st.builds(
    lambda kind, items: kind(items), st.sampled_from([tuple, frozenset]), st.lists(scalars, max_size=3)
)
containers = st.builds(
    lambda kind, items: kind(items),
    st.sampled_from([tuple, list, set, frozenset, dict.fromkeys, lambda items: {"": items}, lambda items: [[*items]]]),
    st.lists(hashables, max_size=3),
)
values = hashables | containers | st.dictionaries(hashables, containers, max_size=2)


def shape(value: Any) -> Any:
    """What a value is, written apart from the encoding: equal exactly for the same values of the same types."""
    kind = type(value).__name__
    if isinstance(value, list | tuple):
        return kind, tuple(shape(item) for item in value)
    if isinstance(value, dict):
        return kind, frozenset((shape(key), shape(item)) for key, item in value.items())
    if isinstance(value, set | frozenset):
        return kind, frozenset(shape(item) for item in value)
    return kind, repr(value)


@settings(max_examples=500)
@given(st.lists(values, min_size=8, max_size=8))
def test_encodings_are_equal_exactly_for_equal_values_of_equal_types(drawn: list[Any]) -> None:
    """Over ten thousand pairs, 28 of each eight, same bytes and same value of same types mean each other."""
    for one, other in combinations(drawn, 2):
        assert (encode(one) == encode(other)) == (shape(one) == shape(other))


@settings(max_examples=500)
@given(st.dictionaries(hashables, values, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_a_mapping_does_not_matter(mapping: dict[Any, Any], rand: random.Random) -> None:
    """A dict that was filled in another order, and sets made of its keys, encode the same."""
    items = list(mapping.items())
    rand.shuffle(items)
    assert encode(dict(items)) == encode(mapping)
    assert encode({key for key, _ in items}) == encode(set(mapping))


ATOMS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))
FLAT = st.one_of(ATOMS, st.dictionaries(st.text(max_size=3), ATOMS, max_size=4))


@given(st.one_of(st.text(), st.lists(FLAT, max_size=4).map(tuple)))
def test_a_flat_key_has_the_bytes_that_it_has_inside_of_another(key: Any) -> None:
    """What most keys are is encoded by a way of its own; inside of a list the long way encodes the same."""
    assert encode([key]) == b"L1:" + encode(key)


def test_a_flat_key_near_a_bound_is_still_one() -> None:
    """More parts, or more bytes, than the short way takes."""
    for key in (tuple(range(100)), ("a", dict.fromkeys(map(str, range(100)), 1)), "x" * 100_000):
        assert encode([key]) == b"L1:" + encode(key)


def test_the_order_of_a_nested_mapping_does_not_matter() -> None:
    """Inner dicts are sorted too, lists keep their order."""
    assert encode({"a": {"x": 1, "y": 2}, "b": 3}) == encode({"b": 3, "a": {"y": 2, "x": 1}})
    assert encode([1, 2]) != encode([2, 1])


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0, True, "1", b"1", Decimal(1), Number.ONE, Bits.ONE),
        (0, 0.0, -0.0, False, "", b"", None, (), [], {}, set(), frozenset()),
        ("red", Word.RED, Colour.RED, Colour.BLUE),
        (Bits(0), Bits(8), Bits(16), Bits(9), Bits(17), Bits.ONE | Bits.TWO),
        (("a", "bc"), ("ab", "c"), ("abc",), ("", "abc"), ["a", "bc"]),
        ([[], []], [[[]]], [[]], [[], [], []], [([], [])]),
        ({"a": 1}, {"a": "1"}, {"a": None}, {}, [("a", 1)]),
        ("s1:a", ["a"], b"s1:a", ("s1:a",)),
        ("é", "e\u0301"),
        (PurePosixPath("a"), PureWindowsPath("a"), "a"),
        (Point(1), Point(1.0), OtherPoint(1), {"x": 1, "y": 0}, Point(Point(1))),
        (Model(x=1), Model(x=2), Model.model_validate({"x": 1, "z": 2}), {"x": 1}),
        (DAY.date(), DAY, DAY.replace(fold=1), DAY.replace(tzinfo=UTC)),
        (datetime(2020, 1, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=1)))),
        (clock_time(1), clock_time(1, fold=1), clock_time(1, tzinfo=UTC)),
        (Decimal(1), Decimal("1.0"), Decimal("-0"), Decimal(0), Decimal("Infinity"), float("inf")),
    ],
)  # fmt: skip
def test_look_alikes_differ(values: tuple[Any, ...]) -> None:
    """Values that Python may call equal, or that print alike, are different keys."""
    assert len({encode(value) for value in values}) == len(values)


@pytest.mark.parametrize("edge", [datetime.min, datetime.max])  # noqa: DTZ901
@pytest.mark.parametrize("hours", [-14, 14])
def test_moments_at_the_ends_of_the_calendar_have_an_encoding(edge: datetime, hours: int) -> None:
    """An offset that reaches over the first or last year is no arithmetic error."""
    zone = timezone(timedelta(hours=hours))
    assert encode(edge.replace(tzinfo=zone)) != encode(edge.replace(tzinfo=UTC))


def test_both_sides_of_a_change_of_clocks_differ() -> None:
    """The hour that comes twice in autumn is two moments."""
    twice = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert encode(twice) != encode(twice.replace(fold=1))


def test_an_encoding_never_changes() -> None:
    """The bytes of a known value are pinned: a change of format would empty every cache."""
    assert encode(("task", 5, {"b": 1.5, "a": None})) == b"U3:s4:taski1:5M2:s1:an0:s1:bf20:0x1.8000000000000p+0"


class Plain:
    """Has the default repr, with an address in it."""


class Text(str):
    """A subclass may mean something else than its base."""


REFUSED = {
    "NaN": float("nan"),
    "NaN inside": {"a": [float("nan")]},
    "decimal NaN": Decimal("NaN"),
    "signalling NaN": Decimal("sNaN"),
    "a generator": (n for n in ()),
    "an iterator": iter([1]),
    "a lone surrogate": "\ud800",
    "a surrogate as a dict's key": {"\udfff": 1},
    "a surrogate in a path": PurePosixPath("\udc80"),
    "an object": object(),
    "an object of a class": Plain(),
    "a class": Plain,
    "a dataclass itself": Point,
    "a function": len,
    "a lambda in a dataclass": Point(lambda: 1),
    "a complex number": 1j,
    "a range": range(3),
    "a bytearray": bytearray(b"a"),
    "a memoryview": memoryview(b"a"),
    "a subclass of str": Text("a"),
    "the ellipsis": ...,
    "a dataclass with a field never set": Unset(),
    "a model with a field never set": Model.model_construct(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_stable_meaning_is_refused(name: str) -> None:
    """It is a CacheKeyError, alone and inside a list."""
    with pytest.raises(CacheKeyError):
        encode(REFUSED[name])
    with pytest.raises(CacheKeyError):
        encode([1, REFUSED[name]])


def test_values_that_hold_themselves_are_refused() -> None:
    """A list, a dict, a dataclass, and a list that holds itself twice end as a CacheKeyError."""
    loop: list[Any] = []
    loop.append(loop)
    twice: list[Any] = []
    twice += [twice, twice]
    mapping: dict[str, Any] = {}
    mapping["me"] = mapping
    point = Point(1)
    point.x = point
    for value in (loop, twice, mapping, point):
        with pytest.raises(CacheKeyError):
            encode(value)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def test_depth_is_bounded() -> None:
    """64 levels are encoded, 65 and a hundred thousand are refused."""
    assert encode(nested(MAX_DEPTH)).count(b"L") == MAX_DEPTH + 1
    for levels in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(CacheKeyError, match="deeper"):
            encode(nested(levels))


@pytest.mark.parametrize("make", [lambda n: "x" * n, lambda n: b"x" * n, lambda n: 16 ** (n - 1)])
def test_size_is_bounded(make: Any) -> None:
    """A mebibyte of text, bytes or digits is encoded, one byte more is refused."""
    assert len(encode(make(MAX_BYTES))) > MAX_BYTES
    with pytest.raises(CacheKeyError, match="bytes"):
        encode(make(MAX_BYTES + 1))


def test_the_number_of_parts_is_bounded() -> None:
    """A hundred thousand parts, the list among them, are encoded, one more is refused."""
    assert encode([None] * (MAX_ITEMS - 1)).startswith(b"L99999:")
    with pytest.raises(CacheKeyError, match="parts"):
        encode([None] * MAX_ITEMS)
