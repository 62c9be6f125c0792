"""The one table of bad input: what is given, and what happens. Tests play it, ``docs/bad-input.md`` is made from it.

Each row works, or is refused by a named error before any I/O. Nothing crashes, hangs, or passes for something else.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np

from cache import MISS, Policy
from cache.core.codecs import CodecName

WORKS = "works"
CAP = 1 << 20
"""Bytes of the built-in categories' largest value."""


@dataclass(frozen=True)
class Row:
    """One input.

    Args:
        what: for the reader.
        given: makes it.
        happens: ``works``, or the error's name.
        category: whose key or value it is.
        text: the same for the command line and the API; None where it cannot be written there.
    """

    what: str
    given: Callable[[], Any]
    happens: str = WORKS
    category: str = "prompt"
    text: str | None = None


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Args:
        status, code: of the answer; no code where it succeeds.
        raw: bytes that are sent in place of a request.
    """

    what: str
    status: int
    code: str = ""
    method: str = "POST"
    path: str = "/cache/invalidate?pattern=prompt:bad"
    headers: Mapping[str, str] | tuple[tuple[str, str], ...] = field(default_factory=dict)
    body: bytes = b""
    token: bool = True
    raw: bytes = b""


@dataclass(frozen=True)
class Command:
    """One command line: its exit code and, where it fails, a part of what it says."""

    what: str
    argv: tuple[str, ...]
    code: int
    says: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class Opaque:
    """Nothing that means anything beyond this process."""

    def method(self) -> None:
        """Bound to an object."""


class Text(str):
    """A subclass: whether it is its text is not for a cache to say."""

    __slots__ = ()


class Hostile:
    """Raises wherever it is touched."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __reduce__(self) -> str:
        raise RuntimeError("reduce")

    def __repr__(self) -> str:
        raise RuntimeError("repr")


class Colour(enum.Enum):
    """A choice."""

    RED = 1


@dataclasses.dataclass
class Place:
    """A value with fields."""

    x: int
    y: int


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def cyclic() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


async def _coroutine() -> int:
    return 1


def coroutine() -> Any:
    """One that nobody will await, closed so that nobody warns."""
    made = _coroutine()
    made.close()
    return made


