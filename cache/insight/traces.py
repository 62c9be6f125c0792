"""Requests out of a public format: the cluster traces that Twitter published.

Each line is ``timestamp,key,key size,value size,client id,operation,TTL``: seconds, bytes, bytes, seconds.

Source: J. Yang, Y. Yue, K. V. Rashmi, "A large scale analysis of hundreds of in-memory cache clusters at Twitter",
OSDI 2020; https://github.com/twitter/cache-trace, README, "Trace format".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from cache.errors import TraceError

LONGEST_LINE = 4096
"""Characters."""

COLUMNS = 7


class Act(StrEnum):
    """What a request does to an entry."""

    LOOK = "look"
    STORE = "store"
    DROP = "drop"


ACTS = {
    "get": Act.LOOK,
    "gets": Act.LOOK,
    "set": Act.STORE,
    "add": Act.STORE,
    "replace": Act.STORE,
    "cas": Act.STORE,
    "delete": Act.DROP,
    "append": None,
    "prepend": None,
    "incr": None,
    "decr": None,
}
"""The format's operations; those that change a value in place neither look, write a TTL nor end an entry."""


class Request(NamedTuple):
    """One request: seconds, the first 8 bytes of the key's SHA-256, bytes of key and value."""

    time_s: float
    digest: bytes
    size: int
    act: Act


def requests(lines: Iterable[str]) -> Iterator[Request]:
    """The requests of a trace, in its order.

    Raises:
        TraceError: a line is not of the format, or its time goes back.
    """
    before = 0.0
    for number, line in enumerate(lines, 1):
        found = _request(number, line)
        if found is None:
            continue
        if found.time_s < before:
            raise TraceError(f"line {number}: its time is before that of the line above")
        before = found.time_s
        yield found


def _request(number: int, line: str) -> Request | None:
    if len(line) > LONGEST_LINE:
        raise TraceError(f"line {number}: longer than {LONGEST_LINE} characters")
    parts = line.strip().split(",")
    # a key may have commas in it
    if len(parts) < COLUMNS:
        raise TraceError(
            f"line {number}: {COLUMNS} columns are wanted: timestamp,key,key size,value size,client,op,TTL"
        )
    time_s, key, (key_size, value_size, _, operation, _) = parts[0], ",".join(parts[1:-5]), parts[-5:]
    if operation not in ACTS:
        raise TraceError(f"line {number}: an operation is one of {', '.join(ACTS)}")
    act = ACTS[operation]
    if not all(text.isascii() and text.isdecimal() and len(text) < 16 for text in (time_s, key_size, value_size)):
        raise TraceError(f"line {number}: time and sizes are whole numbers")
    if act is None:
        return None
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8]
    return Request(float(time_s), digest, int(key_size) + int(value_size), act)
