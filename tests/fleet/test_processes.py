"""Real processes that do real cache operations: what the fleet says is what each of them says of itself."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import redis
from support.fleet import KEY, Join, Member
from support.fleet_process import Process

from cache.core.fleet_table import Sum
from cache.metrics import summarise
from cache.reporting import CALL_S, PAUSE_S
from cache.testing import EmbeddedServer

WHOLE = ("total_requests", "hits", "misses", "sets", "deletes", "errors", "invalidations", "telemetry_dropped")


@pytest.fixture
def launch(fleet_server: EmbeddedServer, admin: redis.Redis) -> Iterator[Callable[[], Process]]:
    """Starts a process; what a test leaves running is killed."""
    launched: list[Process] = []

    def start() -> Process:
        launched.append(Process(fleet_server.url))
        return launched[-1]

    yield start
    for each in launched:
        if each.process.poll() is None:
            each.kill()


@pytest.fixture
def watcher(join: Join) -> Member:
    """A member that only reads."""
    return join()


def added(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of processes' own summaries, of all that are whole numbers."""
    total: Counter[str] = Counter()
    for summary in summaries:
        total.update({name: summary[name] for name in WHOLE})
    return {name: total[name] for name in WHOLE}


def told(found: Sum) -> dict[str, Any]:
    """The same of the fleet's figures."""
    summary = summarise(found.figures, ())
    return {name: summary[name] for name in WHOLE}


def until(watcher: Member, true: Callable[[Sum], bool]) -> Sum:
    """The fleet's figures once they are so."""
    give_up = time.monotonic() + 20
    while not true(found := watcher.sum()):
        assert time.monotonic() < give_up, found
        time.sleep(0.02)
    return found


def test_clean_ends_add_up_exactly(launch: Callable[[], Process], watcher: Member) -> None:
    """Three processes, one after the other ended: the fleet's numbers are the sum of their own last ones."""
    processes = [launch() for _ in range(3)]
    for n, each in enumerate(processes):
        each.tell(f"hit {10**n}")
    own = [each.end() for each in processes]

    found = watcher.sum()

    assert told(found) == added(own)
    assert (found.figures.requests.total(), found.processes, found.workers) == (111, 4, 1)
    assert found.figures.since == pytest.approx(min(summary["since"] for summary in own))
    assert sum(found.figures.overhead_s.values()) == pytest.approx(sum(summary["seconds_spent"] for summary in own))
    assert found.complete


def test_living_ones_are_there_within_the_second(launch: Callable[[], Process], watcher: Member) -> None:
    """Nobody ends: after the next write of each the sum is the same number."""
    processes = [launch(), launch()]
    own = [each.tell("hit 5") for each in processes]

    found = until(watcher, lambda now: now.figures.requests.total() == 10)

    assert told(found) == added(own)
    assert (found.workers, found.processes) == (3, 3)


def test_a_killed_process_keeps_what_it_wrote(launch: Callable[[], Process], watcher: Member) -> None:
    """SIGKILL: exactly what was last written stays in the sum."""
    victim = launch()
    own = victim.tell("hit 7")
    written = until(watcher, lambda now: now.figures.requests.total() == 7)
    victim.kill()

    after = watcher.sum()

    assert told(after) == told(written) == added([own])
    assert after.complete


def test_writes_are_less_than_a_second_apart(launch: Callable[[], Process], admin: redis.Redis) -> None:
    """What a kill can lose is bounded by the time between two writes, by the server's clock."""
    assert PAUSE_S < 1.0
    assert CALL_S <= 0.5
    launch().tell("hit 1")
    stamps: list[int] = []
    give_up = time.monotonic() + 20
    while len(stamps) < 5:
        assert time.monotonic() < give_up
        for name, value in admin.hgetall(KEY).items():
            stamp = int(value.partition(b" ")[0]) if name.startswith(b"p:") else 0
            if stamp and stamp not in stamps:
                stamps.append(stamp)
        time.sleep(0.02)

    gaps = sorted(after - before for before, after in pairwise(stamps))
    # the median: one write may be late on a busy machine
    assert gaps[len(gaps) // 2] <= 1000


def test_living_processes_heal_a_flushed_store(
    launch: Callable[[], Process], watcher: Member, admin: redis.Redis
) -> None:
    """FLUSHALL while two live: both write their totals again by themselves, and nothing is missing."""
    processes = [launch(), launch()]
    own = [each.tell("hit 5") for each in processes]
    until(watcher, lambda now: now.figures.requests.total() == 10)
    admin.flushall()

    found = until(watcher, lambda now: now.figures.requests.total() == 10 and now.complete)

    assert told(found) == added(own)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_a_process_of_its_own(launch: Callable[[], Process], watcher: Member) -> None:
    """A child begins at zero under a name of its own, whether it ends cleanly or is gone; the parent goes on."""
    parent = launch()
    parent.tell("hit 1")
    parent.tell("fork 10")
    parent.tell("die 100")
    parent.tell("hit 1000")
    own = parent.end()

    found = watcher.sum()

    assert own["total_requests"] == 1001
    assert found.figures.requests.total() == 1111
    assert found.processes == 4
