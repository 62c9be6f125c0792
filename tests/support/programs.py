"""The real command in processes of its own: what it prints, how it ends, which ports it may have."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENT = {"CACHE_READ_DEADLINE": "2", "CACHE_WRITE_DEADLINE": "2", "CACHE_LOG_JSON": "true"}
"""A busy machine is no slow store."""


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What the condition gives once that is true."""
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up, "it did not come to pass"
        time.sleep(0.05)
    return found


class Program:
    """``glasscache`` with some arguments, running."""

    def __init__(self, process: subprocess.Popen[str], out: Path, err: Path) -> None:
        self.process, self._out, self._err = process, out, err

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def errors(self) -> str:
        return self._err.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The JSON lines of one kind that were printed so far."""
        lines = (line for line in self.output.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n"))
        return [event for line in lines if (event := json.loads(line))["event"] == name]

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        """As ``until``, as long as the program lives."""

        def alive_and_true() -> Any:
            assert self.process.poll() is None, self.errors
            return condition()

        return until(alive_and_true, seconds)

    def end(self, number: int = signal.SIGTERM) -> float:
        """Ask it to end; how long that took, seconds."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        return time.monotonic() - began


@contextmanager
def program(*arguments: str, **variables: str) -> Iterator[Program]:
    """Start the command; it is ended at the end."""
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "cache", *arguments],
                cwd=ROOT, env={**os.environ, **PATIENT, **variables}, stdout=stdout, stderr=stderr, text=True,
            )  # fmt: skip
        running = Program(process, out, err)
        try:
            yield running
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        assert "Traceback" not in running.errors, running.errors


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for _ in range(100):
        with ExitStack() as held:
            first = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            base = int(first.getsockname()[1])
            try:
                for n in range(1, count):
                    held.enter_context(socket.create_server(("127.0.0.1", base + n)))
            except (OSError, OverflowError):
                continue
            return base
    raise AssertionError("no ports in a row are free")


def scraped(port: int) -> str:
    """The exposition at a port; empty while nobody answers there."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    except httpx.TransportError:
        return ""


def samples(exposition: str, name: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of every sample of one name."""
    families = text_string_to_metric_families(exposition)
    return [(s.labels, s.value) for family in families for s in family.samples if s.name == name]


def looked_up(exposition: str) -> dict[str, dict[str, int]]:
    """Hits and misses by category, as a driver's ledger tells them."""
    found: dict[str, dict[str, int]] = {}
    for labels, value in samples(exposition, "cache_requests_total"):
        word = {"hit": "hits", "miss": "misses"}.get(labels["cache_outcome"])
        if word and value:
            counts = found.setdefault(labels["cache_category"], {"hits": 0, "misses": 0})
            counts[word] += int(value)
    return found


def outcomes(exposition: str) -> set[str]:
    """Every outcome that was counted."""
    return {labels["cache_outcome"] for labels, value in samples(exposition, "cache_requests_total") if value}


def told(exposition: str, label: str) -> str:
    """A label of the process's resource."""
    return samples(exposition, "target_info")[0][0][label]
