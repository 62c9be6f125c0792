"""The specification's ``CacheMetrics``: its names, its JSON, and what stands beside them."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest

from cache.metrics import CacheMetrics, get_metrics
from telemetry.recorder import Recorder
from telemetry.vocabulary import ErrorType, MissReason, Operation, Outcome, Tier, Trigger, WriteResult

DETAILS = {
    "hits", "misses", "hit_rate", "miss_reasons", "miss_triggers", "stale", "bypass", "errors", "sets", "writes",
    "deletes", "invalidations", "hit_seconds", "miss_seconds", "compute_seconds", "seconds_avoided", "seconds_spent",
    "bytes_stored", "error_types", "buckets",
    "savings", "verifications", "waits", "wait_seconds",
}  # fmt: skip


@pytest.fixture
def metrics() -> CacheMetrics:
    return CacheMetrics()


def look(metrics: CacheMetrics, category: str, outcome: Outcome, reason: MissReason | None = None) -> None:
    with metrics.recorder.operation(category, Operation.GET) as event:
        event.looked(outcome, tier=Tier.REDIS, reason=reason, cost_s=0.5)


def test_the_specifications_json_comes_out_as_written(metrics: CacheMetrics) -> None:
    """The figures of the specification's example give its JSON, field by field."""
    for category, hits, misses in (("context", 892, 124), ("tool", 355, 228)):
        for _ in range(hits):
            metrics.record_hit(category)
        for _ in range(misses):
            metrics.record_miss(category)
    for _ in range(405):
        metrics.record_set()
    for _ in range(12):
        metrics.record_delete()
    summary = metrics.summary()
    expected = {
        "total_requests": 1599, "hits": 1247, "misses": 352, "hit_rate": "77.99%",
        "sets": 405, "deletes": 12, "errors": 0,
    }  # fmt: skip
    assert {name: summary[name] for name in expected} == expected
    shown = {
        name: {key: figures[key] for key in ("hits", "misses", "hit_rate")}
        for name, figures in summary["categories"].items()
    }
    # the specification prints 87.79% here, but 892/1016 is 0.877953; its own 77.99% is 0.779862, so it rounds
    assert shown == {
        "context": {"hits": 892, "misses": 124, "hit_rate": "87.80%"},
        "tool": {"hits": 355, "misses": 228, "hit_rate": "60.89%"},
    }


def test_the_attributes_are_the_specifications(metrics: CacheMetrics) -> None:
    """Integers and mappings under the specified names."""
    metrics.record_hit("context")
    metrics.record_hit()
    metrics.record_miss("tool")
    metrics.record_set()
    metrics.record_delete()
    metrics.record_error()
    counted = (metrics.hits, metrics.misses, metrics.sets, metrics.deletes, metrics.errors)
    assert counted == (2, 1, 1, 1, 1)
    assert {type(number) for number in counted} == {int}
    assert metrics.category_hits == {"context": 1, "general": 1}
    assert metrics.category_misses == {"tool": 1}


def test_rates_are_shares_and_zero_without_requests(metrics: CacheMetrics) -> None:
    """0..1, and 0.0 when nothing was asked, of a category too."""
    assert (metrics.hit_rate(), metrics.category_hit_rate("tool"), metrics.summary()["hit_rate"]) == (0.0, 0.0, "0.00%")
    for _ in range(3):
        metrics.record_hit("tool")
    metrics.record_miss("tool")
    metrics.record_miss("context")
    assert (metrics.hit_rate(), metrics.category_hit_rate("tool"), metrics.category_hit_rate("context")) == (
        0.6,
        0.75,
        0.0,
    )


def test_stale_errors_and_bypasses_are_no_requests(metrics: CacheMetrics) -> None:
    """Only hits and misses make the hit rate; the others stand beside them."""
    for outcome in (Outcome.HIT, Outcome.MISS, Outcome.STALE, Outcome.ERROR, Outcome.BYPASS):
        look(metrics, "tool", outcome)
    summary = metrics.summary()
    assert (summary["total_requests"], summary["hit_rate"]) == (2, "50.00%")
    tool = summary["categories"]["tool"]
    assert (tool["hits"], tool["misses"], tool["stale"], tool["bypass"]) == (1, 1, 1, 1)


