"""A bound on replies, held before anything is allocated for them."""

from __future__ import annotations

from typing import Any

import redis

MAX_ELEMENTS = 1 << 20
"""Most elements that a reply's first header may announce."""

LONGEST_HEADER = 24
"""Bytes that the longest header has: a sign, the digits of 64 bits, the end of the line."""

_AGGREGATES = b"*%~>|"
_BULKS = b"$=!"

ANNOUNCING = _AGGREGATES + _BULKS
"""First bytes of replies whose header says how much follows."""


class ReplyMeter:
    """Counts the bytes of the replies to one request.

    Args:
        max_bytes: more of them are refused.
    """

    __slots__ = ("_max_bytes", "_received")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._received = max_bytes, 0

    def restart(self) -> None:
        """A new request goes out."""
        self._received = 0

    def received(self, buffer: Any, count: int) -> None:
        """Some bytes came.

        Raises:
            redis.InvalidResponse: too many, or the first header announces too much.
        """
        if not self._received and count > 7:
            check_announced(bytes(buffer[: min(count, LONGEST_HEADER)]), self._max_bytes)
        self._received += count
        if self._received > self._max_bytes:
            raise redis.InvalidResponse("a reply is too large")


def check_announced(head: bytes, max_bytes: int) -> None:
    """Look at what a reply's first header announces.

    Raises:
        redis.InvalidResponse: too much.
    """
    if head[0] in _AGGREGATES:
        limit = MAX_ELEMENTS
    elif head[0] in _BULKS:
        limit = max_bytes
    else:
        return
    digits = head[1:].partition(b"\r")[0]
    if digits.isdigit() and int(digits) > limit:
        raise redis.InvalidResponse("a reply announces too much")
