"""What an awaiting store has for each event loop: made at its first use there, closed with the loop, left in a fork."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeVar

import redis

CLOSING = 0.2
"""Share of the time for leaving that is kept for closing the connections."""


class Home(Protocol):
    """What belongs to one event loop."""

    async def drain(self) -> None:
        """Wait for the calls under way."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


H = TypeVar("H", bound=Home)

Keeper = AsyncGenerator[None]
"""Lives as long as its loop: ``shutdown_asyncgens`` ends it, and it closes the connections."""


class Homes(dict[asyncio.AbstractEventLoop, H]):
    """Each event loop's own.

    Args:
        build: makes one, in its loop.
    """

    def __init__(self, build: Callable[[], H]) -> None:
        super().__init__()
        self._build = build
        self._keepers: dict[asyncio.AbstractEventLoop, Keeper] = {}
        self._inherited: list[object] = []
        self._lock = threading.Lock()

    def begin_anew(self) -> None:
        """In a forked child: the parent's threads may have held the lock; its connections are kept, but not used."""
        self._lock = threading.Lock()
        # closing them here would take them out of the parent's selector, which the child shares
        self._inherited.append((dict(self), self._keepers))
        self._keepers = {}
        self.clear()

    def here(self) -> H:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        home = self.get(loop)
        if home is None:
            with self._lock:
                for ended in [known for known in list(self) if known.is_closed()]:
                    self.pop(ended, None)
                    self._keepers.pop(ended, None)
                home = self._build()
                self._keepers[loop] = _begun(_keep(home))
                self[loop] = home
        return home

    async def leave(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the running loop's calls, then close its connections."""
        loop = asyncio.get_running_loop()
        home, keeper = self.pop(loop, None), self._keepers.pop(loop, None)
        if home is None or keeper is None:
            return
        end = loop.time() + seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end - seconds * CLOSING):
                await home.drain()
        with contextlib.suppress(TimeoutError, redis.RedisError, OSError):
            async with asyncio.timeout_at(end):
                await keeper.aclose()


async def _keep(home: Home) -> Keeper:
    try:
        yield
    finally:
        await home.close()


def _begun(keeper: Keeper) -> Keeper:
    """Run to the first yield without awaiting: the loop gets to know it."""
    with contextlib.suppress(StopIteration):
        keeper.__anext__().send(None)
    return keeper
