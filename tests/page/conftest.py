"""The system's Chromium, installed from Debian where that is allowed, and the page under load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from support.debian import found
from support.page_serving import page_served, process

from cache.testing import EmbeddedServer


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
    program = str(Path(__file__).parent / "load.py")
    with page_served(store, **links) as address, process(program, REDIS_URL=store) as load:
        assert load.stdout is not None
        assert load.stdout.readline() == "ready\n"
        yield address
