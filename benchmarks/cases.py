"""The values that are cached, the same for everybody."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

TTL_S = 3600
"""Time to live of everything, seconds."""

DIMENSIONS = 384


@dataclass(frozen=True, slots=True)
class Case:
    """A value and how it looks when nobody adds anything to it.

    Args:
        name: part of row names.
        title: for people.
        value: what is cached.
        raw: the bytes that the base gets and sets.
    """

    name: str
    title: str
    value: Any
    raw: bytes

    def same(self, other: Any) -> bool:
        """True when a cache gave the value back."""
        if isinstance(self.value, np.ndarray):
            return isinstance(other, np.ndarray) and np.allclose(self.value, other, rtol=1e-6)
        return bool(other == self.value)

    @property
    def tool_key(self) -> tuple[str, dict[str, Any]]:
        """A key of the category ``tool``: the name, and parameters that are encoded and hashed at each call."""
        return ("search_text", {"query": f"what is {self.name}", "limit": 10, "folder": "src"})

    @property
    def text(self) -> str:
        """A key of the category ``embedding``, and of the peers."""
        return f"what is the value of {self.name} in the benchmark of the cache"


def _records(count: int, note: int) -> list[dict[str, Any]]:
    draw = random.Random(7)
    return [
        {"id": n, "name": f"record {n}", "score": round(draw.random(), 6), "tags": ["a", "b"], "note": "x" * note}
        for n in range(count)
    ]


def _json(name: str, title: str, value: Any) -> Case:
    return Case(name, title, value, orjson.dumps(value))


def _embedding() -> Case:
    vector = np.random.default_rng(7).standard_normal(DIMENSIONS).astype(np.float32)
    vector.flags.writeable = False
    return Case("embedding", "384-float embedding", vector, vector.tobytes())


def _megabyte() -> Case:
    return _json("json1m", "JSON of 1 MiB", {"records": _records(8800, 42)})


_MAKERS: Mapping[str, Callable[[], Case]] = {
    "json200": lambda: _json("json200", "JSON of 200 B", {"records": _records(2, 22)}),
    "json2k": lambda: _json("json2k", "JSON of 2 KB", {"records": _records(20, 26)}),
    "embedding": _embedding,
    "json1m": _megabyte,
}

HITS = ("json200", "json2k", "embedding")
"""The cases of the rows of hits."""


def case(name: str) -> Case:
    """A case by name."""
    return _MAKERS[name]()
