"""Times to live: one check for all of them, and jitter that never lengthens."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.core.ttl import MAX_TTL_S, MIN_TTL_S, jittered, seconds
from cache.errors import CacheError, TTLError


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (MIN_TTL_S, 0.001),
        (MAX_TTL_S, 315_360_000.0),
        (315_360_000, 315_360_000.0),
        (timedelta(minutes=2), 120.0),
        (timedelta(milliseconds=1), 0.001),
        (timedelta(days=3650), 315_360_000.0),
    ],
)
def test_seconds_and_timedeltas_are_taken(ttl: Any, expected: float) -> None:
    """From a millisecond to ten years, always given back as a float."""
    assert seconds(ttl) == expected
    assert type(seconds(ttl)) is float


@pytest.mark.parametrize(
    "ttl",
    [
        0, 0.0, -0.0, -1, -0.5, 0.0009, 315_360_001, math.nextafter(MAX_TTL_S, math.inf), math.nan, math.inf, -math.inf,
        10**400, -(10**400), timedelta(0), timedelta(seconds=-1), timedelta(microseconds=999), timedelta.max,
        True, False, None, "60", b"60", Decimal(60), 60j, [60], (60,), {}, object(),
    ],
)  # fmt: skip
def test_everything_else_is_refused(ttl: Any) -> None:
    """Zero, negative, NaN, infinite, a bool, no number, too short or too long: a TTLError, whatever its size."""
    with pytest.raises(TTLError) as caught:
        seconds(ttl)
    assert isinstance(caught.value, CacheError)
    assert len(str(caught.value)) < 120


def test_a_number_too_long_to_print_is_refused() -> None:
    """Its digits are not in the error, which is a TTLError still."""
    for ttl in (10**5000, -(10**5000)):
        with pytest.raises(TTLError, match="far larger"):
            seconds(ttl)


@given(st.floats() | st.integers() | st.timedeltas())
def test_any_number_is_taken_or_refused_by_name(ttl: Any) -> None:
    """The answer lies within the bounds, or there is a TTLError."""
    try:
        taken = seconds(ttl)
    except TTLError:
        taken = MIN_TTL_S
    assert MIN_TTL_S <= taken <= MAX_TTL_S


@given(st.floats(MIN_TTL_S, MAX_TTL_S), st.floats(0, 0.5), st.floats(0, 1))
def test_jitter_only_ever_shortens(ttl_s: float, jitter: float, luck: float) -> None:
    """The TTL less the share at most, and never under a millisecond."""
    assert max(MIN_TTL_S, ttl_s * (1 - jitter)) <= jittered(ttl_s, jitter, lambda: luck) <= ttl_s


def test_jitter_takes_the_random_share_off() -> None:
    """Half the luck takes half the share."""
    assert jittered(100.0, 0.2, lambda: 0.5) == pytest.approx(90.0)
    assert jittered(100.0, 0.0, lambda: 1.0) == 100.0
