"""Who waited for whom: each follower's span is linked to its leader's, in the process, in the fleet, in both twins."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.faces import Stage

from cache import AsyncCache, Cache, Policy
from cache.core.fleet import TOKEN_BYTES
from cache.metrics import CacheMetrics
from telemetry.provider import ScrapedReader
from telemetry.recorder import Recorder
from telemetry.runs import run
from telemetry.testing import Captured
from telemetry.vocabulary import FlightScope, Operation, Outcome
from telemetry.waits import MOST_KEYS, Waits

SHARED = Policy(name="shared", fleet=True)
PATIENT: dict[str, Any] = {"read_deadline": 2, "write_deadline": 2}


def waited_for(captured: Captured, category: str) -> set[tuple[int, int]]:
    """Trace and span ids that the waits of a category are linked to."""
    waits = captured.spans(f"cache.wait {category}")
    assert waits
    assert all(len(wait.links) == 1 for wait in waits), "a wait without its leader"
    return {(link.context.trace_id, link.context.span_id) for wait in waits for link in wait.links}


def span_of(captured: Captured, name: str, having: str) -> tuple[int, int]:
    """Ids of the one span of a name that has a child of another name."""
    parents = {span.parent.span_id for span in captured.spans(having) if span.parent}
    (found,) = [span for span in captured.spans(name) if span.context.span_id in parents]
    return found.context.trace_id, found.context.span_id


def test_threads_wait_for_the_leader_and_the_run_says_how_long(glasscache_url: str) -> None:
    """4 followers, each in a run of its own: a link to the leader's span, seconds on the run, in the metric, by key."""
    stage = Stage("sync", glasscache_url, max_connections=8)
    cache, begun, go_on = stage.cache.cache, threading.Event(), threading.Event()

    def lead() -> Any:
        return cache.get_or_compute("prompt", "k", lambda: (begun.set(), go_on.wait(10), 1)[2])

    def follow(_: int) -> float:
        with run(stage.recorder) as sums:
            assert cache.get_or_compute("prompt", "k", lambda: pytest.fail("computed twice")) == 1
        assert sums.waits == 1
        return sums.wait_s

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(lead)
        assert begun.wait(10)
        others = [pool.submit(follow, n) for n in range(4)]
        group = cache._engine.flights._groups["prompt:k"]
        while sum(len(flight._callbacks) for flight in group.flights.values()) < 4:
            begun.wait(0.001)
        go_on.set()
        first.result(10)
        waited = [other.result(10) for other in others]

    leader = span_of(stage.telemetry, "cache.get_or_compute prompt", "cache.compute prompt")
    assert waited_for(stage.telemetry, "prompt") == {leader}
    figures = stage.recorder.ledger.figures()
    times = figures.wait_times["prompt", FlightScope.PROCESS]
    assert (times.count, figures.waits["prompt", FlightScope.PROCESS]) == (4, 4)
    assert times.total == pytest.approx(sum(waited))
    point = stage.telemetry.metrics("cache.flight.wait.duration")
    assert sum(found.count for found in point.values()) == 4
    (worst,) = stage.recorder.waits.worst()
    digest = cache._engine.want(cache.policies["prompt"], "k").short
    assert stage.recorder.waits.of("prompt", digest) == worst
    assert (worst.waits, int(worst.leader_trace, 16), int(worst.leader_span, 16)) == (4, *leader)
    assert worst.worst_s == pytest.approx(max(waited))
    cache.close()


