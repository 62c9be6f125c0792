"""What is shipped for applications' tests does what it says."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cache.clock import Deadline, SystemClock
from cache.core.steps import Batch, Call
from cache.errors import StoreError
from cache.stores.connect import StoreOptions, open_async_store, open_store
from cache.testing import AsyncFailingStore, FailingStore, ManualClock
from cache.testing.wire import RequestParser
from telemetry.vocabulary import ErrorType

ROOT = Path(__file__).resolve().parents[2]
CLOCK = SystemClock()


def _call(*args, clock=CLOCK):
    return Call(args, Deadline(clock, 1.0))


def test_a_failing_store_fails_as_often_as_it_is_told(server):
    """Then it lets the real store answer; ``asked`` names every step."""
    store = FailingStore(open_store(server.url, StoreOptions(), on_breaker=lambda *_: None, clock=CLOCK))
    store.fail_with(ErrorType.REFUSED, times=2, only={"GET"})

    assert store.execute(_call("SET", "a", 1)) == b"OK"
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            store.execute(_call("GET", "a"))
        assert caught.value.kind is ErrorType.REFUSED
    assert store.execute(Batch((("GET", "a"),), Deadline(CLOCK, 1))) == [b"1"]
    assert store.asked == ["SET", "GET", "GET", "GET"]
    assert len(store.identity()) == 8
    store.close()


def test_a_hanging_store_uses_up_the_deadline_without_real_time(server):
    """The clock that was handed in stands at the deadline afterwards."""
    clock = ManualClock()
    store = AsyncFailingStore(open_async_store(server.url, StoreOptions(), on_breaker=lambda *_: None, clock=CLOCK))
    step = _call("GET", "a", clock=clock)

    async def run():
        store.hang(clock)
        with pytest.raises(StoreError) as caught:
            await store.execute(step)
        store.recover()
        value = await store.execute(_call("GET", "a"))
        await store.aclose()
        return caught.value, value

    trouble, value = asyncio.run(run())

    assert (trouble.kind, trouble.silent, value) == (ErrorType.TIMEOUT, True, None)
    assert clock.monotonic() == 1.0


def test_a_manual_clock_goes_forward_only():
    """Both of its times move together; the wall clock alone may be corrected."""
    clock = ManualClock(time=100.0)
    clock.tick(2.5)

    assert (clock.monotonic(), clock.time()) == (2.5, 102.5)
    clock.step(-50)
    assert (clock.monotonic(), clock.time()) == (2.5, 52.5)
    with pytest.raises(ValueError, match="back"):
        clock.tick(-1)


def test_commands_are_found_however_the_stream_is_cut():
    """Byte by byte as well as at once."""
    stream = b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n*1\r\n$4\r\nping\r\n"
    parser = RequestParser()

    assert RequestParser().feed(stream) == ["GET", "PING"]
    assert [name for at in range(len(stream)) for name in parser.feed(stream[at : at + 1])] == ["GET", "PING"]


def test_the_proxy_counts_round_trips_as_a_client_makes_them(open_driver, proxy):
    """A large request in many pieces is one; so is a pipeline; handshakes stand apart."""
    driver = open_driver(proxy.url)
    driver.call("SET", "large", b"x" * 1_000_000)
    driver.batch(*[("GET", "a")] * 100)

    assert (proxy.tally.round_trips, proxy.tally.greetings, proxy.tally.accepted) == (2, 1, 1)
    assert proxy.tally.commands.count("GET") == 100

    proxy.reset_connections()
    assert driver.until_answered("GET", "a") is None
    assert proxy.tally.accepted == 2


_APPLICATION = """
import threading
import pytest
from cache.clock import Deadline, SystemClock
from cache.core.steps import Call
from cache.errors import StoreError
from telemetry.vocabulary import ErrorType

def ask(store, *args):
    return store.execute(Call(args, Deadline(SystemClock(), 1.0)))

def test_one(glasscache_url, failing_store, manual_clock):
    assert glasscache_url.startswith("unix://")
    ask(failing_store, "SET", "a", 1)
    failing_store.fail_with(ErrorType.OOM)
    with pytest.raises(StoreError):
        ask(failing_store, "GET", "a")
    assert manual_clock.monotonic() == 0

def test_two(glasscache_server, failing_store, glasscache_cache, captured_spans, captured_metrics):
    assert ask(failing_store, "GET", "a") is None
    glasscache_cache.set("prompt", "x", {"a": 1})
    assert glasscache_cache.get("prompt", "x") == {"a": 1}
    assert [span.name for span in captured_spans()][-1] == "cache.get prompt"
    assert captured_metrics("cache.requests")
    glasscache_server.kill()

def test_three(failing_store, glasscache_server):
    assert ask(failing_store, "GET", "a") is None
    glasscache_server.freeze()

def test_four(glasscache_server, glasscache_cache):
    glasscache_cache.set("prompt", "x", "kept")
    glasscache_server.freeze()
    threading.Timer(0.3, glasscache_server.thaw).start()
    assert glasscache_cache.get("prompt", "x") == "kept"
"""


def test_the_plugin_serves_an_application(tmp_path):
    """Its fixtures give a real server that is empty for each test, also after one killed or froze it, and patience."""
    (tmp_path / "test_application.py").write_text(_APPLICATION)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "cache.testing.plugin", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "4 passed" in done.stdout, done.stdout + done.stderr
