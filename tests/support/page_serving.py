"""The page as people get it: the real command in a process of its own, with patience for a busy machine."""

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
PATIENT = {"CACHE_READ_DEADLINE": "2", "CACHE_WRITE_DEADLINE": "2"}


@contextmanager
def process(*words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A program of ours, ended at the end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **PATIENT, **variables}
    with subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            running.communicate(timeout=20)


@contextmanager
def page_served(url: str, **variables: str) -> Iterator[str]:
    """``glasscache serve`` on a free port; the page's address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with process("-m", "cache", "serve", "--port", str(port), REDIS_URL=url, **variables) as running:
        address, give_up = f"http://127.0.0.1:{port}/", time.monotonic() + 60
        while True:
            assert running.poll() is None
            assert time.monotonic() < give_up, "the page is not served"
            try:
                httpx.get(address + "live", timeout=5)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                break
        yield address
