"""A trace, played into a sample: what each TTL would have given of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cache.insight.curve import GAIN, curve
from cache.insight.reuse import OFFER_EVERY, Reuse
from cache.insight.traces import Act, Request

MOST_KEYS = 1 << 16
"""Keys of the sample: a trace is played where nobody waits, in some 30 MB."""


def replay(trace: Iterable[Request], ttl_s: float, gain: float = GAIN, most_keys: int = MOST_KEYS) -> dict[str, Any]:
    """The curve of a trace.

    Args:
        ttl_s: what is compared with, seconds.
        gain: hit ratio that a longer TTL has to give.
        most_keys: of the sample.
    """
    reuse, now = Reuse(ttl_s, most_keys=most_keys), 0.0
    for now, digest, size, act in trace:
        if act is Act.LOOK:
            reuse.lookups += 1
            if not reuse.lookups % OFFER_EVERY:
                reuse.offer(digest, now)
            if digest < reuse.below or digest in reuse.hot:
                reuse.looked(digest, now, size=size)
        elif act is Act.STORE:
            reuse.stored(digest, now, size)
        else:
            reuse.invalidated(digest, now)
    return curve(reuse, now, gain)
