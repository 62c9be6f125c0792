"""The system's Chromium, installed from Debian where that is allowed, and the page under load."""

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
import pytest
from playwright.sync_api import Browser, sync_playwright
from support.debian import found

from cache.testing import EmbeddedServer

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium of Debian's."""
    path = found("chromium", "chromium")
    assert path is not None, "chromium is not to be had: install it, or run this as root on Debian"
    with sync_playwright() as playwright:
        # as root there is no sandbox; the page is our own
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    """A real server's URL."""
    with EmbeddedServer(port=0) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def loaded(store: str) -> Iterator[str]:
    """The page's address, while another process looks up, computes, invalidates and lets expire."""
    links = {"CACHE_GRAFANA_URL": "http://localhost:3000", "CACHE_JAEGER_URL": "http://localhost:16686"}
    with (
        page_served(store, **links) as address,
        process(str(Path(__file__).parent / "load.py"), REDIS_URL=store) as load,
    ):
        assert load.stdout is not None
        assert load.stdout.readline() == "ready\n"
        yield address