def test_what_stands_beside_the_specifications_fields(metrics: CacheMetrics) -> None:
    """Reasons, writes, percentiles, seconds and bytes of a category are in the JSON, which is JSON."""
    look(metrics, "tool", Outcome.HIT)
    look(metrics, "tool", Outcome.MISS, MissReason.EXPIRED)
    with metrics.recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with metrics.recorder.compute(event):
            pass
        event.looked(Outcome.MISS, reason=MissReason.COLD)
        event.wrote(WriteResult.STORED, size=1500)
        event.fail(ErrorType.TIMEOUT)
    with metrics.recorder.operation("tool", Operation.SET) as event:
        event.wrote(WriteResult.REFUSED)
    with metrics.recorder.operation("tool", Operation.INVALIDATE) as event:
        event.invalidations, event.trigger = 2, Trigger.FILE
    summary = json.loads(json.dumps(metrics.summary()))
    tool = summary["categories"]["tool"]
    assert tool.keys() == DETAILS
    assert tool["miss_reasons"] == {"cold": 1, "expired": 1}
    assert tool["writes"] == {"stored": 1, "refused": 1, "dropped": 0, "too_large": 0, "over_budget": 0}
    assert (summary["sets"], summary["errors"], summary["deletes"], summary["invalidations"]) == (1, 1, 0, 2)
    assert (tool["sets"], tool["errors"], tool["invalidations"], tool["bytes_stored"]) == (1, 1, 2, 1500)
    assert sum(tool["error_types"].values()) == tool["errors"]
    assert {name: sum(part["counts"]) for name, part in tool["buckets"].items()}.keys() == {"hit", "miss", "compute"}
    assert tool["seconds_avoided"] == summary["seconds_avoided"] == 0.5
    assert tool["seconds_spent"] > 0
    for table in ("hit_seconds", "miss_seconds", "compute_seconds"):
        assert 0 < tool[table]["p50"] <= tool[table]["p95"] <= tool[table]["p99"] < 1
    told = {key: summary[key] for key in ("scope", "process", "workers", "complete")}
    assert told == {"scope": "process", "process": os.getpid(), "workers": 1, "complete": True}


def test_only_categories_with_traffic_are_shown(metrics: CacheMetrics) -> None:
    """Writes and errors without a category's name show no ``general``; an invalidation of all shows no ``all``."""
    metrics.record_set()
    metrics.record_error()
    with metrics.recorder.operation("all", Operation.INVALIDATE) as event:
        event.invalidations = 3
    assert metrics.summary()["categories"] == {}
    metrics.record_miss()
    assert list(metrics.summary()["categories"]) == ["general"]


def test_reset_restarts_the_json_and_no_counter(metrics: CacheMetrics) -> None:
    """After a reset the JSON counts from zero, percentiles of computations too; the ledger goes on."""
    with metrics.recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with metrics.recorder.compute(event):
            pass
        event.looked(Outcome.MISS, reason=MissReason.COLD)
    began = metrics.summary()["since"]
    metrics.reset()
    empty = metrics.summary()
    assert (empty["total_requests"], empty["categories"], empty["seconds_spent"]) == (0, {}, 0.0)
    assert empty["since"] > began
    look(metrics, "tool", Outcome.HIT)
    after = metrics.summary()["categories"]["tool"]
    assert (after["hits"], after["misses"], after["miss_reasons"]) == (1, 0, {})
    assert (after["miss_seconds"]["p50"], after["compute_seconds"]["p50"]) == (None, None)
    assert after["hit_seconds"]["p50"] is not None
    assert metrics.recorder.ledger.figures().requests.total() == 2


def test_threads_lose_no_count(metrics: CacheMetrics) -> None:
    """Eight threads that record at once arrive at the exact sum."""
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(500):
            metrics.record_hit("context")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.hits == 4000


def test_a_view_shows_the_recorder_that_it_was_given() -> None:
    """Two views of one recorder show the same figures, and each has a window of its own."""
    recorder = Recorder()
    one, other = CacheMetrics(recorder), CacheMetrics(recorder)
    one.record_hit("tool")
    other.reset()
    assert (one.hits, other.hits) == (1, 0)
    assert one.recorder is other.recorder is recorder


def test_the_process_has_one() -> None:
    """``get_metrics`` gives the same figures to every thread, with one recorder."""
    found: list[CacheMetrics] = []
    threads = [threading.Thread(target=lambda: found.append(get_metrics())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(metrics) for metrics in found} == {id(get_metrics())}
    assert len({id(metrics.recorder) for metrics in found}) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_shows_its_own_figures(metrics: CacheMetrics) -> None:
    """After a fork the child's JSON begins at zero, whatever window the parent had."""
    metrics.record_hit("tool")
    metrics.reset()
    child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(10)
        try:
            metrics.record_hit("tool")
            status = 0 if (metrics.hits, metrics.misses) == (1, 0) and get_metrics().hits >= 0 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
