"""What a store knows of its cluster: the map that is believed, each server's breaker, when to look again.

Both twins share it; it does no I/O. The map is replaced as a whole, so that one look at it is consistent.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from cache.clock import Clock
from cache.core.breaker import Breaker
from cache.core.steps import Arg
from cache.errors import StoreError
from cache.stores.cluster.discovery import Discovery, discover
from cache.stores.cluster.member import Member
from cache.stores.cluster.routing import is_about_the_map
from cache.stores.cluster.topology import Place, Topology
from cache.stores.cluster.words import Ask, Spot
from cache.stores.options import StoreOptions
from cache.stores.urls import StoreURL
from telemetry.commands import command_spans
from telemetry.vocabulary import BreakerState, ErrorType

PAUSE_S = 0.1
"""Seconds between two looks at the map while something is wrong."""

TRUST_S = 1.0
"""How long a map is taken for true without asking anybody, in seconds: what was cut off may not know it itself."""

BESIDE = 0.5
"""Share of what is left of a call's deadline that a look takes where the call could also do without."""

LOST = 20
"""After so many looks that failed nothing is taken for known any more: the cluster may have been made anew."""

_ANSWERED: ContextVar[tuple[object, bytes]] = ContextVar("glasscache_answered", default=(None, b""))
"""The cluster, and its servers, that gave this thread or task its last reply."""

_WORST = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)


class Membership:
    """All that is known of a cluster.

    Args:
        url: names some of its servers.
        on_state: told the worst state of all breakers whenever it changes.
        dropped: told of each span that a fault of the telemetry cost.
    """

    def __init__(
        self,
        url: StoreURL,
        options: StoreOptions,
        clock: Clock,
        on_state: Callable[[BreakerState], None],
        dropped: Callable[[], None],
    ) -> None:
        self._url, self._options, self._clock, self._dropped = url, options, clock, dropped
        self._seeds = tuple(Place(host, port) for host, port in url.hosts)
        self._on_state, self._state = on_state, BreakerState.CLOSED
        self._members: dict[Place, Member] = {}
        self.topology: Topology | None = None
        self._suspicious, self._failures = False, 0
        self._look_at = self._trusted_until = 0.0
        self._name = object()
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: the parent's threads may have held a lock."""
        self._lock = threading.Lock()
        for member in self._members.values():
            member.breaker.begin_anew()

    def member(self, place: Place) -> Member:
        """The server at a place."""
        found = self._members.get(place)
        if found is None:
            with self._lock:
                found = self._members.get(place)
                if found is None:
                    found = self._members[place] = self._new_member(place)
        return found

    def _new_member(self, place: Place) -> Member:
        spans = command_spans(database=0, address=place.host, port=place.port, dropped=self._dropped)
        breaker = Breaker(self._clock, lambda _: self._breaker_changed(), self._options.breaker)
        return Member(self._url.of(*place), self._options, breaker, spans)

    @property
    def state(self) -> BreakerState:
        """The worst of all breakers."""
        states = {member.breaker.state for member in list(self._members.values())}
        return next((state for state in _WORST if state in states), BreakerState.CLOSED)

    def _breaker_changed(self) -> None:
        state = self.state
        if state is not self._state:
            self._state = state
            self._on_state(state)

    def identity(self) -> bytes:
        """Eight bytes that name the servers of the last reply here, or those that are believed in."""
        name, answered = _ANSWERED.get()
        if name is self._name:
            return answered
        return b"" if self.topology is None else self.topology.identity

    def answered(self, topology: Topology) -> None:
        """Note who gave the reply that is handed out here and now.

        Raises:
            StoreError: the map is not believed any more, others have taken the place of some of them.
        """
        now = self.topology
        if now is not None and now is not topology and now.identity != topology.identity:
            raise StoreError(ErrorType.REFUSED, "the servers changed meanwhile")
        _ANSWERED.set((self._name, topology.identity))

    def pick(self, key: Arg, replicas: Sequence[Place]) -> Place | None:
        """A replica that is well, or may be again, for a key that a replica may be asked for."""
        prefixes = self._options.replica_prefixes
        if not prefixes or not isinstance(key, str) or not key.startswith(prefixes):
            return None
        hopeful = [place for place in replicas if self.member(place).may_be_asked]
        return random.choice(hopeful) if hopeful else None

    def heard(self, ask: Ask, reply: Any, topology: Topology | None) -> Any:
        """What a reply is worth: one of another server than the map says is none."""
        place = ask.spot.place
        if topology is not None and not isinstance(reply, Exception):
            expected, is_now = topology.ids.get(place), self.member(place).id
            if expected and is_now and expected != is_now:
                reply = StoreError(ErrorType.REFUSED, "another server")
        if is_about_the_map(reply):
            self._suspicious = True
        return reply

    def is_time_to_look(self) -> bool:
        """Something is wrong with the map, and the last look at it is a while ago."""
        return self._suspicious and self._clock.monotonic() >= self._look_at

    def doubter(self, topology: Topology, asks: Sequence[Ask]) -> Ask | None:
        """A question to another server, asked beside others once in a while: how much has the cluster heard?"""
        now = self._clock.monotonic()
        if now < self._trusted_until:
            return None
        self._trusted_until = now + TRUST_S
        busy = {ask.spot.place for ask in asks}
        well = [place for place in topology.primaries if self.member(place).is_well]
        others = [place for place in well if place not in busy] or well
        return Ask(Spot(random.choice(others)), ("CLUSTER", "INFO")) if others else None

    def look(self) -> Discovery:
        """A look at the map: ask those that are well first, then those that the URL names."""
        self._look_at = self._clock.monotonic() + PAUSE_S
        topology, known = self.topology, self._members
        places = [] if topology is None else random.sample(topology.places, len(topology.places))
        hopeful = [place for place in places if known[place].is_well] if topology else []
        seeds = random.sample(self._seeds, len(self._seeds))
        order = tuple(dict.fromkeys((*hopeful, *seeds, *places)))
        heard = 0 if topology is None else topology.view.epoch
        lines = {} if topology is None else topology.lines
        return discover(order, lambda place: (self.member(place).id, lines.get(place, b"")), heard)

    def looked(self, topology: Topology) -> tuple[Place, ...]:
        """Believe a map; the places that have no part in it any more."""
        with self._lock:
            for place in topology.places:
                if place not in self._members:
                    self._members[place] = self._new_member(place)
            gone = tuple(place for place in self._members if place not in topology.places)
            for place in gone:
                del self._members[place]
            self.topology = topology
            self._suspicious, self._failures = False, 0
            self._trusted_until = self._clock.monotonic() + TRUST_S
        self._breaker_changed()
        return gone

    def failed_to_look(self) -> None:
        """Nobody could tell; look again in a moment."""
        self._suspicious = True
        self._look_at = self._clock.monotonic() + PAUSE_S
        self._failures += 1
        if self._failures >= LOST:
            self.topology, self._failures = None, 0
