"""One question for all callers of a process who ask the same at the same time.

A caller may use a reply only if its question went out after the caller came: an older one may not show an invalidation
that was over by then. So who comes while a question is under way shares the next one, and that is asked as soon as
the first has its reply: however many come, two questions answer them all.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from cache.clock import Clock, Deadline
from cache.core.flights import Flight, FlightState
from cache.core.steps import Call, Step, Wait

Question = tuple[str, ...]

PATIENCE = 2
"""Deadlines of a read that all of a crowded lookup may take: one for the question, one for the way to its turn."""


@dataclass(slots=True)
class _Turn:
    """One question: ``now`` is under way, ``later`` is the next time that it is asked, if anybody waits for that."""

    now: Flight
    later: Flight | None = None


class Questions:
    """The questions of one cache that are under way; safe for threads, shared by all event loops."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: what is under way is the parent's, and one of its threads may have held the lock."""
        self._turns: dict[Question, _Turn] = {}
        self._lock = threading.Lock()

    def ask(self, question: Question, clock: Clock, seconds: float, end: Deadline) -> Generator[Step, Any, Any]:
        """The reply to a question, asked once for all who came before it went out.

        Args:
            seconds: how long it may take from then on; a crowd that keeps its own loop from sending it is no trouble
                of the store's.
            end: of the caller's whole lookup.

        Raises:
            StoreError: the store did not answer properly, or not in time.
        """
        mine, before = self._take(question)
        if mine is None:
            yield Wait(before, max(0.0, end.remaining()))
            if before.state is FlightState.LANDED:
                return before.result
            return (yield Call(question, Deadline(clock, min(seconds, end.remaining())), True))
        try:
            if before is not None:
                yield Wait(before, max(0.0, min(seconds, end.remaining())))
                self._close(question, mine)
            reply = yield Call(question, Deadline(clock, min(seconds, end.remaining())), True)
            self._end(question, mine, FlightState.LANDED, result=reply)
            return reply
        finally:
            self._end(question, mine, FlightState.ABANDONED)

    def _take(self, question: Question) -> tuple[Flight | None, Any]:
        """The flight to lead, and what has to end before; or None, and the flight to follow."""
        with self._lock:
            turn = self._turns.get(question)
            if turn is None:
                turn = self._turns[question] = _Turn(Flight())
                return turn.now, None
            if turn.later is not None:
                return None, turn.later
            turn.later = Flight()
            return turn.later, turn.now

    def _close(self, question: Question, flight: Flight) -> None:
        """Let nobody share a question any more that is about to go out."""
        with self._lock:
            turn = self._turns.get(question)
            if turn is not None and turn.later is flight:
                turn.later = None

    def _end(self, question: Question, flight: Flight, state: FlightState, **outcome: Any) -> None:
        """Let the next one be asked, and tell those who wait for this one."""
        with self._lock:
            turn = self._turns.get(question)
            if turn is not None and turn.later is flight:
                # given up before it was asked
                turn.later = None
            elif turn is not None and turn.now is flight:
                if turn.later is None:
                    del self._turns[question]
                else:
                    turn.now, turn.later = turn.later, None
        flight.end(state, **outcome)
