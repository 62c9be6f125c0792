"""Store, Collector and Prometheus are stopped in turn: what callers notice, what is alarmed, what is lost."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import pytest
from support.stack import ROOT, Stack, until

from telemetry import schema
from telemetry.vocabulary import BREAKER_GAUGE, BreakerState

pytestmark = [pytest.mark.container, pytest.mark.slow]

PROBE = (ROOT / "tests/support/probe.py").read_text()
STORE_ALERT = "CacheStoreUnreachable"
AWAY_S = 20
TRIES = 3


class Probe:
    """Paced hits from inside a container of the API: what each took, second by second."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.seconds: list[dict[str, Any]] = []

    def finish(self) -> None:
        """Wait for its end and read what it said."""
        out, errors = self._process.communicate(timeout=240)
        assert self._process.returncode == 0, errors
        self.seconds = [json.loads(line) for line in out.splitlines()]

    def between(self, start: float, end: float) -> list[list[float]]:
        """Durations of the lookups, a list for each second that lies whole between two moments; the first warm up."""
        return [one["taken"] for one in self.seconds[2:] if start + 1 < one["at"] < end]


@contextmanager
def probing(stack: Stack, seconds: int, job: str) -> Iterator[Probe]:
    """A probe that runs beside the block, and has ended after it."""
    process = stack.inside("app", PROBE, str(seconds), job)
    probe = Probe(process)
    try:
        yield probe
        probe.finish()
    finally:
        process.kill()


@pytest.fixture
def calm(stack: Stack) -> Iterator[Stack]:
    """The stack without the workflow, whose load would be in every figure."""
    stack.stop("traffic")
    yield stack
    stack.compose("start", "traffic")


@pytest.mark.parametrize("service", ["otel-collector", "prometheus"])
def test_callers_do_not_notice_that_a_watcher_is_away(calm: Stack, service: str) -> None:
    """Without it hits take as long as before; afterwards totals are whole, and spans are missing as counted.

    What a shared machine does for some seconds is no watcher's fault: the durations have three tries.
    """
    for attempt in range(TRIES):
        job = f"glasscache-probe-{service}-{attempt}"
        before, without = measured(calm, service, job)
        slower = median(map(median, without)) / median(map(median, before))
        beyond = median(map(p99, without)) / max(map(p99, before))
        if slower < 1.1 and beyond <= 1:
            return
    pytest.fail(
        f"without {service} the p50 of hits is {slower:.2f} of before, the p99 {beyond:.2f} of the worst before"
    )


def measured(stack: Stack, service: str, job: str) -> tuple[list[list[float]], list[list[float]]]:
    """Durations of paced hits, second by second, with a service and without; what was counted is compared too."""
    with probing(stack, 2 * AWAY_S + 25, job) as probe:
        until(lambda: stack.query(f'cache_requests_total{{job="{job}"}}'), 30, "the probe's first figures")
        gone = time.time()
        stack.stop(service)
        stopped = time.time()
        time.sleep(AWAY_S)
        back = time.time()
        stack.start(service)
    before, without = probe.between(0, gone - 1), probe.between(stopped, back)
    assert len(before) >= 8 and len(without) >= AWAY_S - 5

    hits = sum(len(one["taken"]) - one["errors"] for one in probe.seconds)
    own = f'sum(cache_requests_total{{job="{job}",cache_outcome="hit"}})'
    until(lambda: stack.query(own) and stack.value(own) == hits, 120, f"{hits} hits of the probe in Prometheus")

    def spans(metric: str, labels: str = "") -> float:
        return stack.value(f'sum({metric}{{job="{job}"{labels}}})')

    lost = spans("otel_sdk_exporter_span_exported_total", ',error_type!=""')
    dropped = spans("otel_sdk_processor_span_processed_total", ',error_type!=""')
    sent = spans("otel_sdk_exporter_span_exported_total", ',error_type=""')
    assert spans("otel_sdk_span_started_total") == sent + lost + dropped
    assert (lost > 0) is (service == "otel-collector")
    return before, without


def p99(taken: list[float]) -> float:
    """The 99th percentile."""
    return quantiles(taken, n=100)[-1]


def alert(stack: Stack, name: str) -> str:
    """State of an alert: firing, pending or inactive."""
    found = {one["state"] for one in stack.prometheus("alerts")["alerts"] if one["labels"]["alertname"] == name}
    return "firing" if "firing" in found else "pending" if found else "inactive"


def test_a_stopped_store_is_alarmed_and_harms_no_run(stack: Stack) -> None:
    """The workflow goes on without an error, breaker and alert tell; with the store back both are quiet again."""
    calls = 'traces_span_metrics_calls_total{span_name="workflow.run",job="glasscache-traffic"'
    # a restart of the Collector began these counters anew: what counts is that they go up
    runs, failed = f"sum(increase({calls}}}[1m])) > 0", f'{calls},status_code="STATUS_CODE_ERROR"}}'
    breaker = f'max({schema.BREAKER.prometheus}{{job="glasscache-traffic"}})'
    assert alert(stack, STORE_ALERT) == "inactive"
    stack.stop("redis")
    try:
        until(lambda: stack.value(breaker) >= BREAKER_GAUGE[BreakerState.HALF_OPEN], 120, "the gauge moves")
        until(lambda: alert(stack, STORE_ALERT) == "firing", 300, f"{STORE_ALERT} fires")
        # without a store each run embeds every passage anew; the last minute was all without it
        until(lambda: stack.query(runs), 180, "runs go on")
    finally:
        stack.start("redis")
    until(lambda: stack.query(f"{breaker} == {BREAKER_GAUGE[BreakerState.CLOSED]}"), 240, "the breaker closes")
    until(lambda: alert(stack, STORE_ALERT) == "inactive", 300, f"{STORE_ALERT} resolves")

    assert stack.query(failed) == []
    assert "Traceback" not in stack.compose("logs", "--no-log-prefix", "traffic", "app")
