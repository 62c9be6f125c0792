"""What a run adds to a hit: ``python -m benchmarks.in_a_run [--rounds N] [--wall]``.

One process, one caller that blocks, an embedded server, no exporter. Each round measures the same hits outside of a
run, in a run of a recorder that keeps no runs, and in one of a recorder that keeps them, in an order that changes with
the round; a ratio is made of two measurements of one round. CPU seconds of the thread, so that what else the machine
does is not counted; ``--wall`` takes the time of the clock.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from benchmarks.method import Estimate, estimate, rotated
from cache import Cache
from cache.core.policies import Policy
from cache.testing import EmbeddedServer
from telemetry.recorder import Recorder
from telemetry.run_ring import RunRing
from telemetry.runs import run
from telemetry.vocabulary import Tier

FEW, MANY = 200, 2000
"""Hits of a run whose steps are all kept, and of one with far more than are kept."""

ROUNDS = 60
STATES = ("no run", "run, ring off", "run, ring on")


def measure(url: str, tier: Tier, hits: int, rounds: int, now: Callable[[], float]) -> dict[str, Estimate]:
    """Seconds of a hit outside of a run, and the ratios of the others to it and of ring on to ring off."""
    policies = [Policy(name="near", tier=tier)]
    off, on = Recorder(runs=RunRing(0)), Recorder()
    with (
        Cache.from_url(url, recorder=off, policies=policies) as without,
        Cache.from_url(url, recorder=on, policies=policies) as kept,
    ):
        caches: dict[str, tuple[Cache, bool]] = {
            STATES[0]: (without, False),
            STATES[1]: (without, True),
            STATES[2]: (kept, True),
        }
        for cache in (without, kept):
            cache.set("near", "k", {"n": 1})
            assert all(cache.get("near", "k") == {"n": 1} for _ in range(hits))
        took: dict[str, list[float]] = {state: [] for state in STATES}
        for number in range(rounds):
            gc.collect()
            for state in rotated(STATES, number):
                took[state].append(_round(*caches[state], hits, now))
    pairs = {
        "ring off / no run": (STATES[1], STATES[0]),
        "ring on / no run": (STATES[2], STATES[0]),
        "ring on / ring off": (STATES[2], STATES[1]),
    }
    ratios = {
        name: estimate([one / other for one, other in zip(took[above], took[below], strict=True)])
        for name, (above, below) in pairs.items()
    }
    return {"seconds of a hit, no run": estimate(took[STATES[0]]), **ratios}


def _round(cache: Cache, inside: bool, hits: int, now: Callable[[], float]) -> float:
    """Seconds of one hit, without the run's own beginning and end."""
    around: Any = run() if inside else nullcontext()
    with around:
        get = cache.get
        began = now()
        for _ in range(hits):
            get("near", "k")
        return (now() - began) / hits


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--wall", action="store_true")
    given = options.parse_args()
    now = time.perf_counter if given.wall else time.thread_time
    with EmbeddedServer() as server:
        for tier in (Tier.REDIS, Tier.LOCAL):
            for hits in (FEW, MANY):
                print(f"{tier.value} tier, {hits} hits a run, {given.rounds} rounds")
                for name, found in measure(server.url, tier, hits, given.rounds, now).items():
                    shown = f"{found.value * 1e6:.2f} µs" if name.startswith("seconds") else f"{found.value:.3f}"
                    print(f"  {name:<26}{shown:>10}  quartiles {found.low:.3g} to {found.high:.3g}")
        _ends(given.rounds, now)


def _ends(rounds: int, now: Callable[[], float]) -> None:
    """What the end of a run costs, by its steps: the critical path and the record."""
    from telemetry.vocabulary import MissReason, Operation, Outcome

    for steps in (0, 100, 448):
        recorder, took = Recorder(), []
        for _ in range(rounds):
            scope = run(recorder)
            scope.__enter__()
            for n in range(steps):
                with recorder.operation("prompt", Operation.GET, digest=f"{n:016x}") as event:
                    event.looked(Outcome.MISS, reason=MissReason.COLD)
            began = now()
            scope.__exit__(None, None, None)
            took.append(now() - began)
        found = estimate(took)
        print(f"end of a run of {steps} steps: {found.value * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
