"""One server of a cluster, for one event loop: its shared connections, its breaker, what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from cache.clock import Deadline
from cache.stores.async_packing import Packer
from cache.stores.cluster.member import Member
from cache.stores.cluster.requests import commands_of, finish, learn
from cache.stores.cluster.words import Ask
from cache.stores.exchange import Exchange
from cache.stores.lanes import Lanes
from cache.stores.packing import Packed
from telemetry.commands import CommandSpan


class AsyncNode:
    """Sends to one server.

    Args:
        member: what is known of it.
        lanes: the connections to it.
        packer: makes bytes of commands.
    """

    def __init__(self, member: Member, lanes: Lanes, packer: Packer) -> None:
        self.member, self.lanes, self.packer = member, lanes, packer
        self.guard, self.known, self.spans = member.guard, member.known, member.spans

    def begin(self, asks: Sequence[Ask], deadline: Deadline) -> AsyncSending:
        """Send commands in one go; nothing is raised, the sending knows what became of it."""
        return AsyncSending(self, asks, deadline)


class AsyncSending:
    """Commands that were sent to one server, or wait for a connection to it, and then for their replies."""

    def __init__(self, node: AsyncNode, asks: Sequence[Ask], deadline: Deadline) -> None:
        self._node, self._asks = node, asks
        self._call: Exchange | None = None
        self._span: CommandSpan | None = None
        self._commands: list[tuple[Any, ...]] = []
        self._own: list[int] = []
        self._answer: asyncio.Future[Any] | None = None
        self._trouble: Exception | None = None
        self._over = False
        try:
            self._call = node.guard.admit(deadline)
            self._send(self._call)
        except Exception as error:
            self._failed(error)

    def _send(self, call: Exchange) -> None:
        node = self._node
        self._commands, self._own = commands_of(self._asks, node.known)
        self._span = node.spans.start(self._commands, pipeline=len(self._commands) > 1)
        data = node.packer.pack_all(self._commands)
        lane = node.lanes.ready(data, call)
        if lane is not None:
            self._answer = lane.submit(call, data, len(self._commands))
        else:
            self._answer = asyncio.get_running_loop().create_task(self._connect(call, data))

    async def _connect(self, call: Exchange, data: Packed) -> Any:
        lane = await self._node.lanes.connected(call)
        return await lane.submit(call, data, len(self._commands))

    async def finish(self) -> list[Any]:
        """The reply to each command, troubles as exceptions; awaited once."""
        if self._answer is not None and self._call is not None:
            call = self._call
            try:
                replies = await self._answer
                if isinstance(replies, Exception):
                    raise replies
            except Exception as error:
                self._failed(error)
            except BaseException as error:
                self.abandon(error)
                raise
            else:
                return self._answered(call, replies)
        return [self._trouble] * len(self._asks)

    def _answered(self, call: Exchange, replies: list[Any]) -> list[Any]:
        self._over = True
        if self._span is not None:
            finish(self._span, replies)
        told = [replies[i] for i in self._own]
        learn(self._asks, [self._commands[i] for i in self._own], told, self._node.known)
        self._node.guard.answered(call)
        return told

    def _failed(self, error: Exception) -> None:
        """Keep what went wrong."""
        self._trouble, self._over, self._answer = error, True, None
        if self._span is not None:
            self._span.finish(error)
        if self._call is not None:
            self._trouble = self._node.guard.failed(self._call, error)

    def abandon(self, error: BaseException) -> None:
        """The caller was cancelled; nothing to do for what is over already."""
        if self._over:
            return
        self._over = True
        if self._answer is not None and not self._answer.cancel() and not self._answer.cancelled():
            # nobody waits for it any more: its error is to make no noise
            self._answer.exception()
        if self._span is not None:
            self._span.finish(error)
        if self._call is not None:
            self._node.guard.abandoned(self._call)
