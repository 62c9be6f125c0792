"""One run: its sums are the counters' differences, its steps are bounded, and nothing raw is in it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import random
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from support.faces import SyncFace

from cache import AsyncCache, Cache
from cache.metrics import CacheMetrics
from cache.testing import EmbeddedServer
from telemetry import carried, run_ring, runs, tally
from telemetry.critical_path import critical_path
from telemetry.figures import Figures
from telemetry.recorder import Recorder
from telemetry.run_ring import RunRecord, RunRing
from telemetry.testing import Captured
from telemetry.vocabulary import FlightScope, MissReason, Operation, Outcome, Tier

PATIENT: dict[str, Any] = {"read_deadline": 2, "write_deadline": 2, "max_connections": 16}
CANARY = "canary-7f3a"


async def work(cache: Any, who: str, *, fails: bool = True) -> None:
    """A little of everything, with a computation that fails and one inside another."""
    luck = random.Random(who)
    for _ in range(8):
        n = luck.randrange(6)
        await cache.get_or_compute("prompt", f"{who}-{n}", lambda: {"n": 1})
        await cache.get("prompt", f"{who}-{n}")
        await cache.get("context", (who, n))
        await cache.set("context", (who, n), ["x"], tags=[f"t-{who}"])
        await cache.get_many("prompt", [f"{who}-{m}" for m in range(4)])
        await cache.get_or_compute_many("embedding", [f"{who}-{n}", f"{who}-{n + 1}"], lambda keys: [[1.0]] * len(keys))
        await cache.invalidate(tags=[f"t-{who}"])
        if fails:
            with contextlib.suppress(ZeroDivisionError):
                await cache.get_or_compute("tool", (who, {"n": luck.random()}), lambda: 1 / 0)


def sums_of(figures: Figures) -> dict[str, Any]:
    """What a run's span says, out of the counters."""
    looked = figures.requests.items()
    reasons: dict[str, int] = {}
    for (_, _, _, _, reason), n in looked:
        if reason is not None:
            reasons[f"cache.run.miss.{reason}"] = reasons.get(f"cache.run.miss.{reason}", 0) + n
    return {
        "cache.run.hits": sum(n for (_, _, outcome, _, _), n in looked if outcome is Outcome.HIT),
        "cache.run.misses": sum(n for (_, _, outcome, _, _), n in looked if outcome is Outcome.MISS),
        "cache.run.errors": figures.errors.total(),
        "cache.run.waits": figures.waits.total(),
        "cache.run.time_saved": sum(figures.avoided_s.values()),
        "cache.run.time_in_cache": sum(figures.overhead_s.values()),
        "cache.run.time_in_compute": sum(times.total for times in figures.computations.values()),
        "cache.run.time_in_wait": sum(times.total for times in figures.wait_times.values()),
        **reasons,
    }


def said(captured: Captured) -> dict[str, Any]:
    """The sums on the run's span."""
    (span,) = captured.spans("workflow.run")
    apart = ("cache.run.id", "cache.run.critical_path")
    return {name: value for name, value in (span.attributes or {}).items() if not name.startswith(apart)}


def close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Counts are equal, sums of seconds but for the order in which they were added."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value), name


def test_a_runs_sums_are_the_counters_differences() -> None:
    """Threads and tasks of both twins in one run, the store killed half-way: counts exactly, seconds as well."""
    captured = Captured()
    recorder = captured.recorder()
    with EmbeddedServer() as server:
        given = {**PATIENT, "recorder": recorder}
        cache, awaited = Cache.from_url(server.url, **given), AsyncCache.from_url(server.url, **given)
        # what was counted before is not the run's
        asyncio.run(work(SyncFace(cache), "before"))
        captured.clear()
        before = recorder.ledger.figures()
        with runs.run(recorder):
            with ThreadPoolExecutor(4) as pool:
                for who in "abcd":
                    pool.submit(contextvars.copy_context().run, asyncio.run, work(SyncFace(cache), who)).result(60)
            server.kill()
            asyncio.run(_in_tasks(awaited))
        after = recorder.ledger.figures().after(before)
        cache.close()
    close(said(captured), sums_of(after))
    assert after.errors
    assert {reason for *_, reason in after.requests} >= {MissReason.COLD, MissReason.INVALIDATED}
    exported = captured.metrics("cache.compute.duration")
    assert sum(point.sum for point in exported.values()) >= said(captured)["cache.run.time_in_compute"]


