"""The runners at the edges of a process's and a loop's life."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

from cache.core.flights import Flight, FlightState
from cache.core.steps import Wait
from cache.running import AsyncRunner

AT_EXIT = """
import atexit, sys
from cache import Cache, Policy
from cache.testing.clock import ManualClock
clock = ManualClock()
policy = Policy(name="news", ttl_s=10, serve_stale=True)
cache = Cache.from_url(sys.argv[1], policies=[policy], clock=clock)
cache.set("news", "k", "old")
clock.tick(11)
# threads can be started no more when this runs
atexit.register(lambda: print(cache.get_or_compute("news", "k", lambda: "new")))
"""


def test_a_refresh_at_the_processs_end_harms_no_caller(glasscache_url: str) -> None:
    """An exit handler gets the stale value although nothing can be refreshed in the background any more."""
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, glasscache_url], capture_output=True, text=True, timeout=30, check=True
    )
    assert (done.stdout, done.stderr) == ("old\n", "")


class _Ending(asyncio.SelectorEventLoop):
    """A loop that may end between a question whether it has and a call into it."""

    ended = False

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:
        if self.ended:
            raise RuntimeError("Event loop is closed")
        return super().call_soon_threadsafe(*args, **kwargs)


def test_a_followers_loop_that_ended_is_not_the_leaders_trouble() -> None:
    """The leader lands though the loop of one who waited is gone, and tells the others."""
    flight, told = Flight(), threading.Event()

    async def follow() -> None:
        runner = AsyncRunner(None)  # type: ignore[arg-type]
        task = asyncio.ensure_future(runner._carry_out(Wait(flight, 30)))
        await asyncio.sleep(0)
        task.cancel()

    loop = _Ending()
    loop.run_until_complete(follow())
    flight.on_end(told.set)
    loop.ended = True
    flight.end(FlightState.LANDED, result=1)
    loop.close()
    assert told.is_set()
