"""Threads, tasks, cancellation, event loops and forks: no wrong value, no leak, no deadlock."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from cache.clock import Deadline, SystemClock
from cache.core.breaker import BreakerOptions
from cache.core.steps import Batch, Call
from cache.errors import StoreError
from cache.stores.async_plain_path import AsyncPlainPath
from cache.stores.connect import StoreOptions, open_async_store, open_store
from telemetry.vocabulary import BreakerState, ErrorType

CLOCK = SystemClock()
PATIENT = BreakerOptions(failures=100_000)


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def fast_path(request):
    """Both ways of a store to its server."""
    return request.param


def _get(key, seconds=2.0):
    return Call(("GET", key), Deadline(CLOCK, seconds), True)


def _open(url, **limits):
    return open_store(url, StoreOptions(**limits), on_breaker=lambda *_: None, clock=CLOCK)


def _open_async(url, **limits):
    return open_async_store(url, StoreOptions(**limits), on_breaker=lambda *_: None, clock=CLOCK)


def _fill(url, count=64):
    store = _open(url)
    store.execute(Batch(tuple(("SET", f"k{n}", f"v{n}") for n in range(count)), Deadline(CLOCK, 2)))
    store.close()


def _connections(server):
    with redis.Redis(unix_socket_path=server.socket) as admin:
        return len([row for row in admin.client_list() if row["name"] == "glasscache"])


def _eventually(check, within_s=5.0):
    give_up = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_threads_share_few_connections_and_get_their_own_values(server, fast_path):
    """Sixteen threads over four connections: every answer is the one that was asked for."""
    _fill(server.url)
    store = _open(server.url, max_connections=4, fast_path=fast_path)

    def work(worker):
        return all(store.execute(_get(f"k{n % 64}")) == b"v%d" % (n % 64) for n in range(worker, worker + 200))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))
    assert _connections(server) <= 4
    store.close()
    _eventually(lambda: _connections(server) == 0)


def test_an_exhausted_pool_is_a_bounded_wait(server, proxy, fast_path):
    """With the only connection taken, a thread waits until its deadline and is told so; the breaker stays closed."""
    store = _open(proxy.url, max_connections=1, fast_path=fast_path)
    store.execute(_get("a"))
    proxy.hold()
    proxy.tally.clear()
    holder = threading.Thread(target=lambda: store.execute(_get("a", 5)))
    holder.start()
    _eventually(lambda: proxy.tally.commands == ["GET"])

    began = time.perf_counter()
    with pytest.raises(StoreError) as caught:
        store.execute(_get("a", 0.05))
    took = time.perf_counter() - began
    proxy.heal()
    holder.join(5)

    assert (caught.value.kind, caught.value.sent_nothing) == (ErrorType.POOL_EXHAUSTED, True)
    assert 0.045 < took < 0.3
    assert store.breaker_state() is BreakerState.CLOSED
    store.close()


def test_a_thousand_tasks_over_ten_connections_all_end(server, proxy, fast_path):
    """With 50 ms of delay some are answered and the others are told in time; nothing is left over."""
    _fill(server.url)

    async def run():
        store = _open_async(proxy.url, max_connections=10, breaker=PATIENT, fast_path=fast_path)
        await store.execute(_get("k0"))
        proxy.delay(0.05)

        async def one(n):
            try:
                return await store.execute(_get(f"k{n % 64}", 1.0)) == b"v%d" % (n % 64)
            except StoreError as trouble:
                return trouble.kind

        began = time.perf_counter()
        outcomes = await asyncio.gather(*(one(n) for n in range(1000)))
        took = time.perf_counter() - began
        proxy.heal()
        again = await _served(store, "k1")
        await store.aclose()
        return outcomes, took, again

    outcomes, took, again = asyncio.run(run())

    # a machine that is busy elsewhere may let a whole deadline pass without a byte: then the breaker speaks
    assert set(outcomes) <= {True, ErrorType.POOL_EXHAUSTED, ErrorType.TIMEOUT, ErrorType.BREAKER_OPEN}
    assert again == b"v1"
    assert outcomes.count(True) >= 10
    assert took < 3.0


async def _served(store, key, within_s=2.0):
    """What the store answers once its breaker lets a call through."""
    give_up = time.monotonic() + within_s
    while True:
        try:
            return await store.execute(_get(key))
        except StoreError:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)


def test_cancelled_calls_leave_no_wrong_value_and_no_connection(server, fast_path):
    """Two thousand calls cancelled at different moments; the connections that remain answer rightly."""
    _fill(server.url)

    async def run():
        store = _open_async(server.url, max_connections=8, fast_path=fast_path)
        wrong = cancelled = 0

        async def check(n):
            value = await store.execute(_get(f"k{n % 64}"))
            return value == b"v%d" % (n % 64)

        for n in range(2000):
            task = asyncio.ensure_future(check(n))
            for _ in range(n % 23):
                await OneTurn()
            task.cancel()
            try:
                wrong += not await task
            except asyncio.CancelledError:
                cancelled += 1
            if n % 10 == 0:
                wrong += not await check(n + 7)
        assert _nothing_under_way(store)
        assert store.breaker_state() is BreakerState.CLOSED
        await store.aclose()
        return wrong, cancelled

    wrong, cancelled = asyncio.run(run())

    assert wrong == 0
    assert cancelled > 200
    _eventually(lambda: _connections(server) == 0)


def _nothing_under_way(store):
    """No connection is taken, no place in a line is held by a caller that has gone and may still come back."""
    path = store._home().path
    if isinstance(path, AsyncPlainPath):
        return not path.client.connection_pool._in_use_connections
    return not path.lanes.pending()


class OneTurn:
    """Gives the loop one turn."""

    def __await__(self):
        yield


def test_a_loop_that_ends_closes_its_connections(server, fast_path):
    """Without ``aclose``: the loop's own shutdown does it, and nothing warns of what was left open."""
    store = _open_async(server.url, fast_path=fast_path)
    for _ in range(3):
        assert asyncio.run(store.execute(_get("absent"))) is None
        gc.collect()

    _eventually(lambda: _connections(server) == 0)


