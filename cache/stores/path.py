"""What carries a step to the server and its reply back; the store decides around it."""

from __future__ import annotations

from typing import Any, Protocol

from cache.clock import Deadline
from cache.core.steps import StoreStep
from cache.stores.exchange import Exchange


class Path(Protocol):
    """A way to the server that blocks; safe for threads."""

    def carry_out(self, step: StoreStep, call: Exchange) -> Any:
        """Wait for a connection, send the step, once more where that is harmless; the raw reply.

        Raises:
            StoreError, redis.RedisError, OSError, ValueError: it failed; ``call`` tells how far it came.
        """
        ...

    def let_idle_go(self) -> None:
        """Close the connections that nobody uses."""
        ...

    def close(self, deadline: Deadline) -> None:
        """Wait for the calls under way until ``deadline``, then close every connection."""
        ...
