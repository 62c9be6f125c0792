"""What a store must do: carry out one step within its deadline, or raise ``StoreError``."""

from __future__ import annotations

from typing import Any, Protocol

from cache.core.sent import AsyncLine, Line
from cache.core.steps import StoreStep
from telemetry.vocabulary import BreakerState


class Store(Protocol):
    """A connection to Redis or Valkey that blocks."""

    @property
    def straight(self) -> Line | None:
        """What asks without a step; None where every step takes the ordinary way."""
        ...

    def execute(self, step: StoreStep) -> Any:
        """Carry out one step.

        Returns:
            The raw reply: bytes, int, list or None; a ``Batch`` answers with a list in which
            a command's own failure stands as a ``StoreError`` instance.

        Raises:
            StoreError: the store did not answer properly within ``step.deadline``, whatever the cause.
        """
        ...

    def identity(self) -> bytes:
        """Eight bytes that name the running server (a hash of its run id); empty when it may not be asked."""
        ...

    def breaker_state(self) -> BreakerState:
        """State of the store's circuit breaker."""
        ...

    def close(self, seconds: float = 1.0) -> None:
        """Give every connection back within ``seconds``."""
        ...


class AsyncStore(Protocol):
    """The same without blocking: every step is awaited."""

    @property
    def straight(self) -> AsyncLine | None: ...

    async def execute(self, step: StoreStep) -> Any: ...

    def identity(self) -> bytes: ...

    def breaker_state(self) -> BreakerState: ...

    async def aclose(self, seconds: float = 1.0) -> None: ...
