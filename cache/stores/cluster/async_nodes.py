"""Several servers for an event loop: all are sent to before any is listened to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cache.clock import Deadline
from cache.stores.async_connection import new_client
from cache.stores.async_packing import Packer
from cache.stores.async_redis_store import WAITERS
from cache.stores.cluster.async_node import AsyncNode, AsyncSending
from cache.stores.cluster.member import Member
from cache.stores.cluster.requests import until
from cache.stores.cluster.topology import Place
from cache.stores.cluster.words import Ask
from cache.stores.lanes import Lanes
from cache.stores.options import StoreOptions


class AsyncNodes:
    """The servers that were asked until now in one event loop.

    Args:
        member: what is known of the server at a place.
        options: limits of each.
    """

    def __init__(self, member: Callable[[Place], Member], options: StoreOptions) -> None:
        self._member, self._options = member, options
        self._nodes: dict[Place, AsyncNode] = {}
        self._packer = Packer()

    async def ask(self, asks: Sequence[Ask], deadline: Deadline) -> list[Any]:
        """Send all, then hear all; the replies in order, troubles as exceptions."""
        places: dict[Place, list[int]] = {}
        for i, ask in enumerate(asks):
            places.setdefault(ask.spot.place, []).append(i)
        replies: list[Any] = [None] * len(asks)
        sendings: list[tuple[AsyncSending, list[int]]] = []
        for place, mine in places.items():
            its = [asks[i] for i in mine]
            sendings.append((self._node(place).begin(its, until(its, deadline)), mine))
        try:
            for sending, mine in sendings:
                for i, reply in zip(mine, await sending.finish(), strict=True):
                    replies[i] = reply
        except BaseException as error:
            for sending, _ in sendings:
                sending.abandon(error)
            raise
        return replies

    def _node(self, place: Place) -> AsyncNode:
        node, member = self._nodes.get(place), self._member(place)
        if node is not None and node.member is not member:
            # another loop found that it had gone, and it has come back
            node.lanes.retire()
            node = None
        if node is None:
            options = self._options
            client = new_client(member.url, options, member.greeting, decode=False, timeout_s=None)
            lanes = Lanes(client.connection_pool, options, options.max_connections * (1 + WAITERS))
            node = self._nodes[place] = AsyncNode(member, lanes, self._packer)
        return node

    def retire(self, places: Sequence[Place]) -> None:
        """Let servers go that nobody new comes to."""
        for place in places:
            node = self._nodes.pop(place, None)
            if node is not None:
                node.lanes.retire()

    async def drain(self) -> None:
        """Wait for the calls under way."""
        for node in list(self._nodes.values()):
            await node.lanes.drain()

    async def close(self) -> None:
        """Close every connection."""
        for node in list(self._nodes.values()):
            await node.lanes.close()
