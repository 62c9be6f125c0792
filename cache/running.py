"""The two runners: they carry out the steps that an operation yields, one by blocking, one by awaiting.

Nothing is decided here. A computation's StopIteration is carried through in disguise, because
a generator may not raise one.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from cache.core.engine import Operation
from cache.core.steps import STORE_STEPS, Background, Compute, Pause, Step, Wait
from cache.stores.contract import AsyncStore, Store

T = TypeVar("T")

REFRESHERS = 2
"""Threads that refresh in the background; one more checks hits."""

MAX_BACKGROUND = 64
"""Operations in the background at a time; beyond it a refresh is left to a later hit."""

_log = logging.getLogger("glasscache")


class _Disguised(Exception):
    """A StopIteration of the caller's computation on its way through a generator; spans call it what it is."""

    __module__, __qualname__ = StopIteration.__module__, StopIteration.__qualname__

    def __init__(self, error: StopIteration) -> None:
        super().__init__()
        self.error = error


class Runner:
    """Runs operations in the calling thread.

    Args:
        store: carries out the steps that go to Redis.
        sleep: how to let time pass; takes seconds.
    """

    def __init__(self, store: Store, sleep: Callable[[float], None] = time.sleep) -> None:
        self.store = store
        self._acts: dict[type, Callable[[Any], Any]] = {
            Compute: lambda step: step.call(),
            Wait: self._wait,
            Pause: lambda step: sleep(step.seconds),
            Background: lambda step: self.background(step.operation),
        }
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: the threads that refresh are the parent's."""
        self._pool: ThreadPoolExecutor | None = None
        self._running: set[Future[Any]] = set()
        self._lock = threading.Lock()

    def run(self, operation: Operation[T]) -> T:
        """Carry an operation through; its result, or the error it raised."""
        answer: Any = None
        acts = self._acts
        try:
            step = next(operation)
            while True:
                try:
                    # most steps go to the store; a call in between would cost each of them
                    act = acts.get(type(step))
                    answer = self.store.execute(step) if act is None else act(step)  # type: ignore[arg-type]
                except StopIteration as error:
                    step = operation.throw(_Disguised(error))
                except BaseException as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except _Disguised as disguised:
            raise disguised.error from None

    def _wait(self, step: Wait) -> bool:
        landed = threading.Event()
        step.flight.on_end(landed.set)
        return landed.wait(step.seconds)

    def background(self, operation: Callable[[], Operation[Any]]) -> bool:
        """Carry an operation through beside everything else; False when it will not be done."""
        with self._lock:
            if len(self._running) >= MAX_BACKGROUND:
                return False
            if self._pool is None:
                self._pool = ThreadPoolExecutor(REFRESHERS + 1, thread_name_prefix="glasscache-refresh")
            try:
                future = self._pool.submit(self._in_background, operation)
            except RuntimeError:
                # the process is ending, or has no thread left: the caller has its answer all the same
                return False
            self._running.add(future)
        future.add_done_callback(self._running.discard)
        return True

    def _in_background(self, operation: Callable[[], Operation[Any]]) -> None:
        try:
            self.run(operation())
        except Exception:
            _log.warning("a background refresh failed", exc_info=True)

    def close(self, seconds: float) -> None:
        """Let the background finish within ``seconds``, then give the connections back."""
        with self._lock:
            pool, self._pool = self._pool, None
            running = set(self._running)
        if pool is not None:
            wait(running, timeout=seconds)
            pool.shutdown(wait=False, cancel_futures=True)
        self.store.close(seconds)


class AsyncRunner:
    """Runs operations in the calling task.

    Args:
        store: carries out the steps that go to Redis.
    """

    def __init__(self, store: AsyncStore) -> None:
        self.store = store
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: the tasks in the background are the parent's."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, operation: Operation[T]) -> T:
        """Carry an operation through; its result, or the error it raised."""
        answer: Any = None
        try:
            step = next(operation)
            while True:
                try:
                    # most steps go to the store; a coroutine in between would cost each of them
                    asks = type(step) in STORE_STEPS
                    answer = await (self.store.execute(step) if asks else self._carry_out(step))  # type: ignore[arg-type]
                except BaseException as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _carry_out(self, step: Step) -> Any:
        if isinstance(step, Compute):
            result = step.call()
            return await result if inspect.isawaitable(result) else result
        if isinstance(step, Wait):
            return await _landing(step)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Background):
            return self.background(step.operation)
        return await self.store.execute(step)

    def background(self, operation: Callable[[], Operation[Any]]) -> bool:
        """Carry an operation through beside everything else; False when it will not be done."""
        if len(self._tasks) >= MAX_BACKGROUND:
            return False
        task = asyncio.get_running_loop().create_task(self._in_background(operation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _in_background(self, operation: Callable[[], Operation[Any]]) -> None:
        try:
            await self.run(operation())
        except Exception:
            _log.warning("a background refresh failed", exc_info=True)

    async def aclose(self, seconds: float) -> None:
        """Let the background finish within ``seconds``, then give the connections back."""
        mine = {task for task in self._tasks if task.get_loop() is asyncio.get_running_loop()}
        if mine:
            _, late = await asyncio.wait(mine, timeout=seconds)
            for task in late:
                task.cancel()
        await self.store.aclose(seconds)


async def _landing(step: Wait) -> bool:
    """Wait for another caller's flight, which may end in another thread or loop."""
    loop = asyncio.get_running_loop()
    landed: asyncio.Future[bool] = loop.create_future()

    def told(answer: bool) -> None:
        if not landed.done():
            landed.set_result(answer)

    def tell() -> None:
        # the leader is mostly a task of this very loop, which many wait in: none of them needs a system call
        if asyncio._get_running_loop() is loop:
            told(True)
            return
        # a loop that has ended meanwhile is not the leader's trouble
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(told, True)

    late = loop.call_later(step.seconds, told, False)
    step.flight.on_end(tell)
    try:
        return await landed
    finally:
        late.cancel()
