"""A part of the stack is away for a while: what was handed to the Collector's queues arrives when it is back.

The last file of the folder by name: what an outage writes into the logs is none of the other tests' business.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.stack import Stack, until

pytestmark = [pytest.mark.container, pytest.mark.slow]

PATIENCE_S = 180
"""How long a machine that is busy may take for what an idle one does in 15 s."""

WORKERS = 2
"""Of the workflow."""

EXPORT_S = 15
"""Seconds between two exports of a process."""

SAMPLING = "otelcol_processor_tail_sampling"
LOST = (
    'sum({__name__=~"otelcol_exporter_(enqueue|send)_failed_(spans|metric_points)_total",job="otel-collector"})'
    f" + sum({SAMPLING}_new_trace_id_received_total) - sum({SAMPLING}_global_count_traces_sampled_total)"
    f" - sum({SAMPLING}_sampling_traces_on_memory)"
)
"""What an exporter gave up, and traces that were dropped before they were judged."""

BEGUN = f"sum({SAMPLING}_new_trace_id_received_total)"
UNDECIDED = f"sum({SAMPLING}_sampling_traces_on_memory)"
QUEUED = 'otelcol_exporter_queue_size{exporter="otlp_http/jaeger"}'
SENT = 'otelcol_exporter_sent_spans_total{exporter="otlp_http/jaeger",job="otel-collector"}'


@pytest.fixture
def quiet(stack: Stack) -> Iterator[Stack]:
    """The stack; the workflow, should a test have stopped it, runs again afterwards."""
    yield stack
    stack.up()


def settled(stack: Stack) -> float:
    """How many spans the Collector has sent to Jaeger, once the workflow has stopped and none comes any more."""
    stack.stop("traffic")
    # a run that was stopped has no root, and waits for a minute
    until(lambda: stack.query(f"{UNDECIDED} == 0"), PATIENCE_S, "every trace is judged")
    until(lambda: stack.query(f"changes({SENT}[45s]) == 0"), PATIENCE_S, "nothing more is sent")
    until(lambda: stack.value(QUEUED) == 0, PATIENCE_S, "the queue is empty")
    return stack.value(SENT)


def test_traces_wait_for_jaeger(quiet: Stack) -> None:
    """Jaeger stops until spans wait on disk: afterwards it has every span that was kept, meanwhile too."""
    before, began = settled(quiet), time.time()
    quiet.compose("start", "traffic")
    until(lambda: quiet.value(SENT) > before, PATIENCE_S, "the workflow's traces are sent again")
    gone = quiet.stop("jaeger")
    begun = quiet.value(BEGUN)
    until(lambda: quiet.value(BEGUN) >= begun + 4, PATIENCE_S, "runs go on without Jaeger")
    until(lambda: quiet.value(QUEUED) > 0, PATIENCE_S, "spans wait for Jaeger")
    back = quiet.start("jaeger")
    sent = settled(quiet) - before

    def stored() -> int:
        traces = quiet.traces("glasscache-traffic", began, time.time())
        return len({span["spanID"] for trace in traces for span in trace["spans"]})

    with suppress(AssertionError):
        until(lambda: stored() >= sent, PATIENCE_S, "Jaeger has what the Collector sent")
    assert stored() == sent > 0
    assert quiet.traces("glasscache-traffic", gone, back)
    until(lambda: quiet.query(f"{LOST} == 0"), 60, "nothing is lost")


def test_figures_wait_for_prometheus_even_over_a_restart_of_the_collector(quiet: Stack) -> None:
    """Prometheus is away and the Collector restarts meanwhile: no process's series has a hole afterwards."""
    series = 'cache_requests_total{job="glasscache-traffic",cache_category="tool",cache_outcome="hit"}'
    # processes that ended lately are in the answer to a plain query for five minutes more
    living = f"max by (instance) (count_over_time({series}[{3 * EXPORT_S}s])) >= 2"
    until(lambda: len(quiet.query(living)) == WORKERS, PATIENCE_S, "figures of each worker of the workflow")
    instances = {one["metric"]["instance"] for one in quiet.query(living)}
    gone = quiet.stop("prometheus")
    # nothing can be asked meanwhile: two exports of each process go into the queue, then two more after the restart
    time.sleep(2 * EXPORT_S)
    quiet.compose("restart", "--timeout", "10", "otel-collector")
    time.sleep(2 * EXPORT_S)
    back = quiet.start("prometheus")
    seconds = back - gone
    # an export that met the restarting Collector was never in a queue; it is one at most
    least = int(seconds / EXPORT_S) - 1

    def points() -> dict[str, float]:
        query = f"max by (instance) (count_over_time({series}[{seconds:.0f}s]))"
        found = quiet.prometheus("query", query=query, time=back)["result"]
        return {one["metric"]["instance"]: float(one["value"][1]) for one in found}

    def complete() -> bool:
        try:
            return all(points().get(instance, 0) >= least for instance in instances)
        except OSError:
            return False

    until(complete, PATIENCE_S, f"{least} points of {instances} between {gone:.0f} and {back:.0f}")
    until(lambda: quiet.query(f"{LOST} == 0"), 60, "nothing is lost")
