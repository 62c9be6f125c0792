"""A full simulation of a trace that shares nothing with the sample: every key, every TTL, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Step = tuple[float, str, str]
"""Seconds, a key, ``look``, ``store``, ``drop`` or ``drop_all``."""


def hit_ratios(steps: Iterable[Step], ttls_s: Sequence[float]) -> list[float]:
    """The hit ratio under each TTL: set at the write, a miss writes, a hit does not extend."""
    steps = list(steps)
    return [_hit_ratio(steps, ttl_s) for ttl_s in ttls_s]


def _hit_ratio(steps: list[Step], ttl_s: float) -> float:
    written: dict[str, float] = {}
    hits = lookups = 0
    for now, key, act in steps:
        if act == "look":
            lookups += 1
            if key in written and now < written[key] + ttl_s:
                hits += 1
            else:
                written[key] = now
        elif act == "store":
            written[key] = now
        elif act == "drop":
            written.pop(key, None)
        else:
            written.clear()
    return hits / lookups