KEYS: tuple[Row, ...] = (
    Row("empty text", lambda: "", "CacheKeyError"),
    Row("empty text of a category whose keys are digests", lambda: "", category="static"),
    Row("CR and LF", lambda: "a\r\nDEL b", text="a\r\nDEL b"),
    Row("NUL", lambda: "a\x00b"),
    Row("bytes that are no UTF-8", lambda: b"\xff\xfe"),
    Row("70,000 characters", lambda: "x" * 70_000),
    Row("a lone surrogate", lambda: "\ud800", "CacheKeyError", text='"\\ud800"'),
    Row("None", lambda: None, text="null"),
    Row("True", lambda: True, text="true"),
    Row("a list", lambda: [1, "a"], text='[1, "a"]'),
    Row("letters that look alike, right-to-left marks, emoji", lambda: "а\u202eb\U0001f600", text="а\u202eb\U0001f600"),
    Row("braces, as a cluster's hash tags have", lambda: "{tag}{}", text="{tag}{}"),
    Row("a delimiter", lambda: "a:b:*", text="a:b:*"),
    Row("dots and slashes", lambda: "../../etc/passwd", text="../../etc/passwd"),
    Row("glob characters", lambda: "*?[a-z]\\", text="*?[a-z]\\"),
    Row("an escape", lambda: "%2A~", text="%2A~"),
    Row("NaN", lambda: float("nan"), "CacheKeyError", text="NaN"),
    Row("infinity", lambda: float("inf"), text="Infinity"),
    Row("the largest float", lambda: 1e308, text="1e308"),
    Row("an integer of 5,000 digits", lambda: 1 << 16_600),
    Row("Decimal", lambda: Decimal("1.50")),
    Row("Decimal NaN", lambda: Decimal("NaN"), "CacheKeyError"),
    Row("a moment with a zone", lambda: datetime(2026, 1, 1, tzinfo=UTC)),
    Row("a moment without one", lambda: datetime(2026, 1, 1)),  # noqa: DTZ001
    Row(
        "a date, a UUID, a path, an enum's member",
        lambda: (date(2026, 1, 1), UUID(int=1), PurePosixPath("a"), Colour.RED),
    ),
    Row("a dataclass", lambda: Place(1, 2)),
    Row("a set", lambda: {3, 1, 2}),
    Row("nested 64 deep", lambda: nested(63)),
    Row("nested 10,000 deep", lambda: nested(10_000), "CacheKeyError"),
    Row("a list that holds itself", cyclic, "CacheKeyError"),
    Row("100,001 parts", lambda: list(range(100_001)), "CacheKeyError"),
    Row("2 MiB", lambda: b"x" * (2 << 20), "CacheKeyError"),
    Row("an object", Opaque, "CacheKeyError"),
    Row("a function, a bound method", lambda: Opaque().method, "CacheKeyError"),
    Row("a class", lambda: Opaque, "CacheKeyError"),
    Row("a generator", lambda: (n for n in range(3)), "CacheKeyError"),
    Row("a lock", threading.Lock, "CacheKeyError"),
    Row("an exception", lambda: ValueError("x"), "CacheKeyError"),
    Row("a subclass of text", lambda: Text("a"), "CacheKeyError"),
    Row("an object that raises wherever it is touched", Hostile, "CacheKeyError"),
    Row("context: text alone", lambda: "t", "CacheKeyError", "context", text='"t"'),
    Row("context: an empty task", lambda: ("", 1), "CacheKeyError", "context"),
    Row("context: a turn that is text", lambda: ("t", "1"), "CacheKeyError", "context"),
    Row("context: a turn of True, -1, 1.0 or 2^63", lambda: ("t", 1 << 63), "CacheKeyError", "context"),
    Row("context: a task of 508 characters, which no tag can name", lambda: ("t" * 508, 1), "CacheKeyError", "context"),
    Row("tool: a name that is no text", lambda: (1, {}), "CacheKeyError", "tool"),
    Row("tool: parameters that are NaN", lambda: ("t", {"a": float("nan")}), "CacheKeyError", "tool"),
    Row("embedding: a lone surrogate", lambda: "\udfff", "CacheKeyError", "embedding"),
    Row("a category that nobody registered", lambda: "k", "UnknownCategoryError", "nope", text="k"),
    Row("a category that is no text", lambda: "k", "UnknownCategoryError", ["prompt"]),  # type: ignore[arg-type]
)
"""Keys, as ``get``, ``set`` and all others take them."""

