"""One call on its way: its deadline, and what its connection saw meanwhile."""

from __future__ import annotations

from contextvars import ContextVar

from cache.clock import Deadline
from cache.core.breaker import Permit


class Exchange:
    """A call under way.

    Args:
        deadline: of the whole operation.
        permit: what the breaker said.
        ceiling_s: longest wait, in seconds.
        began: seconds that are left of the deadline.

    Attributes:
        began: seconds that were left when it got its connection.
        sent: a byte of it may have reached the server.
        heard: a byte came from the server.
    """

    __slots__ = ("_end", "began", "deadline", "heard", "permit", "sent")

    def __init__(self, deadline: Deadline, permit: Permit, ceiling_s: float, began: float) -> None:
        self.deadline, self.permit, self.began = deadline, permit, began
        self._end = began - ceiling_s if began > ceiling_s else 0.0
        self.sent = self.heard = False

    def left(self) -> float:
        """Seconds left, zero or negative once they are over."""
        return self.deadline.remaining() - self._end

    def used(self) -> float:
        """Seconds since it got its connection."""
        return self.began - self.deadline.remaining()

    def socket_timeout(self) -> float:
        """Seconds that a socket may wait.

        Raises:
            TimeoutError: none are left.
        """
        left = self.left()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


CURRENT: ContextVar[Exchange | None] = ContextVar("glasscache_exchange", default=None)
"""The call that this thread or task is making; None for the application's own calls on the public client."""
