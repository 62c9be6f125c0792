"""Times to live: one check for all, and jitter that only ever shortens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cache.errors import TTLError

MAX_TTL_S = 315_360_000.0
"""Ten years: beyond it a number is a mistake (a date, or milliseconds)."""

MIN_TTL_S = 0.001
"""Redis counts in milliseconds."""


def seconds(ttl: Any) -> float:
    """A time to live in seconds.

    Args:
        ttl: seconds as int or float, or a timedelta; 1 ms to ten years.

    Raises:
        TTLError: zero, negative, NaN, infinite, a bool, no number, below 1 ms or above ten years.
    """
    if isinstance(ttl, timedelta):
        ttl = ttl.total_seconds()
    if isinstance(ttl, bool) or not isinstance(ttl, int | float):
        raise TTLError(f"a TTL is a number of seconds or a timedelta, not {type(ttl).__name__}")
    if not MIN_TTL_S <= ttl <= MAX_TTL_S:  # false for NaN too
        got = repr(ttl) if isinstance(ttl, float) or abs(ttl) < 1 << 64 else "a far larger integer"
        raise TTLError(f"a TTL is {MIN_TTL_S} to {MAX_TTL_S:.0f} seconds (ten years), got {got}")
    return float(ttl)


def jittered(ttl_s: float, jitter: float, rand: Callable[[], float]) -> float:
    """The TTL with a random share taken off, so that entries made together do not expire together.

    Args:
        ttl_s: seconds, > 0.
        jitter: largest share taken off, 0..0.5.
        rand: gives a number in 0..1.

    Returns:
        Seconds: never above ``ttl_s``, never below 1 ms.
    """
    return max(MIN_TTL_S, ttl_s * (1.0 - jitter * rand()))
