"""What the SDK's plain samplers decide, known beforehand; one that may look at more has to be asked each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import sampling

_PARENT_BASED = (sampling.ParentBased, sampling.ParentBasedTraceIdRatio)


def rules(sampler: sampling.Sampler) -> tuple[bool, Callable[[int], bool] | None]:
    """Whether a sampler keeps to the parent's decision, and what it decides for a root by its trace id.

    None for one that may look at more than that.
    """
    if type(sampler) not in _PARENT_BASED:
        return False, _root_rule(sampler)
    followed = (
        ("remote_parent", True),
        ("remote_parent_not", False),
        ("local_parent", True),
        ("local_parent_not", False),
    )
    for name, sampled in followed:
        default = sampling.ALWAYS_ON if sampled else sampling.ALWAYS_OFF
        if getattr(sampler, f"_{name}_sampled", None) is not default:
            return False, None
    return True, _root_rule(getattr(sampler, "_root", None))


def always(_: int) -> bool:
    """The rule of a sampler that takes every root."""
    return True


def never(_: int) -> bool:
    """The rule of a sampler that takes no root."""
    return False


def _root_rule(sampler: Any) -> Callable[[int], bool] | None:
    if sampler is sampling.ALWAYS_ON:
        return always
    if sampler is sampling.ALWAYS_OFF:
        return never
    if type(sampler) is sampling.TraceIdRatioBased:
        limit, bound = sampler.TRACE_ID_LIMIT, sampler.bound
        return lambda trace_id: trace_id & limit < bound
    return None
