"""The store over a cluster that blocks: all servers of a step are sent to before any is listened to."""

from __future__ import annotations

import threading
from typing import Any

from cache.clock import Clock, Deadline
from cache.core.steps import StoreStep
from cache.errors import StoreError
from cache.stores.cluster.membership import BESIDE, Membership
from cache.stores.cluster.nodes import Nodes
from cache.stores.cluster.routing import LookAgain, Request, operate
from cache.stores.cluster.topology import Topology
from cache.stores.cluster.words import Ask
from cache.stores.errors import store_error
from cache.stores.forking import in_forked_child
from cache.stores.options import StoreOptions
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
        self._nodes = Nodes(self._members.member, self._options)
        self._looking = threading.Lock()

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
                return self._ask_around(deadline.part(BESIDE))
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
        self._nodes.retire(self._members.looked(topology))
        return topology

    def _scatter(self, asks: list[Ask], topology: Topology | None, deadline: Deadline) -> list[Any]:
        """The replies in order, troubles as exceptions; what they say of the map is noted."""
        replies = self._nodes.ask(asks, deadline)
        return [self._members.heard(ask, reply, topology) for ask, reply in zip(asks, replies, strict=True)]

    def close(self, seconds: float = 1.0) -> None:
        """Wait at most ``seconds`` for calls under way, then close every connection; later calls are refused."""
        self._closed = True
        self._nodes.close(Deadline(self._clock, max(seconds, 1e-9)))