PAIRS: tuple[tuple[str, Any, Any, bool], ...] = (
    ('1 and "1"', 1, "1", False),
    ("1 and 1.0", 1, 1.0, False),
    ("1 and True", 1, True, False),
    ("0.0 and -0.0", 0.0, -0.0, False),
    ('b"a" and "a"', b"a", "a", False),
    ("é composed and decomposed", "\u00e9", "e\u0301", False),
    ("a Latin and a Cyrillic a", "a", "\u0430", False),
    ('("a", "b") and "a:b"', ("a", "b"), "a:b", False),
    ("(1, 2) and [1, 2]", (1, 2), [1, 2], False),
    ('{1: 0} and {"1": 0}', {1: 0}, {"1": 0}, False),
    ("a moment with and without a zone", datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), False),  # noqa: DTZ001
    ("Decimal 1.5 and 1.50", Decimal("1.5"), Decimal("1.50"), False),
    ("None and an empty list", None, [], False),
    ('{"a": 1, "b": 2} in either order', {"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ("{1, 2} in either order", {1, 2}, {2, 1}, True),
)
"""Two keys, and whether they are one."""

VALUES: tuple[Row, ...] = (
    Row("None", lambda: None),
    Row("empty text, 0, False, an empty list and dict", lambda: ["", 0, False, [], {}]),
    Row("-0.0", lambda: -0.0),
    Row("NaN", lambda: float("nan"), "CacheValueError"),
    Row("infinity", lambda: float("inf"), "CacheValueError"),
    Row("2^64 - 1", lambda: (1 << 64) - 1),
    Row("2^64", lambda: 1 << 64, "CacheValueError"),
    Row("bytes, of no length too", lambda: b""),
    Row("bytes of every kind", lambda: bytes(range(256))),
    Row("a lone surrogate", lambda: "\ud800", "CacheValueError"),
    Row("a tuple", lambda: (1, 2), "CacheValueError"),
    Row("a set", lambda: {1}, "CacheValueError"),
    Row("a dict with keys that are no text", lambda: {1: "a"}, "CacheValueError"),
    Row("a moment", lambda: datetime(2026, 1, 1, tzinfo=UTC), "CacheValueError"),
    Row("Decimal", lambda: Decimal(1), "CacheValueError"),
    Row("a dataclass", lambda: Place(1, 2), "CacheValueError"),
    Row("a subclass of text, also deep inside", lambda: {"a": [Text("x")]}, "CacheValueError"),
    Row("an array of float32", lambda: np.ones((2, 3), np.float32)),
    Row("an array of objects", lambda: np.array([object()], object), "CacheValueError"),
    Row("as large as the cap", lambda: b"x" * CAP),
    Row("a byte above the cap", lambda: b"x" * (CAP + 1), "ValueTooLargeError"),
    Row("64 MiB that compress to nothing", lambda: "x" * (64 << 20), "ValueTooLargeError"),
    Row("nested 10,000 deep", lambda: nested(10_000), "CacheValueError"),
    Row("a list that holds itself", cyclic, "CacheValueError"),
    Row("a coroutine", coroutine, "CacheValueError"),
    Row("a generator", lambda: (n for n in range(3)), "CacheValueError"),
    Row("an open file", lambda: sys.__stderr__, "CacheValueError"),
    Row("a lock", threading.Lock, "CacheValueError"),
    Row("an exception", lambda: ValueError("x"), "CacheValueError"),
    Row("an object that raises wherever it is touched", Hostile, "CacheValueError"),
    Row("the sentinel MISS", lambda: MISS, "CacheValueError"),
)
"""Values; the category is ``prompt``. ``get_or_compute`` returns what cannot be kept, and does not keep it."""

TTLS: tuple[Row, ...] = (
    Row("None: the category's", lambda: None),
    Row("1.5 seconds", lambda: 1.5),
    Row("a millisecond", lambda: 0.001),
    Row("half a millisecond", lambda: 0.0005, "TTLError"),
    Row("a timedelta", lambda: timedelta(minutes=1)),
    Row("ten years", lambda: 315_360_000),
    Row("a second more", lambda: 315_360_001, "TTLError"),
    Row("0", lambda: 0, "TTLError"),
    Row("-1", lambda: -1, "TTLError"),
    Row("a timedelta of nothing, or less", lambda: timedelta(0), "TTLError"),
    Row("NaN", lambda: float("nan"), "TTLError"),
    Row("infinity", lambda: float("inf"), "TTLError"),
    Row("True", lambda: True, "TTLError"),
    Row("10^12", lambda: 10**12, "TTLError"),
    Row("2^63 - 1", lambda: (1 << 63) - 1, "TTLError"),
    Row("10^400", lambda: 10**400, "TTLError"),
    Row("text", lambda: "60", "TTLError"),
    Row("a function", lambda: lambda: 60, "TTLError"),
    Row("an object that raises wherever it is touched", Hostile, "TTLError"),
)
"""Times to live, of ``set``, ``get_or_compute`` and all others. The plain client answers False, with a warning."""

TAGS: tuple[Row, ...] = (
    Row("text: one tag", lambda: "red"),
    Row("None: no tag", lambda: None),
    Row("512 characters", lambda: ["t" * 512]),
    Row("513 characters", lambda: ["t" * 513], "CacheKeyError"),
    Row("empty text in a list", lambda: [""], "CacheKeyError"),
    Row("a lone surrogate", lambda: ["\ud800"], "CacheKeyError"),
    Row("no text", lambda: [1], "CacheKeyError"),
    Row("bytes", lambda: [b"red"], "CacheKeyError"),
    Row("no collection", lambda: 5, "CacheKeyError"),
    Row("delimiters, globs, braces, CR and LF", lambda: ["a:b*[c]{d}\r\n"]),
    Row("256 tags", lambda: [f"t{n}" for n in range(256)]),
    Row("257 tags", lambda: [f"t{n}" for n in range(257)], "CacheKeyError"),
)
"""Tags, of ``get`` and ``set``."""

PATTERNS: tuple[Row, ...] = (
    Row("a task's, a tool's, a category's keys", lambda: "context:t:*", text="context:t:*"),
    Row("nothing there that matches", lambda: "prompt:nothing", text="prompt:nothing"),
    Row("empty", lambda: "", "PatternError"),
    Row("*", lambda: "*", "PatternError", text="*"),
    Row("a prefix alone", lambda: "context", "PatternError", text="context"),
    Row("nothing behind the prefix", lambda: "context:", "PatternError", text="context:"),
    Row("a category that nobody registered", lambda: "nope:*", "PatternError", text="nope:*"),
    Row("our own bookkeeping", lambda: "gen:*", "PatternError", text="gen:*"),
    Row("a glob before the prefix", lambda: "*:context", "PatternError", text="*:context"),
    Row("two stars in a row", lambda: "context:**", "PatternError", text="context:**"),
    Row("nine stars", lambda: "context:" + "*a" * 9, "PatternError", text="context:" + "*a" * 9),
    Row("513 characters", lambda: "context:" + "a" * 505, "PatternError", text="context:" + "a" * 505),
    Row("CR and LF", lambda: "context:a\r\n", "PatternError", text="context:a\r\n"),
    Row("NUL", lambda: "context:a\x00b", "PatternError"),
    Row("a lone surrogate", lambda: "context:\ud800", "PatternError"),
    Row("no text", lambda: b"context:*", "PatternError"),
)
"""Patterns, of ``invalidate``; the API takes letters, digits and ``. _ ~ % : ? - *`` alone, at most five stars."""

POLICIES: tuple[Row, ...] = (
    Row("a name of capitals", lambda: Policy(name="Mine"), "CategoryError"),
    Row("a name of 33 letters", lambda: Policy(name="a" * 33), "CategoryError"),
    Row("a name that is taken", lambda: Policy(name="other"), "CategoryError"),
    Row("a prefix of our own bookkeeping", lambda: Policy(name="mine", prefix="gen"), "CategoryError"),
    Row("a TTL of 0", lambda: Policy(name="mine", ttl_s=0), "TTLError"),
    Row("jitter that could take a TTL off whole", lambda: Policy(name="mine", jitter=1.0), "CategoryError"),
    Row("a stale window below 0, or NaN", lambda: Policy(name="mine", stale_window_s=float("nan")), "CategoryError"),
    Row("a stale window shorter than the TTL", lambda: Policy(name="mine", ttl_s=60, stale_window_s=1)),
    Row("refreshing after the end", lambda: Policy(name="mine", refresh_ahead=1.5), "CategoryError"),
    Row("a cap of 0, or above 512 MiB", lambda: Policy(name="mine", max_bytes=(512 << 20) + 1), "CategoryError"),
    Row("bytes by the codec of JSON", lambda: Policy(name="mine", codec=CodecName.JSON)),
)
"""Categories of an application's own, when they are made."""

_LONG = "a" * 4000
REQUESTS: tuple[Request, ...] = (
    Request("all is well", 200),
    Request("nothing there: the same again", 200),
    Request("no token", 401, "token_missing", token=False),
    Request("an empty one", 401, "token_invalid", headers={"Authorization": ""}, token=False),
    Request("another scheme", 401, "token_invalid", headers={"Authorization": "Basic a-test-token"}, token=False),
    Request("a wrong token", 401, "token_invalid", headers={"Authorization": "Bearer other"}, token=False),
    Request("a token of other bytes", 401, "token_invalid", headers={"Authorization": "Bearer \xff\xfe"}, token=False),
    Request("two tokens", 401, "token_invalid", headers=(("Authorization", "Bearer a"), ("Authorization", "Bearer b")),
            token=False),
    Request("no pattern", 422, "invalid_parameter", path="/cache/invalidate"),
    Request("two patterns", 422, "doubled_parameter", path="/cache/invalidate?pattern=prompt:a&pattern=prompt:b"),
    Request("an unknown parameter", 422, "unknown_parameter", path="/cache/invalidate?pattern=prompt:a&dryrun=true"),
    Request("dry_run of no truth", 422, "invalid_parameter", path="/cache/invalidate?pattern=prompt:a&dry_run=maybe"),
    Request("an empty tenant", 422, "invalid_parameter", path="/cache/invalidate?pattern=prompt:a&tenant="),
    Request("a tenant that is a glob: itself", 200, "", path="/cache/invalidate?pattern=prompt:a&tenant=*"),
    Request("%00 in the pattern", 422, "invalid_parameter", path="/cache/invalidate?pattern=prompt:%00"),
    Request("%0d%0a in the pattern", 422, "invalid_parameter", path="/cache/invalidate?pattern=prompt:%0d%0a"),
    Request("overlong UTF-8 in the pattern", 422, "invalid_parameter", path="/cache/invalidate?pattern=prompt:%c0%af"),
    Request("a key that is NaN", 422, "key", "GET", "/cache/explain?category=prompt&key=NaN"),
    Request("a key of doubled JSON keys: the last counts", 200, "", "GET",
            '/cache/explain?category=tool&key=["t",{"a":1,"a":2}]'),
    Request("a key of JSON 2,000 deep: text", 200, "", "GET", f"/cache/explain?category=prompt&key={'[' * 2000}"),
    Request("a key of 2,049 characters", 422, "invalid_parameter", "GET",
            f"/cache/explain?category=prompt&key={'a' * 2049}"),
    Request("a category that nobody registered", 422, "unknown_category", "GET", "/cache/explain?category=x&key=a"),
    Request("figures since a time that is none", 422, "since", "GET", "/cache/metrics?since=yesterday"),
    Request("figures since a snapshot of another process", 404, "snapshot_gone", "GET",
            "/cache/metrics?since=s-00000000-1"),
    Request("a scope that there is not", 422, "invalid_parameter", "GET", "/cache/metrics?scope=all"),
    Request("a body in JSON, NaN in it", 200, headers={"Content-Type": "application/json"}, body=b'{"pattern": NaN}'),
    Request("a body of 9 KiB, gzip or not", 413, "body_too_large", headers={"Content-Encoding": "gzip"},
            body=b"x" * 9216),
    Request("a head of 17 KiB", 431, "head_too_large", headers={"X": _LONG * 5}),
    Request("a path that leads up", 404, "not_found", "GET", "/cache/%2e%2e%2fmetrics"),
    Request("a path with NUL", 404, "not_found", "GET", "/cache/%00"),
    Request("a path with CR and LF", 404, "not_found", "GET", "/cache/%0d%0aX:%20y"),
    Request("a slash too many", 404, "not_found", "GET", "/cache/health/"),
    Request("GET where POST is meant", 405, "method_not_allowed", "GET"),
    Request("TRACE", 405, "method_not_allowed", "TRACE", "/live"),
    Request("OPTIONS", 405, "method_not_allowed", "OPTIONS", "/cache/metrics"),
    Request("HEAD", 200, "", "HEAD", "/cache/metrics"),
    Request("a host under another name", 421, "host_not_allowed", "GET", "/live", {"Host": "evil.example"}),
    Request("a page of another origin", 403, "origin_not_allowed", "GET", "/live", {"Origin": "https://evil.example"}),
    Request("X-Forwarded-For: it is not believed", 200, "", "GET", "/live", {"X-Forwarded-For": "10.0.0.1"}),
    Request("no HTTP", 400, "bad_request", raw=b"\x00\xff\r\n\r\n"),
    Request("no host", 400, "bad_request", raw=b"GET /live HTTP/1.1\r\n\r\n"),
    Request("two hosts", 400, "bad_request", raw=b"GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    Request("NUL in a header", 400, "bad_request", raw=b"GET /live HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n"),
    Request("a negative length", 400, "bad_request",
            raw=b"POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"),
    Request("two lengths", 400, "bad_request",
            raw=b"POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    Request("a body in chunks", 411, "length_required",
            raw=b"POST /cache/invalidate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
    Request("the other host in an absolute target", 404, "not_found",
            raw=b"GET http://evil.example/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
)  # fmt: skip
"""Requests; those that are guarded have the token unless it is what they are about."""

COMMANDS: tuple[Command, ...] = (
    Command("no command", (), 2, "required"),
    Command("an unknown one", ("nope",), 2, "invalid choice"),
    Command("nothing to invalidate", ("invalidate",), 2, "nothing to invalidate"),
    Command("counting a tag's keys", ("invalidate", "--tag", "a", "--dry-run"), 2, "cannot be counted"),
    Command("an empty tag", ("invalidate", "--tag", ""), 1, "a tag is text"),
    Command("an empty tenant", ("invalidate", "--all", "--tenant", ""), 1, "must not be empty"),
    Command("a category that nobody registered", ("invalidate", "--category", "nope"), 1, "no category"),
    Command("workers of 0", ("serve", "--workers", "0"), 2, "invalid"),
    Command("workers of 1,000", ("serve", "--workers", "1000"), 2, "more than 64"),
    Command("a port of 70,000", ("serve", "--port", "70000"), 2, "a port is a number"),
    Command("a pace that is NaN", ("traffic", "--pace", "nan"), 2, "invalid"),
    Command("stats of no HTTP", ("stats", "--url", "file:///etc/passwd"), 1, "--url begins with"),
    Command("a snapshot that is not there", ("compare", "none.json", "none.json"), 2, "No such file"),
    Command("explaining by no HTTP", ("explain", "--url", "file:///etc/passwd", "prompt", "k"), 1, "--url begins with"),
    Command("a URL of another scheme", ("explain", "prompt", "k"), 1, "REDIS_URL", {"REDIS_URL": "http://secret@x"}),
    Command("a URL that weakens TLS", ("explain", "prompt", "k"), 1, "REDIS_URL",
            {"REDIS_URL": "rediss://secret@x?ssl_cert_reqs=none"}),
    Command("a namespace with a delimiter", ("explain", "prompt", "k"), 1, "CACHE_NAMESPACE",
            {"CACHE_NAMESPACE": "a:b"}),
    Command("a TTL of 0", ("explain", "prompt", "k"), 1, "CACHE_DEFAULT_TTL", {"CACHE_DEFAULT_TTL": "0"}),
    Command("a budget of 1 byte", ("explain", "prompt", "k"), 1, "CACHE_TENANT_MAX_BYTES",
            {"CACHE_TENANT_MAX_BYTES": "1"}),
    Command("a deadline of 3 s", ("explain", "prompt", "k"), 1, "CACHE_READ_DEADLINE", {"CACHE_READ_DEADLINE": "3"}),
    Command("an old signing key alone", ("explain", "prompt", "k"), 1, "CACHE_SIGNING_KEY_OLD",
            {"CACHE_SIGNING_KEY_OLD": "secret"}),
)  # fmt: skip
"""Command lines and settings; none shows what it was given as a password."""

CLIENT: tuple[tuple[str, str, tuple[Any, ...], Any], ...] = (
    ("get: an empty key", "get", ("",), None),
    ("get: no text", "get", (None,), None),
    ("get: a lone surrogate", "get", ("\ud800",), None),
    ("get: 65,537 characters", "get", ("x" * 65_537,), None),
    ("set: a key with CR, LF and NUL", "set", ("prompt:a\r\n\x00", "v"), True),
    ("set: an empty key", "set", ("", "v"), False),
    ("set: a value that is no text", "set", ("prompt:a", b"v"), False),
    ("set: a lone surrogate", "set", ("prompt:a", "\ud800"), False),
    ("set: a TTL of 0, -1, NaN, True, 10^12 or text", "set", ("prompt:a", "v", 0), False),
    ("set_json: what JSON has no word for", "set_json", ("prompt:a", {1: 2}), False),
    ("set_json: NaN", "set_json", ("prompt:a", float("nan")), False),
    ("set_json: an object that raises", "set_json", ("prompt:a", Hostile()), False),
    ("set_json: a list that holds itself", "set_json", ("prompt:a", cyclic()), False),
    ("delete: an empty key", "delete", ("",), False),
    ("invalidate_pattern: empty, or 513 characters", "invalidate_pattern", ("",), 0),
    ("invalidate_pattern: no text", "invalidate_pattern", (None,), 0),
)
"""The plain client: what it answers. It never raises; what it refuses is counted as an error and logged, once each."""
