"""``serve`` by several processes: one port for all, a metrics port for each, none missed when it dies."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from support.otlp_sink import otlp_sink
from support.programs import PATIENT, Program, free_ports, program, samples, scraped, told, until
from support.serving import TOKEN

from cache.api.server import WorkerServer
from cache.cli import main
from cache.errors import WorkerError
from cache.serving import listen
from cache.stopping import Stop
from cache.testing import EmbeddedServer
from cache.workers import FIRST_PAUSE_S, LONGEST_PAUSE_S, Supervisor, Worker, cannot_start, pause_before

ROOT = Path(__file__).resolve().parent.parent.parent
AUTH = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Fleet:
    """Two workers: the program, the API's port, the first of the metrics ports."""

    program: Program
    port: int
    base: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> dict[int, int]:
        """Each worker's process id and how many invalidations it has counted; two answer sooner or later."""
        found: dict[int, int] = {}

        def both() -> bool:
            # a connection of its own each time: which of the two accepts it is for the kernel to say
            figures = httpx.get(f"{self.url}/cache/metrics", timeout=10).json()
            found[figures["process"]] = figures["invalidations"]
            return len(found) == 2

        self.program.until(both)
        return found

    def instances(self) -> list[str]:
        """What each metrics port says of whose it is; empty while nobody answers there."""
        pages = [scraped(self.base + n) for n in (0, 1)]
        return [told(page, "service_instance_id") if page else "" for page in pages]


