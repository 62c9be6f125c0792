"""One attempt to connect that many callers wait for, each within its own deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, TypeVar

from cache.core.breaker import Permit
from cache.stores.exchange import CURRENT, Exchange

T = TypeVar("T")


class Attempt(Generic[T]):
    """Runs in a task of its own, and ends when nobody waits for it any longer.

    Args:
        connect: makes the connection.
        first: the caller that needed it.
        ceiling_s: longest wait, in seconds.

    Attributes:
        waiting: how many callers do.
        given_up: it is ending without a connection.
    """

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, T]], first: Exchange, ceiling_s: float) -> None:
        self._connect, self._ceiling_s = connect, ceiling_s
        self._marks = Exchange(first.deadline, Permit.FREE, ceiling_s, ceiling_s)
        self._told = self.given_up = False
        self.waiting = 0
        # in no caller's context: nothing of the first one's trace or request lives on in the connection
        self.task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        self.task.add_done_callback(_seen)

    async def _run(self) -> T:
        CURRENT.set(self._marks)
        async with asyncio.timeout(self._ceiling_s):
            return await self._connect()

    async def result(self, call: Exchange) -> T:
        """Wait for the connection.

        Raises:
            TimeoutError: the caller's deadline came first.
            Exception: as ``connect``; all callers but one are then bystanders of the same trouble.
        """
        self.waiting += 1
        try:
            done, _ = await asyncio.wait({self.task}, timeout=max(0.0, call.left()))
        finally:
            self.waiting -= 1
            call.heard |= self._marks.heard
            if not self.waiting:
                self.give_up()
        if not done:
            raise TimeoutError("the connection was not made in time")
        if self.task.cancelled():
            call.bystander = True
            raise ConnectionAbortedError("the store is being closed")
        if self.task.exception() is not None:
            call.bystander, self._told = self._told, True
        return self.task.result()

    def give_up(self) -> None:
        """End it unless it has ended; nobody may begin to wait for it then."""
        if not self.task.done():
            self.given_up = True
            self.task.cancel()


def _seen(task: asyncio.Task[Any]) -> None:
    """Take the error of an attempt that nobody waits for."""
    if not task.cancelled():
        task.exception()
