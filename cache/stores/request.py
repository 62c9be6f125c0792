"""One caller's place in the line of a connection that many share."""

from __future__ import annotations

import asyncio
from typing import Any

import redis

from cache.stores.exchange import Exchange
from cache.stores.packing import Packed


class Request:
    """Commands that were asked for together.

    Args:
        answer: gets the reply, the list of replies, or an error as its result: one that nobody takes makes no noise.
        call: whose they are.
        until: when the caller gives up, in the loop's time.
        data: the packed commands.
        count: how many they are, >= 1, when they are a pipeline; None for a single command.
        before: how often the connection had been heard when they were asked for.
    """

    __slots__ = ("answer", "before", "call", "count", "data", "replies", "until")

    def __init__(
        self, answer: asyncio.Future[Any], call: Exchange, until: float, data: Packed, count: int | None, before: int
    ) -> None:
        self.answer, self.call, self.until = answer, call, until
        self.data, self.count, self.before = data, count, before
        self.replies: list[Any] | None = None

    def replied(self, reply: Any) -> bool:
        """Take one reply, thrown away when the caller has gone; True when it was the last."""
        answer = self.answer
        if self.count is None:
            if not answer.done():
                answer.set_result(reply)
            return True
        if self.replies is None:
            self.replies = []
        self.replies.append(reply)
        last = len(self.replies) == self.count
        if not answer.done():
            if isinstance(reply, redis.ConnectionError):
                # as redis-py: trouble of the server (loading, no authentication) is the whole pipeline's
                answer.set_result(reply)
            elif last:
                answer.set_result(self.replies)
        return last

    def fail(self, error: Exception, heard: int, *, bystander: bool = False) -> None:
        """End it.

        Args:
            heard: how often the connection has been heard until now.
            bystander: the trouble was another's.
        """
        if heard != self.before:
            self.call.heard = True
        self.call.bystander = bystander
        self.answer.set_result(error)
