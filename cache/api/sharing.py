"""One call for all who ask at the same time, so that many questions cost no more threads than one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """A call that blocks, made in a thread and never twice at a time; for one event loop.

    Whoever asks while it is under way shares the next one with all others who do: no answer is older than its question.

    Args:
        call: gives the answer.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def ask(self) -> T:
        """The answer of a call that began after this question."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._turn(self._running))
        # one who leaves takes the answer from nobody else
        return await asyncio.shield(self._next)

    async def _turn(self, before: asyncio.Task[T] | None) -> T:
        if before is not None and not before.done():
            await asyncio.wait((before,))
        self._running, self._next = self._next, None
        return await asyncio.to_thread(self._call)