@pytest.mark.parametrize("batch", [False, True])
def test_tasks_wait_for_the_leader(batch: bool, glasscache_url: str) -> None:
    """The same of tasks, single keys and batches; the wait's span has the key's digest."""
    stage = Stage("async", glasscache_url)

    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def compute() -> int:
            begun.set()
            await go_on.wait()
            return 1

        async def follow() -> None:
            with run(stage.recorder) as sums:
                if batch:
                    await stage.cache.get_or_compute_many("prompt", ["k", "other"], lambda keys: [1] * len(keys))
                else:
                    await stage.cache.get_or_compute("prompt", "k", compute)
            assert sums.waits == 1
            assert sums.wait_s > 0

        leader = asyncio.create_task(stage.cache.get_or_compute("prompt", "k", compute))
        await begun.wait()
        follower = asyncio.create_task(follow())
        group = stage.engine.flights._groups["prompt:k"]
        for _ in range(1_000_000):
            if any(flight._callbacks for flight in group.flights.values()):
                break
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(leader, follower)
        await stage.cache.aclose()

    asyncio.run(main())

    name = "cache.get_or_compute prompt"
    parents = {span.parent.span_id for span in stage.telemetry.spans("cache.compute prompt") if span.parent}
    leaders = [span for span in stage.telemetry.spans(name) if span.context.span_id in parents]
    assert waited_for(stage.telemetry, "prompt") == {(s.context.trace_id, s.context.span_id) for s in leaders}
    (wait,) = stage.telemetry.spans("cache.wait prompt")
    (waited,) = stage.recorder.waits.worst()
    assert dict(wait.attributes or {})["cache.key.digest"] == waited.digest


