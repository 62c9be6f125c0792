"""A forked child of a process that uses a cache: nothing waits for the parent's threads, and nothing is lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.faces import Stage

from cache import Cache, Policy
from cache.running import REFRESHERS

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

CHILD_S = 5.0
"""A child that takes longer waits for something of its parent's."""


def in_child(action: Callable[[], bool]) -> bool:
    """Whether ``action`` is true in a forked child, within its time."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if action() else 1
        finally:
            os._exit(code)
    give_up = time.monotonic() + CHILD_S
    while time.monotonic() < give_up:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return False


@contextmanager
def in_the_air(cache: Cache, key: str) -> Iterator[None]:
    """A flight of the parent's, led by another thread."""
    begun, land = threading.Event(), threading.Event()

    def compute() -> str:
        begun.set()
        land.wait(30)
        return "parent"

    thread = threading.Thread(target=cache.get_or_compute, args=("prompt", key, compute))
    thread.start()
    try:
        assert begun.wait(5)
        yield
    finally:
        land.set()
        thread.join(5)


def test_a_child_follows_no_flight_of_its_parent(glasscache_url: str) -> None:
    """The parent's thread computes a key at the fork: the child computes it itself, at once, and keeps it."""
    cache = Stage("sync", glasscache_url).cache.cache

    def child() -> bool:
        value = cache.get_or_compute("prompt", "k", lambda: "child")
        return value == cache.get("prompt", "k") == "child"

    with in_the_air(cache, "k"):
        assert in_child(child)
    cache.close()


def test_locks_of_the_parents_threads_are_not_waited_for(glasscache_url: str) -> None:
    """Whatever lock another thread held at the fork, the child computes, invalidates and closes."""
    cache = Stage("sync", glasscache_url).cache.cache
    engine, runner = cache._engine, cache._parts.runner

    def child() -> bool:
        engine.pending.add(scopes=["tag:red"])
        return cache.get_or_compute("prompt", "k", lambda: 1) == 1 and cache.close() is None

    with engine.flights._lock, engine.pending._lock, runner._lock:
        assert in_child(child)
    cache.close()


def test_a_child_refreshes_in_threads_of_its_own(glasscache_url: str) -> None:
    """A parent whose every refresher has worked leaves the child no dead threads: its refreshes run, and it closes."""
    stage = Stage("sync", glasscache_url, policies=(Policy(name="news", ttl_s=10, serve_stale=True),))
    cache = stage.cache.cache

    def refreshes() -> bool:
        together = threading.Barrier(REFRESHERS + 1)
        keys = [f"k{n}" for n in range(REFRESHERS)]
        cache.set_many("news", dict.fromkeys(keys, "old"))
        stage.clock.tick(10.1)
        assert [cache.get_or_compute("news", key, lambda: together.wait(3)) for key in keys] == ["old"] * REFRESHERS
        together.wait(3)
        return True

    assert refreshes()
    assert in_child(lambda: refreshes() and cache.close() is None)
    cache.close()
