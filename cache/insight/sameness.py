"""When two results of one computation count as the same: the rule of a category; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from cache.core.policies import Policy

RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""How far apart numbers of a vector may lie.

float32 carries 1.2e-7; sums in another order on other hardware differ by some hundred times that.
"""

Rule = Callable[[Any, Any], bool]


def rule_of(policy: Policy) -> Rule:
    """The policy's own rule; without one arrays are the same when close, all else when equal."""
    return policy.same or same


def same(stored: Any, computed: Any) -> bool:
    """Equal and of one type, numbers of arrays close."""
    if _is_array(stored) and _is_array(computed):
        return close(stored, computed)
    return type(stored) is type(computed) and bool(stored == computed)


def close(stored: Any, computed: Any) -> bool:
    """Arrays of one shape whose numbers are close."""
    if stored.shape != computed.shape:
        return False
    return _close(stored.ravel().tolist(), computed.ravel().tolist())


def _close(stored: Iterable[float], computed: Iterable[float]) -> bool:
    pairs = zip(stored, computed, strict=True)
    return all(math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in pairs)


def _is_array(value: Any) -> bool:
    """True for arrays, without importing numpy."""
    return hasattr(value, "shape") and hasattr(value, "ravel")
