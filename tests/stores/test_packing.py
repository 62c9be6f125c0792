"""Requests are byte for byte those of redis-py."""

from __future__ import annotations

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.connection import HiredisRespSerializer

from cache.stores.packing import LARGE, pack, pack_in_parts

COMMANDS = [
    ("GET", "k"),
    ("CONFIG GET", "maxmemory"),
    ("  CONFIG\tGET  ", "a b"),
    (b"CONFIG GET", b"a b"),
    (b"GET", "a b"),
    ("", "a"),
    ("FT.SEARCH", "ä", b"\xff"),
    ("SET", "k", 5, 1.5, -0.0, 10**30),
    ("SET", "k", memoryview(b"abc"), bytearray(b"def")),
    ("SET", "k", "a\udc80"),
    ("SET\udc80", "k"),
    ("SET", None),
    ("SET", True),
    ("SET", ["a"]),
    ("SET", {"a": 1}),
    (5, "a"),
    (),
]


def _outcome(function, args):
    try:
        return function(args)
    except Exception as error:
        return type(error), str(error)


def _by_redis_py(args):
    return b"".join(HiredisRespSerializer().pack(*args))


def _joined(commands):
    request = pack_in_parts(commands)
    return request if isinstance(request, bytes) else b"".join(request)


@pytest.mark.parametrize("args", COMMANDS)
def test_bytes_and_errors_are_those_of_redis_py(args):
    """Texts, numbers, views, words in the name; what cannot be sent is refused by the same error."""
    assert _outcome(pack, args) == _outcome(_by_redis_py, args)
    assert _outcome(lambda command: _joined([command]), args) == _outcome(_by_redis_py, args)


@given(st.lists(st.lists(st.binary() | st.text() | st.integers() | st.floats(), min_size=1), min_size=1))
def test_any_commands_are_packed_alike(commands):
    """Whatever the arguments, several in one request too."""
    given_names = [("SET", *args) for args in commands]

    assert _outcome(_joined, given_names) == _outcome(
        lambda all_of_them: b"".join(map(_by_redis_py, all_of_them)), given_names
    )


def test_large_values_are_sent_from_where_they_lie():
    """They stand in the request as themselves, between the bytes around them."""
    one, two = b"x" * (LARGE + 1), b"y" * (LARGE + 2)
    commands = [("GET", "a"), ("MSET", "a", one, "b", 5, "c", two, "d", "e"), ("GET", "b")]

    request = pack_in_parts(commands)

    assert isinstance(request, list)
    assert [part for part in request if part is one or part is two] == [one, two]
    assert b"".join(request) == b"".join(map(_by_redis_py, commands))


def test_a_wrong_argument_beside_a_large_value_is_refused():
    """The same error as without it."""
    with pytest.raises(redis.DataError):
        pack_in_parts([("SET", "a", b"x" * (LARGE + 1), None)])