def test_one_async_store_serves_several_loops_at_once(server, fast_path):
    """Each loop in each thread has its own connections."""
    _fill(server.url)
    store = _open_async(server.url, fast_path=fast_path)

    async def work():
        values = await asyncio.gather(*(store.execute(_get(f"k{n}")) for n in range(64)))
        return values == [b"v%d" % n for n in range(64)]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: asyncio.run(work()), range(8)))


def test_a_loop_that_was_held_up_does_not_open_the_breaker(server, fast_path):
    """A call whose deadline passed while its own loop was busy proves nothing about the server."""

    async def run():
        store = _open_async(server.url, fast_path=fast_path)
        await store.execute(_get("a"))
        task = asyncio.ensure_future(store.execute(_get("a", 0.02)))
        await OneTurn()
        busy_until = time.perf_counter() + 0.1
        while time.perf_counter() < busy_until:
            pass
        with contextlib.suppress(StoreError):
            await task
        state = store.breaker_state()
        await store.aclose()
        return state

    assert asyncio.run(run()) is BreakerState.CLOSED


def _in_child(function):
    """Run in a forked child; its exit code, or -1 when it did not end within five seconds."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = function()
        finally:
            os._exit(code)
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_its_own_connections(server, fast_path):
    """Parent and child ask at the same time, with threads that hold connections at the fork; both get their values."""
    _fill(server.url)
    store = _open(server.url, max_connections=4, fast_path=fast_path)
    stop = threading.Event()

    def load():
        while not stop.is_set():
            assert store.execute(_get("k1")) == b"v1"

    threads = [threading.Thread(target=load, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()

    def child():
        right = all(store.execute(_get(f"k{n % 64}")) == b"v%d" % (n % 64) for n in range(300))
        return 0 if right and store.client.get("k2") == "v2" else 1

    codes = [_in_child(child) for _ in range(5)]
    right = all(store.execute(_get(f"k{n % 64}")) == b"v%d" % (n % 64) for n in range(300))
    stop.set()
    for thread in threads:
        thread.join(5)
    store.close()

    assert codes == [0] * 5
    assert right


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_during_a_probe_can_probe_itself(own_server, fast_path):
    """Locks and the probe of the parent's threads are not waited for."""
    store = _open(own_server.url, fast_path=fast_path)
    store.execute(_get("a"))
    own_server.freeze()
    with pytest.raises(StoreError):
        store.execute(_get("a", 0.02))
    store._breaker._lock.acquire()
    store._breaker._probing = True
    own_server.thaw()

    def child():
        give_up = time.monotonic() + 3
        while time.monotonic() < give_up:
            try:
                store.execute(_get("a"))
                return 0
            except StoreError:
                continue
        return 1

    code = _in_child(child)
    store._breaker._lock.release()
    store.close()

    assert code == 0
