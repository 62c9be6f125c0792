"""What carries an event loop's steps to the server and their replies back; the store decides around it."""

from __future__ import annotations

from typing import Any, Protocol

from cache.core.steps import StoreStep
from cache.stores.exchange import Exchange


class AsyncPath(Protocol):
    """A way to the server that awaits; of one event loop."""

    async def carry_out(self, step: StoreStep, call: Exchange) -> Any:
        """Send the step within its deadline, once more where that is harmless; the raw reply.

        Raises:
            StoreError, redis.RedisError, OSError: it failed; ``call`` tells how far it came.
        """
        ...

    async def let_go(self) -> None:
        """Use new connections from now on."""
        ...

    async def drain(self) -> None:
        """Wait for the calls under way."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
