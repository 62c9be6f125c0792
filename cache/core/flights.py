"""Single flight: one computation per key at a time, shared by all who asked before it landed.

A flight belongs to a key and to the generations that were seen; who saw others starts
another. Callers enter before they look up, so that one whose lookup overtook the leader's
write still finds the flight that wrote it:

    enter -> look up -> hit: leave
                     -> miss: join -> leads: compute, land, write, leave
                                   -> follows: wait, share, leave
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any

_KEPT = 8


class FlightState(Enum):
    """How far a flight has come."""

    FLYING = "flying"
    LANDED = "landed"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Its leader was cancelled: one of the followers leads the next."""


class Flight:
    """One computation that others wait for."""

    def __init__(self, leader: Any = None) -> None:
        self.leader = leader
        self.state = FlightState.FLYING
        self.result: Any = None
        self.cost_s = 0.0
        """What its computation took, seconds."""
        self._error: Exception | None = None
        self._traceback: TracebackType | None = None
        self.ended_at = 0
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def error(self) -> Exception | None:
        """What the leader's computation raised, with the leader's traceback and no follower's."""
        return None if self._error is None else self._error.with_traceback(self._traceback)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the flight ends; at once when it has."""
        with self._lock:
            if self.state is FlightState.FLYING:
                self._callbacks.append(callback)
                return
        callback()

    def end(self, state: FlightState, *, result: Any = None, error: Exception | None = None) -> None:
        """End the flight, once; the later of two ends is ignored."""
        with self._lock:
            if self.state is not FlightState.FLYING:
                return
            self.state, self.result, self._error = state, result, error
            self._traceback = error.__traceback__ if error is not None else None
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


@dataclass(slots=True)
class _Group:
    """The flights of one key while anybody is interested in it."""

    callers: int = 0
    flights: dict[Hashable, Flight] = field(default_factory=dict)


class Flights:
    """The flights of one cache; safe for threads, shared by all event loops."""

    def __init__(self) -> None:
        self.begin_anew()
        self.led: ContextVar[frozenset[Hashable]] = ContextVar("glasscache_led", default=frozenset())
        """What this thread or task leads: waiting for one's own flight would never end."""

    def begin_anew(self) -> None:
        """In a forked child: the flights in the air are the parent's, and one of its threads may have held the lock."""
        self._groups: dict[str, _Group] = {}
        self._lock = threading.Lock()
        self._sequence = 0

    def enter(self, name: str) -> int:
        """Say that a lookup of ``name`` begins; returns a ticket for ``join``; ``leave`` must follow."""
        with self._lock:
            self._sequence += 1
            group = self._groups.get(name)
            if group is None:
                group = self._groups[name] = _Group()
            group.callers += 1
            return self._sequence

    def crowded(self, name: str) -> bool:
        """Whether more than one caller is interested in ``name`` now."""
        group = self._groups.get(name)
        return group is not None and group.callers > 1

    def flying(self, name: str) -> Hashable:
        """What the flight of ``name`` that is in the air is shared under; None when there is none."""
        with self._lock:
            group = self._groups.get(name)
            flights = group.flights.items() if group is not None else ()
            return next((seen for seen, flight in flights if flight.state is FlightState.FLYING), None)

    def leave(self, name: str) -> None:
        """Say that the caller has its answer."""
        with self._lock:
            group = self._groups.get(name)
            if group is None:
                return
            group.callers -= 1
            if group.callers <= 0:
                del self._groups[name]

    def join(self, name: str, seen: Hashable, ticket: int, leader: Any = None) -> tuple[Flight, bool]:
        """Join the flight of ``name`` under the generations ``seen``, or lead a new one.

        Args:
            name: the key's name; the caller has entered.
            seen: what the caller's lookup saw; only equal ones share a flight.
            ticket: from ``enter``; a flight that ended before it was drawn is not joined.
            leader: what followers link to when this caller leads.

        Returns:
            The flight, and True when the caller leads it and must end it.
        """
        with self._lock:
            group = self._groups.setdefault(name, _Group())
            flight = group.flights.get(seen)
            joinable = flight is not None and flight.state is not FlightState.ABANDONED
            if flight is not None and joinable and (not flight.ended_at or ticket < flight.ended_at):
                return flight, False
            while len(group.flights) >= _KEPT:
                group.flights.pop(next(iter(group.flights)))
            flight = group.flights[seen] = Flight(leader)
            return flight, True

    def settle(self, flight: Flight) -> None:
        """Say that the flight's write is done too: who enters from now on asks the store."""
        with self._lock:
            self._sequence += 1
            flight.ended_at = self._sequence

    def detach(self) -> None:
        """Let nobody join a flight that is in the air: an invalidation was asked for."""
        with self._lock:
            for group in self._groups.values():
                group.flights.clear()
