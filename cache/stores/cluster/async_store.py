"""The store over a cluster that awaits: all servers of a step are sent to before any is listened to."""

from __future__ import annotations

from typing import Any

from cache.clock import Deadline
from cache.core.breaker import Permit
from cache.core.steps import StoreStep
from cache.errors import StoreError
from cache.stores.attempt import Attempt
from cache.stores.cluster.async_nodes import AsyncNodes
from cache.stores.cluster.membership import BESIDE, Membership
from cache.stores.cluster.routing import LookAgain, Request, operate
from cache.stores.cluster.topology import Topology
from cache.stores.cluster.words import Ask
from cache.stores.errors import store_error
from cache.stores.exchange import Exchange
from cache.stores.forking import in_forked_child
from cache.stores.homes import Homes
from cache.stores.options import StoreOptions
from telemetry.vocabulary import BreakerState


class _Home:
    """What belongs to one event loop."""

    def __init__(self, nodes: AsyncNodes) -> None:
        self.nodes = nodes
        self.look: Attempt[Topology] | None = None

    async def drain(self) -> None:
        """Wait for the calls under way."""
        await self.nodes.drain()

    async def close(self) -> None:
        """Close every connection."""
        if self.look is not None:
            self.look.give_up()
        await self.nodes.close()


class AsyncClusterStore:
    """Carries out steps on a cluster without blocking; usable from several event loops.

    Args:
        members: what is known of the cluster; nobody else's.
        options: limits, for each server and event loop.
    """

    straight = None
    """Its entries and their generations are on several servers: no one question fetches them."""

    def __init__(self, members: Membership, options: StoreOptions) -> None:
        self._members, self._options = members, options
        self._homes = Homes(lambda: _Home(AsyncNodes(members.member, options)))
        in_forked_child(self._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: the parent's threads may have held a lock."""
        self._members.begin_anew()
        self._homes.begin_anew()

    def identity(self) -> bytes:
        """Eight bytes that name all primaries of the last reply in this task together."""
        return self._members.identity()

    def breaker_state(self) -> BreakerState:
        """The worst state of all servers' breakers."""
        return self._members.state

    async def execute(self, step: StoreStep) -> Any:
        """Carry out one step within its deadline.

        Raises:
            StoreError: it could not be.
        """
        home, deadline = self._homes.here(), step.deadline
        try:
            topology = await self._current(home, deadline)
            work = operate(step, topology, self._members)
            reply, topology = await self._run(home, work, topology, deadline)
            self._members.answered(topology)
        except Exception as error:
            raise store_error(error) from None
        return reply

    async def _run(self, home: _Home, work: Any, topology: Topology, deadline: Deadline) -> tuple[Any, Topology]:
        try:
            request: Request = next(work)
            while True:
                if isinstance(request, LookAgain):
                    topology = await self._look(home, deadline)
                    answer: Any = topology
                else:
                    answer = await self._scatter(home, request, topology, deadline)
                request = work.send(answer)
        except StopIteration as end:
            found: tuple[Any, Topology] = end.value
            return found

    async def _current(self, home: _Home, deadline: Deadline) -> Topology:
        """The map to begin with; looked at when there is none, and by one caller at a time when something is wrong."""
        members = self._members
        topology = members.topology
        if topology is None:
            return await self._look(home, deadline)
        if members.is_time_to_look() and (home.look is None or home.look.task.done()):
            try:
                return await self._look(home, deadline.part(BESIDE))
            except Exception:
                return topology
        return topology

    async def _look(self, home: _Home, deadline: Deadline) -> Topology:
        """Look at the map, together with all others of this loop that want to."""
        look = home.look
        call = Exchange(deadline, Permit.FREE, self._options.ceiling_s, deadline.remaining())
        if look is None or look.given_up or look.task.done():
            look = home.look = Attempt(lambda: self._ask_around(home, deadline), call, self._options.ceiling_s)
        return await look.result(call)

    async def _ask_around(self, home: _Home, deadline: Deadline) -> Topology:
        discovery = self._members.look()
        try:
            asks = next(discovery)
            while True:
                asks = discovery.send(await self._scatter(home, asks, None, deadline))
        except StopIteration as end:
            topology: Topology = end.value
        except StoreError:
            self._members.failed_to_look()
            raise
        home.nodes.retire(self._members.looked(topology))
        return topology

    async def _scatter(self, home: _Home, asks: list[Ask], topology: Topology | None, deadline: Deadline) -> list[Any]:
        """The replies in order, troubles as exceptions; what they say of the map is noted."""
        replies = await home.nodes.ask(asks, deadline)
        return [self._members.heard(ask, reply, topology) for ask, reply in zip(asks, replies, strict=True)]

    async def aclose(self, seconds: float = 1.0) -> None:
        """Wait at most ``seconds`` for this event loop's calls, then close its connections.

        Another loop's close as that loop ends.
        """
        await self._homes.leave(seconds)
