"""The stack, started once for all tests that need it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.stack import GRAFANA, ROOT, Stack, has_grafana, need_engine, run, until

PATIENT = {"CACHE_READ_DEADLINE": "0.5", "CACHE_WRITE_DEADLINE": "1"}
"""A busy machine is no slow store: a stall of 50 ms would be an alarm for five minutes, rightly."""

FIRST_RUNS = 'traces_span_metrics_calls_total{span_name="workflow.run"} > 5'


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Everything of ``docker-compose.yml``, under load by the shipped workflow; stopped and deleted at the end."""
    need_engine()
    run("sh", str(ROOT / "tools" / "build_images.sh"), seconds=900)
    started = Stack(f"glasscache-test-{os.getpid()}", {"TRAFFIC_PACE": "0.5", **PATIENT})
    if has_grafana():
        started.services = (*started.services, GRAFANA)
    try:
        started.up()
        # a cold model reads every file first; on a busy machine that takes minutes
        until(lambda: started.query(FIRST_RUNS), 420, "the workflow's first runs in Prometheus")
        yield started
    finally:
        started.down()
