"""Stores that fail on command; everything else goes to the real store that they stand before."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cache.core.steps import Batch, Call, StoreStep
from cache.errors import StoreError
from cache.stores.contract import AsyncStore, Store
from cache.testing.clock import ManualClock
from telemetry.vocabulary import BreakerState, ErrorType


def command_of(step: StoreStep) -> str:
    """What a step is called: its command, the first command of a batch, or its script's name."""
    if isinstance(step, Call):
        return str(step.args[0]).upper()
    if isinstance(step, Batch):
        return str(step.commands[0][0]).upper()
    return step.script.name


class _Faults:
    """What goes wrong next, and what was asked.

    Attributes:
        steps: every step so far, also those that failed.
    """

    def __init__(self) -> None:
        self.steps: list[StoreStep] = []
        self._error: StoreError | None = None
        self._times: int | None = None
        self._only: frozenset[str] = frozenset()
        self._clock: ManualClock | None = None

    @property
    def asked(self) -> list[str]:
        """Command of every step so far."""
        return [command_of(step) for step in self.steps]

    def fail_with(
        self, kind: ErrorType = ErrorType.REFUSED, times: int | None = None, *, only: Collection[str] = ()
    ) -> None:
        """Let steps fail.

        Args:
            kind: with what.
            times: how many of them, >= 1; None: until ``recover``.
            only: commands or names of scripts that fail; empty: all.
        """
        self._error, self._times, self._only, self._clock = StoreError(kind, "on command"), times, frozenset(only), None

    def hang(self, clock: ManualClock | None = None, *, only: Collection[str] = ()) -> None:
        """Let steps end in silence at their deadline, which ``clock`` is moved to: no real time passes."""
        self.fail_with(ErrorType.TIMEOUT, only=only)
        self._error, self._clock = StoreError(ErrorType.TIMEOUT, "on command", silent=True), clock

    def recover(self) -> None:
        """Let every step through again."""
        self._error = self._times = None

    def _meet(self, step: StoreStep) -> None:
        self.steps.append(step)
        if self._error is None or (self._only and command_of(step) not in self._only):
            return
        trouble = self._error
        if self._times is not None:
            self._times -= 1
            if self._times <= 0:
                self.recover()
        if self._clock is not None:
            self._clock.tick(max(0.0, step.deadline.remaining()))
        raise StoreError(trouble.kind, "on command", silent=trouble.silent)


class FailingStore(_Faults):
    """A ``Store`` before another.

    Args:
        store: does the work when nothing is to fail.
    """

    straight = None

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.inner = store

    def execute(self, step: StoreStep) -> Any:
        """Fail, or let the store do it."""
        self._meet(step)
        return self.inner.execute(step)

    def identity(self) -> bytes:
        return self.inner.identity()

    def breaker_state(self) -> BreakerState:
        return self.inner.breaker_state()

    def close(self, seconds: float = 1.0) -> None:
        self.inner.close(seconds)


class AsyncFailingStore(_Faults):
    """An ``AsyncStore`` before another.

    Args:
        store: does the work when nothing is to fail.
    """

    straight = None

    def __init__(self, store: AsyncStore) -> None:
        super().__init__()
        self.inner = store

    async def execute(self, step: StoreStep) -> Any:
        """Fail, or let the store do it."""
        self._meet(step)
        return await self.inner.execute(step)

    def identity(self) -> bytes:
        return self.inner.identity()

    def breaker_state(self) -> BreakerState:
        return self.inner.breaker_state()

    async def aclose(self, seconds: float = 1.0) -> None:
        await self.inner.aclose(seconds)
