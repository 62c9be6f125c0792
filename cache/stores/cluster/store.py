"""The store over a cluster that blocks: all servers of a step are sent to before any is listened to."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from typing import Any

from cache.clock import Clock, Deadline
from cache.core.steps import StoreStep
from cache.errors import StoreError
from cache.stores.cluster.membership import Membership
from cache.stores.cluster.node import Node, Sending
from cache.stores.cluster.routing import LookAgain, Request, operate
from cache.stores.cluster.topology import Place, Topology
from cache.stores.cluster.words import Ask
from cache.stores.connection import new_client
from cache.stores.errors import store_error
from cache.stores.forking import in_forked_child
from cache.stores.options import StoreOptions
from cache.stores.rack import Rack
from telemetry.vocabulary import BreakerState, ErrorType


class ClusterStore:
    """Carries out steps on a cluster of Redis or Valkey; safe for threads, begins anew in a forked child.

    Args:
        members: what is known of the cluster; nobody else's.
        options: limits; ``max_connections`` holds for each server.
        clock: of the time that ``close`` may take.
    """

    def __init__(self, members: Membership, options: StoreOptions, clock: Clock) -> None:
        self._members, self._options, self._clock = members, options, clock
        self._closed = False
        self._begin()
        in_forked_child(self._begin_anew)

    def _begin(self) -> None:
        self._nodes: dict[Place, Node] = {}
        self._lock, self._looking = threading.Lock(), threading.Lock()

    def _begin_anew(self) -> None:
        self._members.begin_anew()
        self._begin()

    @property
    def straight(self) -> None:
        """What a look needs is asked of several servers: every step takes the ordinary way."""
        return

    def identity(self) -> bytes:
        """Eight bytes that name all primaries of the last reply in this thread together."""
        return self._members.identity()

    def breaker_state(self) -> BreakerState:
        """The worst state of all servers' breakers."""
        return self._members.state

    def execute(self, step: StoreStep) -> Any:
        """Carry out one step within its deadline.

        Raises:
            StoreError: it could not be.
        """
        if self._closed:
            raise StoreError(ErrorType.REFUSED, "the store is closed", sent_nothing=True)
        deadline = step.deadline
        try:
            topology = self._current(deadline)
            work = operate(step, topology, self._members)
            reply, topology = self._run(work, topology, deadline)
            self._members.answered(topology)
        except Exception as error:
            raise store_error(error) from None
        return reply

    def _run(self, work: Any, topology: Topology, deadline: Deadline) -> tuple[Any, Topology]:
        try:
            request: Request = next(work)
            while True:
                if isinstance(request, LookAgain):
                    topology = self._look(deadline)
                    answer: Any = topology
                else:
                    answer = self._scatter(request, topology, deadline)
                request = work.send(answer)
        except StopIteration as end:
            found: tuple[Any, Topology] = end.value
            return found

    def _current(self, deadline: Deadline) -> Topology:
        """The map to begin with; looked at when there is none, and by one caller at a time when something is wrong."""
        members = self._members
        topology = members.topology
        if topology is None:
            return self._look(deadline)
        if members.is_time_to_look() and self._looking.acquire(blocking=False):
            try:
                return self._ask_around(deadline)
            except StoreError:
                return topology
            finally:
                self._looking.release()
        return topology

    def _look(self, deadline: Deadline) -> Topology:
        """Look at the map, or wait for another caller's look."""
        before = self._members.topology
        if not self._looking.acquire(timeout=max(0.0, deadline.remaining())):
            raise StoreError(ErrorType.TIMEOUT, "the map of the cluster was not found in time", sent_nothing=True)
        try:
            now = self._members.topology
            if now is not None and now is not before:
                return now
            return self._ask_around(deadline)
        finally:
            self._looking.release()

    def _ask_around(self, deadline: Deadline) -> Topology:
        discovery = self._members.look()
        try:
            asks = next(discovery)
            while True:
                asks = discovery.send(self._scatter(asks, None, deadline))
        except StopIteration as end:
            topology: Topology = end.value
        except StoreError:
            self._members.failed_to_look()
            raise
        for place in self._members.looked(topology):
            node = self._nodes.pop(place, None)
            if node is not None:
                node.retire()
        return topology

    def _scatter(self, asks: list[Ask], topology: Topology | None, deadline: Deadline) -> list[Any]:
        """Send all, then hear all; the replies in order, troubles as exceptions."""
        places: dict[Place, list[int]] = {}
        for i, ask in enumerate(asks):
            places.setdefault(ask.spot.place, []).append(i)
        sendings: list[tuple[Sending, list[int]]] = []
        replies: list[Any] = [None] * len(asks)
        try:
            for place, mine in places.items():
                sendings.append((self._node(place).begin([asks[i] for i in mine], deadline), mine))
            for sending, mine in _as_they_answer(sendings):
                for i, reply in zip(mine, sending.finish(), strict=True):
                    replies[i] = self._members.heard(asks[i], reply, topology)
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
        member = self._members.member(place)
        client = new_client(member.url, self._options, member.greeting, decode=False)
        rack = Rack(client.connection_pool, self._options.max_connections, self._options.max_reply_bytes)
        return Node(member, rack)

    def close(self, seconds: float = 1.0) -> None:
        """Wait at most ``seconds`` for calls under way, then close every connection; later calls are refused."""
        self._closed = True
        deadline = Deadline(self._clock, max(seconds, 1e-9))
        for node in list(self._nodes.values()):
            node.rack.close(deadline)


Waiting = list[tuple[Sending, list[int]]]


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
