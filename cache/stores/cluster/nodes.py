"""Several servers for those who block: all are sent to before any is listened to."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cache.clock import Deadline
from cache.stores.cluster.member import Member
from cache.stores.cluster.node import Node, Sending
from cache.stores.cluster.requests import until
from cache.stores.cluster.topology import Place
from cache.stores.cluster.words import Ask
from cache.stores.connection import new_client
from cache.stores.options import StoreOptions
from cache.stores.rack import Rack

Waiting = list[tuple[Sending, list[int]]]


class Nodes:
    """The servers that were asked until now; safe for threads.

    Args:
        member: what is known of the server at a place.
        options: limits of each.
    """

    def __init__(self, member: Callable[[Place], Member], options: StoreOptions) -> None:
        self._member, self._options = member, options
        self._nodes: dict[Place, Node] = {}
        self._lock = threading.Lock()

    def ask(self, asks: Sequence[Ask], deadline: Deadline) -> list[Any]:
        """Send all, then hear all; the replies in order, troubles as exceptions."""
        places: dict[Place, list[int]] = {}
        for i, ask in enumerate(asks):
            places.setdefault(ask.spot.place, []).append(i)
        sendings: Waiting = []
        replies: list[Any] = [None] * len(asks)
        try:
            for place, mine in places.items():
                its = [asks[i] for i in mine]
                sendings.append((self._node(place).begin(its, until(its, deadline)), mine))
            for sending, mine in _as_they_answer(sendings):
                for i, reply in zip(mine, sending.finish(), strict=True):
                    replies[i] = reply
        except BaseException as error:
            for sending, _ in sendings:
                sending.abandon(error)
            raise
        return replies

    def _node(self, place: Place) -> Node:
        node = self._nodes.get(place)
        if node is None:
            with self._lock:
                node = self._nodes.get(place)
                if node is None:
                    node = self._nodes[place] = self._new_node(place)
        return node

    def _new_node(self, place: Place) -> Node:
        member = self._member(place)
        client = new_client(member.url, self._options, member.greeting, decode=False)
        rack = Rack(client.connection_pool, self._options.max_connections, self._options.max_reply_bytes)
        return Node(member, rack)

    def retire(self, places: Sequence[Place]) -> None:
        """Let servers go that nobody new comes to."""
        for place in places:
            node = self._nodes.pop(place, None)
            if node is not None:
                node.retire()

    def close(self, deadline: Deadline) -> None:
        """Wait for the calls under way until ``deadline``, then close every connection."""
        for node in list(self._nodes.values()):
            node.rack.close(deadline)


def _as_they_answer(sendings: Waiting) -> Iterator[tuple[Sending, list[int]]]:
    """Those that are not on their way first, then each whose reply has begun, and at the end those that are late."""
    waiting: dict[int, tuple[Sending, list[int]]] = {}
    for pair in sendings:
        if pair[0].held is None:
            yield pair
        else:
            waiting[pair[0].held.fileno()] = pair
    if len(waiting) < 2:
        yield from waiting.values()
        return
    poller = select.poll()
    for number, (sending, _) in waiting.items():
        if sending.held is not None and sending.held.has_news():
            poller.register(number, select.POLLOUT)
        else:
            poller.register(number, select.POLLIN)
    while waiting:
        left = max(0.0, min(sending.left() for sending, _ in waiting.values()))
        ready = [number for number, _ in poller.poll(1000 * left)]
        for number in ready or list(waiting):
            poller.unregister(number)
            yield waiting.pop(number)
