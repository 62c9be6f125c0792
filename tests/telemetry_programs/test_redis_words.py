"""The words of a Redis span are bounded whatever the application sends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from telemetry import redis_words as words


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (("GET", "k"), "GET"),
        ((b"get", "k"), "get"),
        (("SET key secret",), "SET"),
        (("CLIENT SETNAME", "x"), "CLIENT SETNAME"),
        (("config get maxmemory",), "config get"),
        (("CONFIG user:1",), "CONFIG"),
        (("user:1234",), "?"),
        (("X" * 33,), "?"),
        (("",), "?"),
        ((), "?"),
        ((7,), "?"),
    ],
)
def test_a_name_is_the_commands_alone(args: tuple[Any, ...], name: str) -> None:
    """Nothing but the words that name a command gets into a span's name."""
    assert words.operation(args) == name


@pytest.mark.parametrize(
    "commands", [[("MGET", *"k" * 5000)], [("GET", "k")] * 5000, [("SET", "k", "v"), ("MGET", *"k" * 5000)]]
)
def test_a_query_text_ends_at_a_kibibyte(commands: list[tuple[str, ...]]) -> None:
    """One wide command, many, and both together are cut, and say so."""
    text = words.query_text(commands)
    assert len(text) == words.LONGEST_QUERY and text.endswith("...")


def test_a_query_text_of_just_a_kibibyte_is_whole() -> None:
    """The bound itself is no reason to cut."""
    text = words.query_text([("GET", *"k" * 510)])
    assert text == "GET" + " ?" * 510 and len(text) == 1023


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (redis.ResponseError("WRONGTYPE Operation"), "WRONGTYPE", "WRONGTYPE"),
        (redis.ResponseError("user:1 is no code"), "ERR", "ERR"),
        (redis.ResponseError(""), "ERR", "ERR"),
        (redis.exceptions.NoScriptError("No matching script.", status_code="NOSCRIPT"), "NOSCRIPT", "NOSCRIPT"),
        (redis.TimeoutError("Timeout reading"), "timeout", ""),
        (TimeoutError(), "timeout", ""),
        (asyncio.CancelledError(), "cancelled", ""),
        (redis.ConnectionError("Error 111"), "redis.exceptions.ConnectionError", ""),
        (ValueError("secret"), "ValueError", ""),
    ],
)
def test_an_error_is_named_from_a_closed_set(error: BaseException, kind: str, code: str) -> None:
    """error.type and the response's code are the server's code or a class, never a text."""
    assert (words.error_type(error), words.status_code(error)) == (kind, code)
