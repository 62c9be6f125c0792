"""Prometheus's own parser reads every query of every panel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from dashboards.source import catalogue

IMAGE = "prom/prometheus:v3.16.0"

pytestmark = pytest.mark.container


def checked(folder: Path, exprs: list[str]) -> subprocess.CompletedProcess[str]:
    """What ``promtool check rules`` says of these queries as recording rules."""
    rules = [{"record": f"panel:query:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    folder.chmod(0o755)
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    command = ["docker", "run", "--rm", "--network", "none", "-v", f"{folder}:/rules:ro", "--entrypoint", "promtool"]
    return subprocess.run(
        [*command, IMAGE, "check", "rules", "/rules/rules.yml"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_query_parses(tmp_path: Path) -> None:
    """With its variables replaced each query is valid PromQL."""
    exprs = [asked.expr for asked in catalogue.queries()]
    assert len(exprs) > 100
    ran = checked(tmp_path, exprs)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(exprs)} rules found" in ran.stdout


def test_a_query_that_does_not_parse_is_seen(tmp_path: Path) -> None:
    """The check has teeth."""
    assert checked(tmp_path, ["sum(rate(up[5m])"]).returncode != 0
