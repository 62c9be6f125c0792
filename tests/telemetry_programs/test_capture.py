"""What applications are given to test their telemetry with."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from telemetry.testing import Captured, CountingIds, TickingTime, capture
from telemetry.vocabulary import MissReason, Operation, Outcome, Tier


def work(captured: Captured) -> None:
    """One get with a miss of a computation, and a hit."""
    recorder = captured.recorder()
    with recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        event.looked(Outcome.MISS, reason=MissReason.COLD)
        with recorder.compute(event):
            pass
    with recorder.operation("tool", Operation.GET) as event:
        event.looked(Outcome.HIT, tier=Tier.LOCAL)


def test_a_run_repeats_exactly() -> None:
    """Ids, times, attributes and order are the same in every run."""
    one, other = capture(), capture()
    work(one)
    work(other)
    assert one.spans.as_dicts() == other.spans.as_dicts()
    assert [(s["id"], s["parent"], s["trace"], s["start"], s["end"]) for s in one.spans.as_dicts()] == [
        (1, None, 1, 0, 3),
        (2, 1, 1, 1, 2),
        (3, None, 2, 4, 5),
    ]


def test_spans_are_found_by_name_and_in_their_tree() -> None:
    """The accessors say which spans there are, and complain by name."""
    captured = capture()
    work(captured)
    assert captured.tree() == ["cache.get_or_compute tool", "  cache.compute tool", "cache.get tool"]
    assert captured.spans.attributes("cache.get tool")["cache.outcome"] == "hit"
    assert captured.spans()[0].name == "cache.compute tool"
    with pytest.raises(AssertionError, match=r"0 spans are called 'nope' among \['cache.compute tool', "):
        captured.spans.by_name("nope")
    captured.clear()
    assert captured.spans() == []


def test_metrics_are_read_by_attribute() -> None:
    """Counters are summed over what is asked for; histograms are counted."""
    captured = capture()
    work(captured)
    assert captured.metrics.value("cache.requests", cache_category="tool") == 2
    assert captured.value("cache.requests", cache_outcome="hit", cache_tier="local") == 1
    assert captured.value("cache.requests", **{"cache.outcome": "miss"}) == 1
    assert captured.value("cache.requests", cache_outcome="hit", cache_tier="redis") == 0
    assert captured.metrics.count("cache.operation.duration", cache_category="tool") == 2
    assert captured.metrics.total("cache.compute.duration") > 0
    assert captured.metrics("no.such.metric") == {}
    assert "cache.requests" in captured.metrics.names()


def test_a_sampler_in_the_environment_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees its spans also where the environment samples none."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    captured = capture()
    trace.get_tracer("t", tracer_provider=captured.tracer_provider).start_span("s").end()
    assert [span.name for span in captured.spans()] == ["s"]


def test_no_global_is_set() -> None:
    """Capturing leaves the process's providers alone."""
    capture()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_ids_and_times_count() -> None:
    """They begin at one and move by one step."""
    ids, clock = CountingIds(), TickingTime(0.5)
    assert [ids.generate_trace_id(), ids.generate_trace_id(), ids.generate_span_id()] == [1, 2, 1]
    assert [clock(), clock()] == [0.5, 1.0]
