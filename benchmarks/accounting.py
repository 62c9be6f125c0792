"""Feeds the accounting with operations of 20 categories: ``python -m benchmarks.accounting OPERATIONS SECONDS``.

No store: what is looked at is what the accounting keeps. It ends early when the time is up, and says how far it came.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time

from benchmarks import states
from benchmarks.programs import resident_kib

CHUNK = 1000


def main(wanted: str, seconds: str) -> None:
    """Count, look at what is kept after a tenth and at the end."""
    state = states.enter("unsampled", "ours")
    from cache.metrics import get_metrics
    from telemetry.vocabulary import MissReason, Operation, Outcome, Tier

    recorder, n = get_metrics().recorder, int(wanted)
    categories = ["context", "embedding", "tool", "prompt", *(f"bench{number}" for number in range(16))]
    for name in categories:
        recorder.register_category(name, 3600.0)
    done = 0
    operations = (Operation.GET, Operation.GET_OR_COMPUTE)

    def some(begin: int, end: int) -> None:
        for number in range(begin, end):
            with recorder.operation(
                categories[number % 20], operations[number % 2], digest=f"{number & 0xFFFF:016x}"
            ) as event:
                if number % 5:
                    event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=number % 3600, cost_s=0.01)
                else:
                    event.looked(Outcome.MISS, reason=MissReason.COLD)

    def until(goal: int, limit_s: float) -> float:
        nonlocal done
        began = time.perf_counter()
        while done < goal and time.perf_counter() - began < limit_s:
            some(done, done + CHUNK)
            done += CHUNK
        return time.perf_counter() - began

    took = until(n // 10, float(seconds) / 10)
    early = _kept(state)
    took += until(n, float(seconds))
    late = _kept(state)
    found = {"operations": done, "us": took / done * 1e6, "series": late[0], "kib": late[1]}
    grown = {"series_grown": late[0] - early[0], "kib_grown": late[1] - early[1]}
    print(json.dumps(found | grown), flush=True)
    os._exit(0)


def _kept(state: states.State) -> tuple[int, float]:
    """Series of an exposition, and memory; the first look makes what later ones use again."""
    for _ in range(2):
        series = sum(1 for line in state.scrape().splitlines() if not line.startswith("#"))
        gc.collect()
    return series, resident_kib()


if __name__ == "__main__":
    main(*sys.argv[1:])