def live(url: str) -> bool:
    try:
        return httpx.get(f"{url}/live", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def started(*arguments: str, **variables: str) -> Iterator[Fleet]:
    port, base = free_ports(1), free_ports(2)
    with program(
        "serve", "--port", str(port), "--workers", "2", "--metrics-port", str(base), *arguments, **variables
    ) as running:
        fleet = Fleet(running, port, base)
        running.until(lambda: live(fleet.url) and all(fleet.instances()))
        yield fleet


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Two workers over a real store, for the module."""
    with EmbeddedServer() as server:
        yield from started(REDIS_URL=server.url, CACHE_API_TOKEN=TOKEN)


def test_two_workers_answer_on_one_port(fleet: Fleet) -> None:
    """Both take connections from the one socket, and neither is the process that was started."""
    assert fleet.program.process.pid not in fleet.processes()


def test_each_metrics_port_shows_its_own_process(fleet: Fleet) -> None:
    """What the two expositions count is what the two processes say of themselves, and together it is what was done."""
    before = sum(fleet.processes().values())
    for n in range(8):
        query = {"pattern": f"context:task-{n}:*"}
        assert httpx.post(f"{fleet.url}/cache/invalidate", params=query, headers=AUTH, timeout=10).status_code == 200

    by_process = fleet.processes()
    pages = [scraped(fleet.base + n) for n in (0, 1)]
    by_port = [sum(value for _, value in samples(page, "cache_invalidations_total")) for page in pages]
    assert sorted(by_port) == sorted(by_process.values())
    assert sum(by_port) == before + 8
    assert len(set(fleet.instances())) == 2
    assert {told(page, "service_name") for page in pages} == {"glasscache"}


def test_a_killed_worker_is_replaced_on_its_metrics_port(fleet: Fleet) -> None:
    """kill -9: the port goes on answering, and the next worker shows its metrics where the last one did."""
    before, processes = fleet.instances(), fleet.processes()
    victim = max(processes)

    os.kill(victim, signal.SIGKILL)
    fleet.program.until(lambda: live(fleet.url) and fleet.instances() != before and all(fleet.instances()))

    assert sum(now == then for now, then in zip(fleet.instances(), before, strict=True)) == 1
    after = fleet.program.until(lambda: (now := fleet.processes()) and victim not in now and now)
    assert len(after.keys() & processes.keys()) == 1
    assert "ended by signal 9" in fleet.program.errors


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    # whoever is nobody's child any more may stay a zombie where nothing reaps it
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_end_comes_soon_and_loses_nothing() -> None:
    """SIGTERM: within 5 s, code 0, and every span that waited for its time is out."""
    with otlp_sink() as sink, EmbeddedServer() as server:
        slow = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
        for fleet in started(REDIS_URL=server.url, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, **slow):
            fleet.processes()
            for _ in range(5):
                assert httpx.get(f"{fleet.url}/cache/health", timeout=10).status_code == 200
            assert sink.spans == []
            assert fleet.program.end() < 5
            assert fleet.program.process.returncode == 0

        assert sum(span.name == "GET /cache/health" for span in sink.spans) == 5
        assert len({span.trace_id for span in sink.spans if span.name == "cache.health all"}) == 5
        assert "cache.requests" in sink.metrics


def test_a_killed_supervisor_leaves_nobody_behind() -> None:
    """kill -9 of the process that was started ends its workers."""
    for fleet in started(REDIS_URL="redis://127.0.0.1:1/0"):
        first, second = fleet.processes()
        fleet.program.process.kill()
        fleet.program.process.wait()

        until(lambda first=first, second=second: gone(first) and gone(second), 20)
        assert not live(fleet.url)


def test_one_worker_is_the_process_itself() -> None:
    """Without --workers nothing is started beside it, without a metrics port nothing else listens; Ctrl-C is code 0."""
    port = free_ports(1)
    with program("serve", "--port", str(port), REDIS_URL="redis://127.0.0.1:1/0") as running:
        running.until(lambda: live(f"http://127.0.0.1:{port}"))
        figures = httpx.get(f"http://127.0.0.1:{port}/cache/metrics", timeout=10).json()
        assert figures["process"] == running.process.pid
        assert running.end(signal.SIGINT) < 5
        assert running.process.returncode == 0


def test_ctrl_c_a_second_time_cuts_nothing_off() -> None:
    """The end that was begun goes on: no cancelled lifespan with its traceback, no figures that are not told."""
    with Stop() as stop:
        server = WorkerServer(FastAPI(), Worker(0, stop, lambda: None), lambda: None)
        for _ in range(2):
            server.handle_exit(signal.SIGINT, None)

    assert (server.should_exit, server.force_exit) == (True, False)


WRONG = (
    ((), {"CACHE_TTL_TOOL": "0"}, "CACHE_TTL_TOOL"),
    ((), {"OTEL_EXPORTER_PROMETHEUS_PORT": "abc"}, "OTEL_EXPORTER_PROMETHEUS_PORT"),
    (("--metrics-port", "65535"), {}, "--metrics-port"),
    (("--host", "198.51.100.1"), {}, "198.51.100.1"),
)


@pytest.mark.parametrize(("arguments", "variables", "named"), WRONG)
def test_a_wrong_setting_ends_with_one_line(
    arguments: tuple[str, ...],
    variables: dict[str, str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before any worker is started: code 1, and what to change."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    code = main(("serve", "--workers", "2", *arguments))

    out, err = capsys.readouterr()
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert named in err


@pytest.mark.parametrize("taken", ["--port", "--metrics-port"])
def test_a_taken_port_ends_with_one_line(taken: str) -> None:
    """That of the API, and that of the second worker's metrics: all end, code 1, and no loop of restarts."""
    port, base = free_ports(1), free_ports(2)
    held = port if taken == "--port" else base + 1
    with socket.create_server(("127.0.0.1", held)):
        arguments = ("--port", str(port), "--metrics-port", str(base), "--workers", "2")
        with program("serve", *arguments, OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1") as running:
            assert running.process.wait(60) == 1
            errors = running.errors

    lines = [line for line in errors.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert f"127.0.0.1:{held}" in lines[0]
    assert taken in lines[0]
    assert "the next one begins" not in errors


@pytest.mark.parametrize("workers", ["1", "2"])
def test_telemetry_that_leads_nowhere_ends_with_one_line(workers: str) -> None:
    """An endpoint without a scheme: the variable is named, code 1, from a single process and from workers."""
    variables = {"REDIS_URL": "redis://127.0.0.1:1/0", "OTEL_EXPORTER_OTLP_ENDPOINT": "canary:4318"}
    with program("serve", "--port", str(free_ports(1)), "--workers", workers, **variables) as running:
        assert running.process.wait(60) == 1
        errors = running.errors

    lines = [line for line in errors.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith("glasscache: OTEL_EXPORTER_OTLP_ENDPOINT: ")
    assert "canary" not in errors


def written(directory: Path, work: str) -> tuple[list[str], dict[str, str]]:
    """A program of two workers that do such work: its command and its environment."""
    path = directory / "working.py"
    path.write_text(
        "import sys\n"
        "from cache.errors import WorkerError\n"
        "from cache.workers import run_workers\n"
        f"def work(worker, _):\n{textwrap.indent(textwrap.dedent(work), '    ')}\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        run_workers(work, None, 2)\n"
        "    except (WorkerError, BrokenPipeError) as error:\n"
        "        print(type(error).__name__, error, file=sys.stderr)\n"
    )
    return [sys.executable, str(path)], {**os.environ, **PATIENT, "PYTHONPATH": str(ROOT)}


def test_a_worker_that_falls_at_the_start_ends_all(tmp_path: Path) -> None:
    """One that cannot start and gives no reason of its own is named with its exit code."""
    command, environment = written(tmp_path, "worker.stop.wait(None) if worker.index else sys.exit(3)")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("", "WorkerError worker 0 ended with code 3 before it was ready\n")


def test_nobody_who_reads_ends_all(tmp_path: Path) -> None:
    """As ``traffic --workers 2 | head -1``: no tracebacks, and no workers that are started again for nobody."""
    talk = """
        worker.ready()
        while not worker.stop.wait(0.01):
            print('words', flush=True)
    """
    command, environment = written(tmp_path, talk)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        try:
            assert running.stdout.readline() == "words\n"
            running.stdout.close()
            assert running.wait(30) == 0
        finally:
            running.kill()
        assert re.fullmatch(r"BrokenPipeError nobody reads the output of worker [01]\n", running.stderr.read())


class Refusing(Supervisor[None]):
    """A supervisor that the system gives processes as long as it is in the mood."""

    def __init__(self, moods: list[bool]) -> None:
        super().__init__(_until_it_ends, None, 1)
        self.moods, self.began = moods, 0

    def _spawned(self, index: int) -> Any:
        self.began += 1
        if not self.moods.pop(0):
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return super()._spawned(index)


def _until_it_ends(worker: Worker, _: None) -> None:
    worker.ready()
    os.kill(os.getppid(), signal.SIGTERM) if os.environ.get("LAST") else os._exit(9)


def test_a_start_that_the_system_refuses_is_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process to be had for a while: later on that passes, at the very start it is one line."""
    with pytest.raises(WorkerError, match="worker 0 cannot be started: Resource temporarily unavailable"):
        Refusing([False]).run()
    supervisor = Refusing([True, False, True])
    monkeypatch.setattr(supervisor, "_again", lambda *a, **k: monkeypatch.setenv("LAST", "1") or again(*a, **k))
    again = Supervisor._again.__get__(supervisor)

    supervisor.run()

    assert supervisor.began == 3
    assert "worker 0 cannot be started: Resource temporarily unavailable; the next one begins in" in caplog.text


def test_pauses_grow_and_are_bounded() -> None:
    """At once after a long life, doubled after each short one, five seconds at most whatever happens."""
    assert [pause_before(n) for n in range(5)] == [FIRST_PAUSE_S * factor for factor in (1, 1, 2, 4, 8)]
    assert pause_before(10_000) == LONGEST_PAUSE_S


@pytest.mark.parametrize(
    ("code", "proven", "expected"), [(1, False, True), (1, True, False), (0, False, False), (-9, False, False)]
)
def test_who_cannot_start(code: int, proven: bool, expected: bool) -> None:
    """Whoever ended by itself with a failure, in a seat that never held one that was ready."""
    assert cannot_start(code, proven=proven) is expected


def test_an_answer_waits_for_no_acknowledgement() -> None:
    """Nagle's algorithm is off on what a listener accepts: over a kept connection it cost 40 ms an answer."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
