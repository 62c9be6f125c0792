"""A process's figures as bytes: compact JSON, zstd where that is smaller; read back with nothing taken on trust.

The format's name is made from the buckets too, so that a program whose histograms differ is not
added up wrongly: what it wrote is of another format.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from enum import StrEnum
from typing import Any

import orjson
import zstandard

from telemetry.figures import Figures
from telemetry.histogram import Histogram
from telemetry.schema import AGE_BUCKETS, DURATION_BUCKETS, SIZE_BUCKETS
from telemetry.vocabulary import (
    BreakerState,
    ErrorType,
    FlightScope,
    MissReason,
    MissTrigger,
    Operation,
    Outcome,
    Tier,
    Trigger,
    VerificationResult,
    WriteResult,
)
from telemetry.worth import Worth

MAX_BYTES = 4 << 20
"""Largest record, before compression; a process with every category and every series full stays below a tenth."""

COMPRESS_ABOVE = 512
"""Bytes from which a record is compressed."""

LONGEST_CATEGORY = 64
"""Characters of a category's name."""

MOST_CATEGORIES = 256
"""In one record: a process has fewer than 32, but what is folded may be of several programs."""

LARGEST = 1 << 53
"""Largest count, and most seconds: beyond it sums are neither exact nor JSON any more."""

_PLAIN, _ZSTD = b"j", b"z"

_COUNTERS: dict[str, tuple[type[str], ...]] = {
    "requests": (str, Operation, Outcome, Tier, MissReason),
    "invalidated": (str, MissTrigger),
    "writes": (str, WriteResult),
    "deletes": (str, Trigger),
    "invalidations": (str, Trigger),
    "errors": (str, Operation, ErrorType),
    "waits": (str, FlightScope),
    "bytes_stored": (str,),
    "transitions": (BreakerState,),
    "verifications": (str, VerificationResult),
}
_OPTIONAL = (Tier, MissReason)
_SECONDS: dict[str, tuple[type[str], ...]] = {"avoided_s": (str,), "overhead_s": (str,), "worth": (str, Worth)}
_HISTOGRAMS: dict[str, tuple[tuple[type[str], ...], tuple[float, ...]]] = {
    "durations": ((str, Outcome), DURATION_BUCKETS),
    "computations": ((str,), DURATION_BUCKETS),
    "wait_times": ((str, FlightScope), DURATION_BUCKETS),
    "sizes": ((str,), SIZE_BUCKETS),
    "ages": ((str,), AGE_BUCKETS),
}
FORMAT = "2-" + hashlib.sha256(repr((DURATION_BUCKETS, SIZE_BUCKETS, AGE_BUCKETS)).encode()).hexdigest()[:8]
"""Names what is written here; anything else is left out of the sums, and the sums are not complete."""

LEFT_OUT = frozenset({"breakers", "generation", "ttls_s"})
"""Fields of ``Figures`` that say how one process is now or how it was set, and are not added up."""


def encode(figures: Figures) -> bytes:
    """The bytes of all that can be added up."""
    since = figures.since if math.isfinite(figures.since) else None
    document: dict[str, Any] = {"format": FORMAT, "dropped": figures.dropped, "since": since}
    for name in _COUNTERS:
        document[name] = [[*_words(key), n] for key, n in getattr(figures, name).items()]
    for name in _SECONDS:
        document[name] = [[*_words(key), n] for key, n in getattr(figures, name).items()]
    for name in _HISTOGRAMS:
        document[name] = [[*_words(key), part.counts, part.total] for key, part in getattr(figures, name).items()]
    plain = orjson.dumps(document)
    if len(plain) > COMPRESS_ABOVE:
        return _ZSTD + zstandard.ZstdCompressor(level=1).compress(plain)
    return _PLAIN + plain


def decode(data: bytes) -> Figures | None:
    """The figures; None when the bytes are of another format, damaged or too large."""
    try:
        document = orjson.loads(_plain(data))
        if document["format"] != FORMAT:
            return None
        since = math.inf if document["since"] is None else _seconds(document["since"])
        parts: dict[str, Any] = {"dropped": _whole(document["dropped"]), "since": since}
        for name, kinds in _COUNTERS.items():
            parts[name] = Counter({_key(words, kinds): _whole(n) for *words, n in document[name]})
        for name, kinds in _SECONDS.items():
            parts[name] = {_key(words, kinds): _seconds(value) for *words, value in document[name]}
        for name, (kinds, buckets) in _HISTOGRAMS.items():
            rows = document[name]
            parts[name] = {_key(words, kinds): _histogram(buckets, counts, total) for *words, counts, total in rows}
        _few_categories(parts)
    except (ValueError, TypeError, LookupError, zstandard.ZstdError, MemoryError):
        return None
    return Figures(**parts)


def _few_categories(parts: dict[str, Any]) -> None:
    tables = [part for part in parts.values() if isinstance(part, dict)]
    if len({key if isinstance(key, str) else key[0] for table in tables for key in table}) > MOST_CATEGORIES:
        raise ValueError("so many categories are none of ours")


def _plain(data: bytes) -> bytes:
    kind, rest = data[:1], data[1:]
    if kind == _PLAIN and len(rest) <= MAX_BYTES:
        return rest
    if kind != _ZSTD or not 0 < zstandard.frame_content_size(rest) <= MAX_BYTES:
        raise ValueError(kind)
    return zstandard.ZstdDecompressor().decompress(rest, max_output_size=MAX_BYTES)


def _words(key: Any) -> tuple[str | None, ...]:
    """The words of a table's key, which is one word or a tuple of them."""
    return key if isinstance(key, tuple) else (key,)


def _key(words: list[Any], kinds: tuple[type[str], ...]) -> Any:
    parts = tuple(_word(word, kind) for word, kind in zip(words, kinds, strict=True))
    return parts if len(parts) > 1 else parts[0]


def _word(word: Any, kind: type[str]) -> str | None:
    if word is None and kind in _OPTIONAL:
        return None
    if not isinstance(word, str) or not 0 < len(word) <= LONGEST_CATEGORY or not word.isprintable():
        raise ValueError(kind.__name__)
    return kind(word) if issubclass(kind, StrEnum) else word


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise ValueError("a count is a whole number")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= LARGEST:
        raise ValueError("seconds are a number that can be added up")
    return float(value)


def _histogram(buckets: tuple[float, ...], counts: Any, total: Any) -> Histogram:
    made = Histogram(buckets)
    if not isinstance(counts, list) or len(counts) != len(made.counts):
        raise ValueError("the buckets differ")
    made.counts = [_whole(n) for n in counts]
    made.count, made.total = sum(made.counts), _seconds(total)
    return made
