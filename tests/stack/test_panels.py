"""What people watch: every panel and every recorded series has data under load, and the alert list is quiet."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.stack import ROOT, Stack, run, until

from dashboards.source.catalogue import Asked, queries

pytestmark = [pytest.mark.container, pytest.mark.slow]

WINDOWS = {"before": "1m", "__rate_interval": "1m", "__range": "5m"}
"""Short ones, so that a stack that is minutes old has both the window and the one before it."""

EVALUATED_S = 240
"""Until the longest window has passed under load, and the rules were evaluated over it."""

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "dashboards/prometheus/rules/recording.yml").read_text())["groups"]
    for rule in group["rules"]
]


def test_every_panel_has_data(stack: Stack) -> None:
    """Each query of each panel returns at least one series with a value, under nothing but the workflow's load."""
    asked = queries(WINDOWS)

    def empty() -> list[Asked]:
        return [one for one in asked if not stack.query(one.expr)]

    with suppress(AssertionError):
        until(lambda: not empty(), EVALUATED_S, "data for every panel")
    assert [(one.dashboard, one.panel, one.expr) for one in empty()] == []
    assert not any("or vector" in one.expr for one in asked)
    assert len(asked) > 100


def test_every_recording_rule_has_data(stack: Stack) -> None:
    """Each recorded series is there, those of what did not happen at zero."""
    names = {rule["record"] for rule in RULES}
    damaged = "sum(job_cache_category_cache_miss_reason:cache_damaged:increase5m)"

    until(lambda: all(stack.query(name) for name in names), EVALUATED_S, "data for every rule")
    assert [name for name in names if not stack.query(name)] == []
    assert stack.value(damaged) == 0


def test_the_alert_list_is_quiet(stack: Stack) -> None:
    """While all is well the watchdog fires and nothing else."""

    def firing() -> set[str]:
        alerts = stack.prometheus("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    # a cold start on a machine with two cores meets deadlines, which is told for five minutes, rightly
    until(lambda: firing() == {"CacheWatchdog"}, 600, "a quiet list")
    loaded = stack.prometheus("rules", type="alert")["groups"]

    assert firing() == {"CacheWatchdog"}
    assert sum(len(group["rules"]) for group in loaded) > 20
    assert all(rule["health"] == "ok" for group in loaded for rule in group["rules"])


@pytest.fixture
def empty_prometheus(tmp_path: Path) -> Iterator[Stack]:
    """A Prometheus that has seen nothing."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    image = "prom/prometheus:v3.16.0"
    bare = Stack("glasscache-test-empty", services=())
    bare.ports[1] = port
    name = run("docker", "run", "--detach", "--rm", "--publish", f"127.0.0.1:{port}:9090", image).strip()
    try:
        until(lambda: _answers(bare), 60, "an empty Prometheus answers")
        yield bare
    finally:
        run("docker", "kill", name)


def _answers(bare: Stack) -> bool:
    try:
        return bool(bare.query("vector(1)"))
    except OSError:
        return False


def test_every_query_is_valid_where_there_is_nothing(empty_prometheus: Stack) -> None:
    """No query fails before the first figure has come."""
    for one in queries(WINDOWS):
        empty_prometheus.query(one.expr)
    for rule in RULES:
        empty_prometheus.query(rule["expr"])
