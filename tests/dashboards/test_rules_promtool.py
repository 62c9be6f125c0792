"""Recording rules and alerts by promtool: their syntax, and every test of ``dashboards/prometheus/tests``.

promtool is taken from PATH, else from Prometheus's image; neither is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.rule_files import FOLDER, QUERY, RULES, RUNBOOKS, TESTS

IMAGE = "prom/prometheus:v3.16.0"

pytestmark = pytest.mark.container


def promtool(*arguments: str, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    """Run promtool inside ``folder``; all paths are relative to it."""
    if program := shutil.which("promtool"):
        command, where = [program, *arguments], folder
    else:
        # as this user, who may read a test's own folder; the image's user may not
        user = f"{os.getuid()}:{os.getgid()}"
        mount = ["--user", user, "-v", f"{folder}:/rules:ro", "-w", "/rules", "--entrypoint", "promtool"]
        command, where = ["docker", "run", "--rm", "--network", "none", *mount, IMAGE, *arguments], folder
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300)


def test_rules_pass_the_check() -> None:
    """Syntax and promtool's own lint."""
    paths = [str(path.relative_to(FOLDER)) for path in RULES]
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *paths)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(path: Path) -> None:
    """One file of tests."""
    done = promtool("test", "rules", str(path.relative_to(FOLDER)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """The tests fail when an alert never fires: a threshold out of reach is enough."""
    for name in ("rules", "tests"):
        shutil.copytree(FOLDER / name, tmp_path / name)
    alerts = tmp_path / "rules" / "alerts.yml"
    alerts.write_text(alerts.read_text().replace("[10m])) >= 3", "[10m])) >= 300"))
    done = promtool("test", "rules", "tests/store.yml", folder=tmp_path)
    assert done.returncode == 1 and "CacheBreakerFlapping" in done.stdout + done.stderr


def test_the_queries_of_the_runbooks_are_valid(tmp_path: Path) -> None:
    """Each is taken as a rule's expression."""
    queries = [query for page in sorted(RUNBOOKS.glob("*.md")) for query in QUERY.findall(page.read_text())]
    made = [{"record": f"job:runbook:query{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": made}]}))
    done = promtool("check", "rules", "queries.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(queries) >= len(TESTS)
