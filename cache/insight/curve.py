"""The curve over TTLs that a sample shows, its error, and the advice that follows.

The sample's misses are scaled up and corrected by what is known without it, the number of lookups and of the cache's
own misses: by a regression on those of its parts. Where misses do not depend on lookups this is SHARDS_adj (FAST 2015,
section 3.3: what is too much or too little are hits), where they grow with them it is a ratio.

Source: W. Cochran, "Sampling Techniques", 3rd ed., section 7.3. The error is twice the standard error of what the
regression leaves in the parts.
"""

from __future__ import annotations

import math
from typing import Any

from cache.insight.reuse import GROUPS, Reuse

GAIN = 0.01
"""Hit ratio that a longer TTL has to give to be worth its staleness."""


def points(reuse: Reuse, now: float) -> list[dict[str, float]]:
    """One point for each TTL of the grid, then today's; empty without lookups.

    Args:
        now: by the clock that the sample was fed with.
    """
    total = reuse.lookups
    if not total:
        return []
    held, rows = reuse.held_bytes(now), []
    for column, ttl_s in enumerate(reuse.columns):
        missed, error = _missed(reuse, column)
        priced = reuse.priced[column]
        mean_s = reuse.paid[column] / priced if priced else 0.0
        rows.append(
            {
                "ttl": ttl_s,
                "hit_ratio": 1.0 - missed / total,
                "error": error / total,
                "bytes": held[column],
                "compute_s": missed * mean_s,
            }
        )
    return rows


def _missed(reuse: Reuse, column: int) -> tuple[float, float]:
    """The misses under one TTL, and twice their standard error."""
    sampled = [part[column] for part in reuse.missed]
    hot, others = reuse.hot_missed[column], reuse.lookups - reuse.hot_seen
    if reuse.rate >= 1.0:
        return hot + sum(sampled), 0.0
    known = [(reuse.seen, others), (reuse.really, reuse.misses - reuse.hot_really)]
    # what is left after each in turn (Gram-Schmidt): the estimate is corrected by what is known of the whole
    found, rest, bases = sum(sampled), _centred(sampled), list[tuple[list[float], float]]()
    for part, whole in known:
        base, gap = _centred(part), whole - sum(part)
        for other, other_gap in bases:
            share = _dot(base, other) / _dot(other, other)
            base = [x - share * y for x, y in zip(base, other, strict=True)]
            gap -= share * other_gap
        if _dot(base, base) <= _FLAT * _dot(part, part):
            continue
        bases.append((base, gap))
        slope = _dot(rest, base) / _dot(base, base)
        rest = [x - slope * y for x, y in zip(rest, base, strict=True)]
        found += slope * gap
    # what the parts differ by is the error of their mean, hence of their sum
    error = 2.0 * math.sqrt(_dot(rest, rest) * GROUPS / (GROUPS - 1 - len(bases)))
    return hot + min(max(found, 0.0), float(others)), error


_FLAT = 1e-9
"""Share of a part's squares below which it says nothing that is not known already."""


def _centred(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    return [value - mean for value in values]


def _dot(left: list[float], right: list[float]) -> float:
    return sum(x * y for x, y in zip(left, right, strict=True))


def advice(rows: list[dict[str, float]], gain: float = GAIN) -> dict[str, Any]:
    """The shortest TTL of the grid after which more gives less than ``gain``; what it would change; never applied.

    Args:
        rows: from ``points``.
        gain: hit ratio.

    Returns:
        ``ttl`` (seconds) and what is gained against today: ``hit_ratio``, ``saved_s``, ``bytes``, ``staleness_s``.
    """
    if not rows:
        return {}
    *grid, today = rows
    best = max(row["hit_ratio"] for row in grid)
    chosen = next(row for row in grid if best - row["hit_ratio"] < gain)
    return {
        "ttl": chosen["ttl"],
        "hit_ratio": chosen["hit_ratio"] - today["hit_ratio"],
        "saved_s": today["compute_s"] - chosen["compute_s"],
        "bytes": chosen["bytes"] - today["bytes"],
        "staleness_s": chosen["ttl"] - today["ttl"],
        "certain": abs(chosen["hit_ratio"] - today["hit_ratio"]) > chosen["error"] + today["error"],
    }


def curve(reuse: Reuse, now: float, gain: float = GAIN) -> dict[str, Any]:
    """All that is shown of one category."""
    rows = points(reuse, now)
    return {
        "ttl_today": reuse.ttl_s,
        "lookups": reuse.lookups,
        "rate": reuse.rate,
        "keys": len(reuse.keys) + len(reuse.hot),
        "grid": rows[:-1],
        "today": rows[-1] if rows else None,
        "advice": advice(rows, gain),
    }