async def _in_tasks(cache: AsyncCache) -> None:
    await asyncio.gather(*(work(cache, who) for who in "ef"))
    await cache.aclose()


def test_a_runs_page_has_what_its_span_has(glasscache_url: str) -> None:
    """The ring's record, the span and what ``with run()`` gives say the same; the path is the run's duration."""
    captured = Captured()
    recorder = captured.recorder()
    with Cache.from_url(glasscache_url, recorder=recorder, **PATIENT) as cache:
        with runs.run(recorder) as sums, runs.node("build"):
            asyncio.run(work(SyncFace(cache), "a"))
        (kept,) = recorder.runs.last()
    whole = json.loads(json.dumps(kept.whole()))
    (span,) = captured.spans("workflow.run")
    assert (whole["trace_id"], whole["span_id"]) == (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")
    assert whole["run_id"] == whole["trace_id"] == dict(span.attributes or {})["cache.run.id"]
    assert (whole["hits"], whole["misses"], whole["saved_s"]) == (sums.hits, sums.misses, sums.time_saved_s)
    path = [dict(span.attributes or {})[f"cache.run.critical_path.{part}"]
            for part in ("application", "cache", "compute", "wait")]  # fmt: skip
    assert sum(path) == pytest.approx(whole["seconds"])
    steps = whole["steps"]
    assert sum(step["hits"] for step in steps if step["operation"]) == sums.hits
    assert sum(n for step in steps for n in step["reasons"].values()) == sums.misses
    numbers = {step["number"] for step in steps if step["number"]}
    assert all(step["parent"] in numbers or step["parent"] == 0 for step in steps)
    (node,) = [step for step in steps if step["part"] == "application"]
    computed = [step for step in steps if step["part"] == "compute"]
    assert node["name"] == "build"
    assert all(any(step["number"] == one["parent"] for step in steps) for one in computed)


def test_what_computes_inside_a_computation_lies_below_it(glasscache_url: str) -> None:
    """A context's build that calls a tool: run, node, operation, computation, operation, computation, and a hit."""
    recorder = Recorder()
    with Cache.from_url(glasscache_url, recorder=recorder, **PATIENT) as cache:
        cache.set("prompt", "p", 1)

        def build() -> int:
            cache.get("prompt", "p")
            return cache.get_or_compute("tool", ("t", {}), lambda: 1) + 1

        with runs.run(), runs.node("context"):
            assert cache.get_or_compute("context", ("task", 1), build) == 2
    (kept,) = recorder.runs.last()
    by_number = {step.number: step for step in kept.steps if step.number}

    def above(step: Any) -> list[str]:
        found = by_number.get(step.parent)
        return [] if found is None else [f"{found.part} {found.name}", *above(found)]

    (hit,) = [step for step in kept.steps if step.outcome is Outcome.HIT]
    (inner,) = [step for step in kept.steps if step.part == "compute" and step.name == "tool"]
    outer = ["compute context", "cache context", "application context"]
    assert above(hit) == outer
    assert above(inner) == ["cache tool", *outer]
    assert kept.trace_id == ""
    assert carried.is_run_id(kept.run_id)


def test_outside_of_a_run_nothing_is_kept(glasscache_url: str) -> None:
    """No run, no steps, no record; and a run that used no cache is nobody's."""
    recorder = Recorder()
    with Cache.from_url(glasscache_url, recorder=recorder, **PATIENT) as cache:
        asyncio.run(work(SyncFace(cache), "a"))
        assert tally.running() == ()
    with runs.run(recorder) as sums:
        pass
    assert sums == tally.Tally()
    assert recorder.runs.last() == []
    assert recorder.runs.size() == 0


def test_a_recorder_may_keep_no_runs(glasscache_url: str) -> None:
    """With a ring of no runs a run has its sums and nothing else."""
    recorder = Recorder(runs=RunRing(0))
    with Cache.from_url(glasscache_url, recorder=recorder, **PATIENT) as cache, runs.run() as sums:
        asyncio.run(work(SyncFace(cache), "a"))
    assert sums.hits > 0
    assert sums.misses > 0
    assert [step for step in sums.steps() if step.part != "application"] == []
    assert recorder.runs.last() == []


def full(recorder: Recorder, hits: int, misses: int, nodes: int) -> None:
    """A run of so many steps."""
    with runs.run(recorder):
        for n in range(nodes):
            with runs.node(f"node{n}", recorder):
                pass
        account = recorder.ledger.account("prompt", Operation.GET)
        for n in range(hits):
            recorder.hit_at_once(account, recorder.now(), n.to_bytes(32, "big"), (1.0, 0.5, 9.0))
        for n in range(misses):
            with recorder.operation("prompt", Operation.GET, digest=f"{n:016x}") as event:
                event.looked(Outcome.MISS, reason=MissReason.COLD)


def test_the_steps_of_a_run_are_bounded_and_what_is_left_out_is_counted() -> None:
    """Hits, operations and nodes each have their room, so that the many do not crowd out the few."""
    recorder = Recorder()
    full(recorder, 1000, 2000, 100)
    (kept,) = recorder.runs.last()
    assert (kept.hits, kept.misses) == (1000, 2000)
    assert len(kept.steps) == tally.MOST_HITS + tally.MOST_STEPS + tally.MOST_NODES
    assert kept.left_out == 3100 - len(kept.steps)
    assert kept.size() <= run_ring.MOST_BYTES / 8


def test_the_ring_takes_no_more_bytes_than_it_says() -> None:
    """12 runs of the most steps: what Python allocated for those that are kept is below what the ring counts."""
    recorder = Recorder()
    full(recorder, 300, 500, 70)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(12):
            full(recorder, 300, 500, 70)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0 < len(recorder.runs.last()) <= run_ring.MOST_RUNS
    assert taken <= recorder.runs.size() <= run_ring.MOST_BYTES


def test_the_last_runs_are_kept() -> None:
    """So many, the newest first; an id finds them, and one that was let go is not found."""
    ring, path = RunRing(3), critical_path((), 1.0)
    for n in range(5):
        record = RunRecord(f"{n:032x}", f"{n + 100:032x}", "", "workflow.run", 1.0 * n, 1.0, False, n, 0, 0, 0, {},
                           0.0, 0.0, 0.0, 0.0, path, (), 0, 1)  # fmt: skip
        ring.add(record)
    assert [run.hits for run in ring.last()] == [4, 3, 2]
    assert [run.hits for run in ring.last(1)] == [4]
    assert [run.hits for run in ring.find(f"{3:032x}")] == [3]
    assert [run.hits for run in ring.find(f"{103:032x}")] == [3]
    assert ring.find(f"{1:032x}") == ring.find("") == []


def test_nothing_raw_is_in_a_runs_page(glasscache_url: str) -> None:
    """No key, value, tag, path, error or name that may be one of these is in the JSON or on the span."""
    captured = Captured()
    recorder = captured.recorder()
    with Cache.from_url(glasscache_url, recorder=recorder, **PATIENT) as cache:

        def fail() -> None:
            raise RuntimeError(CANARY)

        def use() -> None:
            with runs.run(recorder, f"run {CANARY}"), runs.node(f"/tmp/{CANARY}", recorder):
                cache.get_or_compute("prompt", CANARY, lambda: CANARY, tags=[CANARY])
                cache.get("prompt", CANARY)
                cache.get_many("tool", [(CANARY, {CANARY: CANARY})])
                cache.get_or_compute("context", (CANARY, 1), fail)

        with pytest.raises(RuntimeError):
            use()
        (kept,) = recorder.runs.last()
    assert kept.failed
    assert kept.misses == 3
    assert CANARY not in json.dumps(kept.whole())
    assert CANARY not in json.dumps(recorder.waits.worst(), default=str)


def test_a_forked_childs_ring_is_empty() -> None:
    """A parent's runs are the parent's."""
    program = (
        "import os\nfrom telemetry.recorder import Recorder\nfrom telemetry.runs import run\n"
        "from telemetry.vocabulary import FlightScope, Operation\n"
        "recorder = Recorder()\n"
        "with run(recorder), recorder.operation('prompt', Operation.GET, digest='0' * 16) as event:\n"
        "    with recorder.wait(event, FlightScope.PROCESS, None):\n        pass\n"
        "assert len(recorder.runs.last()) == len(recorder.waits.worst()) == 1\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    os._exit(len(recorder.runs.last()) + len(recorder.waits.worst()))\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


_PART = """
import json, sys
from cache import Cache
from cache.metrics import CacheMetrics
from telemetry.runs import run
from telemetry.testing import Captured
headers = json.loads(sys.stdin.readline())
captured = Captured()
captured.tracer_provider.get_tracer("other").start_span("a trace before").end()
recorder = captured.recorder()
with Cache.from_url(sys.argv[1], recorder=recorder, read_deadline=2, write_deadline=2) as cache:
    with run(recorder, carrier=headers):
        found = cache.get("prompt", "shared")
(span,) = captured.spans("workflow.run")
labels = [dict(key) for name in ("cache.requests", "cache.operation.duration") for key in captured.metrics(name)]
print(json.dumps({"id": span.attributes["cache.run.id"], "trace": f"{span.context.trace_id:032x}", "found": found,
                  "kept": recorder.runs.last()[0].run_id, "labels": labels}))
"""


def test_a_runs_id_goes_over_the_border_of_a_process(glasscache_url: str) -> None:
    """The headers that OpenTelemetry injects carry it: the other process's run is a part of this one, no metric is."""
    captured = Captured()
    recorder = captured.recorder()
    headers: dict[str, str] = {}
    with Cache.from_url(glasscache_url, recorder=recorder, **PATIENT) as cache, runs.run(recorder):
        cache.set("prompt", "shared", 5)
        propagate.inject(headers)
        del headers["traceparent"]  # the id alone: a service that begins traces of its own
        told = subprocess.run(
            [sys.executable, "-c", _PART, glasscache_url],
            input=json.dumps(headers) + "\n", capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    (mine,) = recorder.runs.last()
    theirs = json.loads(told.stdout)
    assert (theirs["found"], theirs["id"], theirs["kept"]) == (5, mine.run_id, mine.run_id)
    assert theirs["trace"] != mine.trace_id
    assert mine.run_id not in json.dumps(theirs["labels"])
    assert theirs["labels"]


@pytest.mark.parametrize(
    "value", ["", "x" * 32, "0" * 32, "A" * 32, "a" * 31, "a" * 33, "a" * 8000, f"{'a' * 31}%", "ключ", "../../etc"]
)
def test_what_is_no_run_id_is_not_taken_from_outside(value: str) -> None:
    """Anything but 32 hex digits in the baggage is left where it is: the run has an id of its own."""
    captured = Captured()
    recorder = captured.recorder()
    carrier = {"baggage": f"cache.run.id={value}"}
    with runs.run(recorder, carrier=carrier), recorder.operation("prompt", Operation.GET) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS)
    (kept,) = recorder.runs.last()
    assert kept.run_id == kept.trace_id
    assert carried.run_id() is None
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_run_inside_a_run_is_a_part_of_it() -> None:
    """Both have one id and pages of their own; the inner one is a step of the outer one's."""
    recorder = Recorder()
    with runs.run(recorder):
        outer = baggage.get_baggage("cache.run.id")
        with runs.run(recorder, "inner"), recorder.operation("prompt", Operation.GET) as event:
            event.looked(Outcome.HIT, tier=Tier.REDIS)
    parts = recorder.runs.find(str(outer))
    assert [part.name for part in parts] == ["inner", "workflow.run"]
    assert [(step.part, step.name) for step in parts[1].steps] == [("application", "inner"), ("cache", "prompt")]
    assert [part.hits for part in parts] == [1, 1]


def test_the_json_of_the_metrics_has_the_waits(glasscache_url: str) -> None:
    """Waits and their percentiles stand beside the computations."""
    captured = Captured()
    recorder = captured.recorder()
    with recorder.operation("prompt", Operation.GET_OR_COMPUTE) as event:
        for scope in FlightScope:
            with recorder.wait(event, scope, None):
                pass
        event.looked(Outcome.MISS)
    told = CacheMetrics(recorder).summary()["categories"]["prompt"]
    assert told["waits"] == 2
    assert 0 < told["wait_seconds"]["p50"] <= told["wait_seconds"]["p99"]
    assert captured.value("cache.flight.waits") == 2
