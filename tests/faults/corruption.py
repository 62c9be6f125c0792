"""Stored entries spoiled in every way: each byte flipped, cut at each length, lengthened, swapped, kept from before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import redis

from cache import MISS, Cache, Policy
from cache.core.codecs import CodecName
from faults.figures import Figures, Limits
from faults.place import Place
from faults.registry import Catalogue

ROWS = Catalogue("Corruption")

POLICIES = (
    Policy(name="json", codec=CodecName.JSON),
    Policy(name="vector", codec=CodecName.VECTOR),
    Policy(name="bytes", codec=CodecName.BYTES),
    Policy(name="packed", codec=CodecName.JSON, compress_above=64),
    Policy(name="frozen", codec=CodecName.BYTES, compress_above=64),
)
VALUES: dict[str, tuple[Any, Any]] = {
    "json": ({"a": [1, 2.5, None], "b": "text"}, {"a": "another"}),
    "vector": (np.arange(12, dtype=np.float32).reshape(3, 4), np.ones((2, 2), dtype=np.float32)),
    "bytes": (b"\x00\xffsome bytes", b"others"),
    "packed": ({"long": "ab" * 200}, {"long": "cd" * 200}),
    "frozen": (bytes(400), bytes(range(256)) * 2),
}
"""By category: the value that is spoiled, and another key's."""


def spoiled(raw: bytes, *, every_bit: bool) -> Iterator[tuple[str, bytes]]:
    """Everything that can be made of an entry by accident or by hand, and what was done."""
    for at in range(len(raw)):
        for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255) if every_bit else (1 << at % 8, 255):
            yield f"byte {at} ^ {mask}", raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
    for length in range(len(raw)):
        yield f"cut to {length}", raw[:length]
    yield "lengthened", raw + b"\x00"
    yield "doubled", raw + raw
    yield "reversed", raw[::-1]
    yield "random", os.urandom(len(raw))


def accepted(cache: Cache, admin: redis.Redis, category: str, *, every_bit: bool) -> tuple[int, list[str]]:
    """How many spoiled entries there were, and what was done to those that were believed."""
    value, other = VALUES[category]
    for key, one in (("k", value), ("other", other)):
        assert cache.set(category, key, one)
    names = {key: _name(cache, category, key) for key in ("k", "other")}
    whole = {key: _bytes(admin, name) for key, name in names.items()}
    believed, count = [], 0
    for what, raw in spoiled(whole["k"], every_bit=every_bit):
        admin.set(names["k"], raw)
        count += 1
        if cache.get(category, "k") is not MISS:
            believed.append(what)
    admin.set(names["k"], whole["other"])
    believed += ["another key's entry"] if cache.get(category, "k") is not MISS else []
    admin.set(names["k"], whole["k"])
    assert cache.get(category, "k") is not MISS, "the whole entry is believed again"
    cache.invalidate(category=category)
    admin.set(names["k"], whole["k"])
    believed += ["an entry from before an invalidation"] if cache.get(category, "k") is not MISS else []
    return count + 2, believed


def _name(cache: Cache, category: str, key: str) -> str:
    return str(cache._engine.want(cache.policies[category], key).address.name)


def _bytes(admin: redis.Redis, name: str) -> bytes:
    raw = admin.get(name)
    assert isinstance(raw, bytes)
    return raw


@ROWS.trial("C1", "every byte of an entry flipped, entries cut, lengthened, swapped, replayed: checksum",
            "SET by hand, for each codec", variants=(("sync", "fast"), ("sync", "plain")))  # fmt: skip
def with_checksum(place: Place, form: str, path: str) -> Figures:
    return _all_codecs(place, path, "")


@ROWS.trial("C2", "the same with a signing key: HMAC", "SET by hand, for each codec",
            variants=(("sync", "fast"), ("sync", "plain")), limits=Limits(burst_ms=None))  # fmt: skip
def with_signature(place: Place, form: str, path: str) -> Figures:
    return _all_codecs(place, path, "a signing key of thirty-two bytes")


def _all_codecs(place: Place, path: str, key: str) -> Figures:
    figures = Figures()
    settings = {"signing_key": key, "fast_path": path == "fast", "read_deadline": 2, "write_deadline": 2}
    with Cache.from_url(place.server.url, policies=POLICIES, **settings) as cache:
        for category in VALUES:
            count, believed = accepted(cache, place.admin, category, every_bit=not place.short)
            figures.calls += count
            figures.wrong += len(believed)
            if believed:
                figures.more[category] = ", ".join(believed[:5])
    figures.more["spoiled entries"] = figures.calls
    return figures