_LEADER = """
import json, sys
from cache import Cache, Policy
from telemetry.testing import Captured
captured = Captured()
policy = Policy(name="shared", fleet=True)
with Cache.from_url(sys.argv[1], policies=[policy], recorder=captured.recorder(), read_deadline=2,
                    write_deadline=2) as cache:
    def compute():
        print("computing", flush=True)
        sys.stdin.readline()
        return {"by": "leader"}
    cache.get_or_compute("shared", "k", compute)
span = captured.spans("cache.get_or_compute shared")[0].context
print(json.dumps([span.trace_id, span.span_id]), flush=True)
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_follower_of_the_fleet_is_linked_to_the_leader_in_another_process(kind: str, glasscache_url: str) -> None:
    """The lock tells whose computation it is: the wait's link leads into the other process's trace."""
    command = [sys.executable, "-c", _LEADER, glasscache_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as leader:
        assert leader.stdin is not None
        assert leader.stdout is not None
        assert leader.stdout.readline().strip() == "computing"
        captured = Captured()
        recorder = captured.recorder()

        def go_on() -> None:
            # as soon as somebody waits for it
            while not _waiting(captured):
                threading.Event().wait(0.002)
            assert leader.stdin is not None
            leader.stdin.write("go\n")
            leader.stdin.flush()

        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(go_on)
            value, sums = _follow(kind, glasscache_url, recorder)
            told.result(10)
        theirs = json.loads(leader.stdout.readline())
        leader.wait(10)

    assert value == {"by": "leader"}
    assert waited_for(captured, "shared") == {tuple(theirs)}
    assert recorder.ledger.figures().wait_times["shared", FlightScope.FLEET].total == pytest.approx(sums.wait_s)
    (worst,) = recorder.waits.worst()
    assert (worst.scope, int(worst.leader_trace, 16)) == (FlightScope.FLEET, theirs[0])


def _waiting(captured: Captured) -> bool:
    """Whether the span of a wait has begun: the third, after the run's and the operation's."""
    return any(len(times) == 1 for times in list(captured.spans._times.values())[2:])


def _follow(kind: str, url: str, recorder: Recorder) -> tuple[Any, Any]:
    """Ask for the key that another process computes, in a run."""
    given: dict[str, Any] = {**PATIENT, "policies": [SHARED], "recorder": recorder}

    async def ask() -> tuple[Any, Any]:
        async with AsyncCache.from_url(url, **given) as cache:
            with run(recorder) as sums:
                return await cache.get_or_compute("shared", "k", lambda: pytest.fail("computed twice")), sums

    if kind == "async":
        return asyncio.run(ask())
    with Cache.from_url(url, **given) as cache, run(recorder) as sums:
        return cache.get_or_compute("shared", "k", lambda: pytest.fail("computed twice")), sums


@pytest.mark.parametrize("lock", [b"dead", b"x" * TOKEN_BYTES, b"x" * TOKEN_BYTES + b"\xff" * 26, b""])
def test_a_lock_that_says_nothing_of_its_holder_costs_the_link_alone(lock: bytes, glasscache_url: str) -> None:
    """Another program's lock, or an older version's: the follower waits as before, without a link."""
    captured = Captured()
    policy = Policy(name="shared", fleet=True, wait_s=0.05)
    with Cache.from_url(glasscache_url, policies=[policy], recorder=captured.recorder(), **PATIENT) as cache:
        address = cache._engine.want(cache.policies["shared"], "k").address
        with redis.Redis.from_url(glasscache_url) as server:
            server.set(f"lock:{address.digest.hex()[:32]}", lock, px=60_000)
        assert cache.get_or_compute("shared", "k", lambda: 7) == 7
    (wait,) = captured.spans("cache.wait shared")
    assert not wait.links
    assert captured.value("cache.telemetry.dropped") == 0


def test_the_worst_waits_are_remembered_of_so_many_keys() -> None:
    """The key whose worst wait was the shortest makes room; of a key, all waits are counted."""
    waits = Waits(now=lambda: 5.0)
    for n in range(MOST_KEYS + 50):
        waits.add("prompt", f"{n:016x}", FlightScope.PROCESS, float(n), (1, 2))
    waits.add("prompt", f"{MOST_KEYS + 49:016x}", FlightScope.FLEET, 0.5, (3, 4))
    waits.add("prompt", "short", FlightScope.FLEET, 0.25, (0, 0))
    assert len(waits.worst(10_000)) == MOST_KEYS
    assert waits.of("prompt", f"{49:016x}") is None
    assert waits.of("prompt", "short") is None
    worst = waits.worst(1)[0]
    assert (worst.waits, worst.seconds, worst.worst_s, worst.scope) == (
        2, MOST_KEYS + 49.5, MOST_KEYS + 49.0, FlightScope.PROCESS
    )  # fmt: skip
    assert (worst.leader_trace, worst.leader_span, worst.at) == (f"{1:032x}", f"{2:016x}", 5.0)


def test_four_roads_tell_one_truth_of_the_waits() -> None:
    """Spans, OTLP's points, Prometheus's series and the JSON: as many waits, as many seconds."""
    registry, captured, reader = CollectorRegistry(), Captured(), InMemoryMetricReader()
    meters = MeterProvider([reader, ScrapedReader(registry=registry)], shutdown_on_exit=False)
    recorder = Recorder(tracer_provider=captured.tracer_provider, meter_provider=meters)
    expected = {("prompt", FlightScope.PROCESS): 3, ("prompt", FlightScope.FLEET): 1, ("tool", FlightScope.PROCESS): 2}
    for (category, scope), n in expected.items():
        with recorder.operation(category, Operation.GET_OR_COMPUTE) as event:
            for _ in range(n):
                with recorder.wait(event, scope, None):
                    pass
            event.looked(Outcome.MISS)

    spans: Counter[tuple[str, str]] = Counter()
    for category in ("prompt", "tool"):
        for span in captured.spans(f"cache.wait {category}"):
            spans[category, str((span.attributes or {})["cache.flight.scope"])] += 1
    data = reader.get_metrics_data()
    assert data is not None
    found = {metric.name: metric for r in data.resource_metrics for s in r.scope_metrics for metric in s.metrics}
    points = found["cache.flight.wait.duration"].data.data_points
    counts = {(p.attributes["cache.category"], p.attributes["cache.flight.scope"]): p.count for p in points}
    times = recorder.ledger.figures().wait_times
    exposition = generate_latest(registry).decode()
    for (category, scope), n in expected.items():
        assert spans[category, scope] == counts[category, scope] == times[category, scope].count == n
        labels = {"cache_category": category, "cache_flight_scope": scope.value}
        assert sample(exposition, "cache_flight_wait_duration_seconds_count", labels) == n
        assert sample(exposition, "cache_flight_waits_total", labels) == n
        seconds = sample(exposition, "cache_flight_wait_duration_seconds_sum", labels)
        assert seconds == pytest.approx(times[category, scope].total)
    told = CacheMetrics(recorder).summary()["categories"]
    assert {name: figures["waits"] for name, figures in told.items()} == {"prompt": 4, "tool": 2}
    meters.shutdown()


def sample(exposition: str, name: str, labels: dict[str, str]) -> float:
    """The one sample of a name with these labels."""
    (found,) = [
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(found)
