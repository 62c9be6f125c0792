"""What the program is made of, by a command, and whom it talks to: no host but the configured ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from support.otlp_sink import otlp_sink

from cache.testing import EmbeddedServer

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = Path(__file__).parent / "outbound_program.py"


def run(*arguments: str, **variables: str) -> str:
    """Run a program in the project; its output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_no_host_but_the_configured_ones_is_spoken_to() -> None:
    """Stores, doctor, API, fleet, telemetry: the store's address, asked for by its name, and the Collector's."""
    with EmbeddedServer(port=0) as server, otlp_sink() as sink:
        url = f"redis://localhost:{server.port}/0"
        told = run(sys.executable, str(PROGRAM), url, REDIS_URL=url, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        found = json.loads(told.splitlines()[-1])
        store, collector = ["127.0.0.1", server.port], ["127.0.0.1", sink.port]
        embedded = found["embedded"].removeprefix("unix://")
        named = [["name", "localhost"], ["name", "127.0.0.1"], ["::1", server.port]]
        allowed = [store, collector, embedded, *named]
        assert [place for place in found["places"] if place not in allowed] == []
        assert [place for place in (store, collector, embedded) if place not in found["places"]] == []


def test_the_bill_of_materials_is_made_by_a_command(tmp_path: Path) -> None:
    """CycloneDX, from the lock alone and without a network: every package that the extras install, with its hashes."""
    recipe = re.search(r"^sbom:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    file = tmp_path / "sbom.json"
    words = recipe[1].replace("$(PYTHON)", sys.executable).replace("$(SBOM)", str(file)).split()
    run(*words, UV_OFFLINE="1")

    bill = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    listed = {(part["name"], part["version"]): part for part in bill["components"]}
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    versions = {package["name"]: package["version"] for package in locked}
    for needed in (
        "redis",
        "hiredis",
        "orjson",
        "zstandard",
        "pydantic-settings",
        "fastapi",
        "uvicorn",
        "opentelemetry-sdk",
    ):
        part = listed[needed, versions[needed]]
        assert part["purl"] == f"pkg:pypi/{needed}@{versions[needed]}"
        assert all(place["hashes"][0]["alg"] == "SHA-256" for place in part["externalReferences"])
    assert {"mypy", "ruff", "schemathesis"}.isdisjoint(name for name, _ in listed)
    assert listed.keys() <= {(package["name"], package["version"]) for package in locked}
