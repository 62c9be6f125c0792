"""A store that fails on command, around a real one."""

from __future__ import annotations

from typing import Any

from cache.core.steps import StoreStep
from cache.errors import StoreError
from cache.stores.contract import AsyncStore, Store
from telemetry.vocabulary import BreakerState, ErrorType


class _Failing:
    """What both twins share: how often to fail, and with what."""

    def __init__(self) -> None:
        self._kind: ErrorType | None = None
        self._left = 0
        self.steps: list[StoreStep] = []

    def fail(self, kind: ErrorType = ErrorType.REFUSED, times: int = 1 << 30) -> None:
        """Fail the next ``times`` steps."""
        self._kind, self._left = kind, times

    def recover(self) -> None:
        """Work again."""
        self._kind, self._left = None, 0

    def _check(self, step: StoreStep) -> None:
        self.steps.append(step)
        if self._kind is not None and self._left > 0:
            self._left -= 1
            raise StoreError(self._kind, "on command")


class FailingStore(_Failing):
    """Implements ``Store``; counts the steps it was given.

    Args:
        store: does the work while nothing fails.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.inner = store

    def execute(self, step: StoreStep) -> Any:
        """Fail if told to, else hand on."""
        self._check(step)
        return self.inner.execute(step)

    def identity(self) -> bytes:
        """The real store's."""
        return self.inner.identity()

    def breaker_state(self) -> BreakerState:
        """The real store's."""
        return self.inner.breaker_state()

    def close(self, seconds: float = 1.0) -> None:
        """Close the real store."""
        self.inner.close(seconds)


class AsyncFailingStore(_Failing):
    """Implements ``AsyncStore``; the twin of ``FailingStore``."""

    def __init__(self, store: AsyncStore) -> None:
        super().__init__()
        self.inner = store

    async def execute(self, step: StoreStep) -> Any:
        """Fail if told to, else hand on."""
        self._check(step)
        return await self.inner.execute(step)

    def identity(self) -> bytes:
        """The real store's."""
        return self.inner.identity()

    def breaker_state(self) -> BreakerState:
        """The real store's."""
        return self.inner.breaker_state()

    async def aclose(self, seconds: float = 1.0) -> None:
        """Close the real store."""
        await self.inner.aclose(seconds)
