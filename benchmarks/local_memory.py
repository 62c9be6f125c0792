"""What the local tier takes of memory: ``python -m benchmarks.local_memory URL ENTRIES``."""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

from benchmarks.local_tier import CATEGORY
from benchmarks.programs import resident_kib

BOUND = 64 << 20
BATCH = 500
SMALL = 16
"""Characters of a small value."""


def filled(url: str, bound: int, entries: int, value: str) -> float:
    """Bytes that the process grew by when ``entries`` were stored and read under a bound of ``bound`` bytes."""
    from cache import Cache, Policy
    from telemetry.vocabulary import Tier

    policy: Any = Policy(name=CATEGORY, tier=Tier.LOCAL)
    settings: Any = {"local_max_bytes": bound}
    with Cache.from_url(url, policies=[policy], read_deadline=2, write_deadline=2, **settings) as cache:
        cache.set(CATEGORY, "warm", value)
        gc.collect()
        before = resident_kib()
        for begin in range(0, entries, BATCH):
            keys = range(begin, min(entries, begin + BATCH))
            cache.set_many(CATEGORY, [(key, value) for key in keys])
            cache.get_many(CATEGORY, keys)
        gc.collect()
        return (resident_kib() - before) * 1024


def main(url: str, entries: str) -> None:
    """Twice what fits into a bound; then many small entries under a bound that holds them all."""
    count = int(entries)
    value = "v" * 4000
    # below its bound a small run says nothing of it
    bound = BOUND if count >= 1_000_000 else BOUND >> 3
    grown = filled(url, bound, 2 * bound // len(value), value)
    small = filled(url, 4 << 30, count, "s" * SMALL)
    print(json.dumps({"bound": grown / bound, "bytes": grown, "overhead": small / count - SMALL, "entries": count}))


if __name__ == "__main__":
    main(*sys.argv[1:])
