"""What the local tier takes of memory: ``python -m benchmarks.local_memory URL KIND ENTRIES``.

``bound`` stores twice what fits and tells how much of its bound the process grew by; ``overhead`` stores small entries
under a bound that holds them all, and tells the bytes of each beside its value. One kind a process, for memory that
was given back would be taken again.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

from benchmarks.local_tier import CATEGORY
from benchmarks.programs import resident_kib

BOUND = 64 << 20
BATCH = 500
LARGE, SMALL = 4000, 16
"""Characters of the values."""

SECONDS = 40.0
"""It ends early when the time is up, and says how far it came."""


def filled(url: str, bound: int, entries: int, value: str) -> tuple[float, int]:
    """Bytes that the process grew by, and how many entries it stored under a bound of ``bound`` bytes."""
    from cache import Cache, Policy
    from telemetry.vocabulary import Tier

    policy: Any = Policy(name=CATEGORY, tier=Tier.LOCAL)
    settings: Any = {"local_max_bytes": bound}
    with Cache.from_url(url, policies=[policy], read_deadline=2, write_deadline=2, **settings) as cache:
        _some(cache, -BATCH, value, True)
        cache.lookup(CATEGORY, -1)
        reads = cache.lookup(CATEGORY, -1).tier is not Tier.LOCAL
        gc.collect()
        before, begin, end = resident_kib(), 0, time.monotonic() + SECONDS
        while begin < entries and time.monotonic() < end:
            _some(cache, begin, value, reads)
            begin += BATCH
        gc.collect()
        return (resident_kib() - before) * 1024, begin


def _some(cache: Any, begin: int, value: str, reads: bool) -> None:
    """One batch, which is read too where a write alone does not reach the local tier."""
    keys = range(begin, begin + BATCH)
    cache.set_many(CATEGORY, [(key, value) for key in keys])
    if reads:
        cache.get_many(CATEGORY, keys)


def main(url: str, kind: str, entries: str) -> None:
    """Fill and tell."""
    if kind == "bound":
        grown, count = filled(url, BOUND, 2 * BOUND // LARGE, "v" * LARGE)
        found = grown / BOUND
    else:
        grown, count = filled(url, 4 << 30, int(entries), "s" * SMALL)
        found = grown / count - SMALL
    print(json.dumps({"figure": found, "bytes": grown, "entries": count}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
