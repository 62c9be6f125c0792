"""The API as users get it: the real command in a process of its own, over a real server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN = "a-test-token"


@contextmanager
def served(url: str, **variables: str) -> Iterator[httpx.Client]:
    """``glasscache serve`` on a free port; a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "REDIS_URL": url, **variables}
    command = [sys.executable, "-m", "cache", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                _until_live(client, process)
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=15)
            assert "Traceback" not in errors, errors


def _until_live(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        assert process.poll() is None, process.communicate()[1]
        try:
            if client.get("/live").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the API did not come up")
