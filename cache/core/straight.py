"""Hits that Redis answers at once: the question goes out first, and what is recorded is recorded afterwards.

``operation -> step -> runner`` is the way of everything. A caller that blocks cannot do anything while it waits for one
reply, so that neither its span nor its account is needed before: a plain hit is recorded when it has ended, by one
call. Whatever else the reply shows goes on the ordinary way, as an operation that began when the question went out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cache.clock import Deadline
from cache.core.at_once import Answers
from cache.core.engine import Engine
from cache.core.lookup import MISS
from cache.core.quick import glance
from cache.core.sent import NOT_NOW, AsyncLine, Line, Lines, Sent
from cache.core.shelves import Shelf, Wanted
from telemetry.vocabulary import Operation, Tier

if TYPE_CHECKING:
    from telemetry.accounts import Account

Place = tuple[Shelf, "Account"]
"""Where a category's keys are kept, and where its hits are counted."""


class StraightHits:
    """Answers one operation's hits, from the process or from Redis.

    Args:
        engine: of the cache.
        near: answers those of the local tier.
        lines: the store's.
        operation: what the hits are counted as.
    """

    __slots__ = (
        "_engine",
        "_flights",
        "_lines",
        "_near",
        "_now",
        "_operation",
        "_places",
        "_record",
        "_seconds",
        "_wall",
    )

    def __init__(self, engine: Engine, near: Answers, lines: Lines[Any], operation: Operation) -> None:
        self._engine, self._near, self._lines, self._operation = engine, near, lines, operation
        recorder = engine.recorder
        # who may compute must have entered before the look
        self._flights = engine.flights if operation is Operation.GET_OR_COMPUTE else None
        self._places: dict[str, Place | None] = {}
        self._now, self._record, self._wall = recorder.now, recorder.hit_at_once, engine.clock.time
        self._seconds = engine.read_s

    def find(self, category: Any, key: Any, tags: Sequence[str] = ()) -> Any:
        """The value of a hit; ``Sent`` where the operation goes on with the reply; ``NOT_NOW``.

        Raises:
            UnknownCategoryError: nobody registered the category.
            CacheKeyError: the key or a tag cannot be encoded, or there are too many tags.
        """
        near = self._near
        if near.any and tags == () and (value := near.find(category, key)) is not MISS:
            return value
        line = self._lines.straight
        try:
            place = self._places[category]
        except KeyError:
            place = self._place(category)
        except TypeError:
            return NOT_NOW
        if line is None or place is None or self._engine.pending.some:
            return NOT_NOW
        want, flights = place[0].want(key, tags), self._flights
        if flights is None:
            began = self._now()
            return self._told(line, place, want, line.ask(want.question, self._seconds), began)
        name, found = want.address.name, NOT_NOW
        ticket = flights.enter(name)
        try:
            # a crowd asks together, the ordinary way
            if not flights.crowded(name):
                began = self._now()
                found = self._told(line, place, want, line.ask(want.question, self._seconds), began)
            return found
        finally:
            self._leave(name, found, ticket)

    def _leave(self, name: str, found: Any, ticket: int) -> None:
        """Say that the caller has its answer, unless an operation goes on and says so."""
        if type(found) is Sent:
            found.ticket = ticket
        else:
            self._engine.flights.leave(name)

    def _told(self, line: Line | AsyncLine, place: Place, want: Wanted, reply: Any, began: float) -> Any:
        """What ``find`` gives, now that there is a reply."""
        if reply is NOT_NOW:
            return NOT_NOW
        heard, engine = self._now(), self._engine
        if type(reply) is not list:
            return Sent(want, reply, line.spans, reply.deadline, began, heard)
        now = self._wall()
        hit = glance(engine, place[0].policy, want, reply, now)
        if hit is not None:
            created, expires = hit[1], hit[2]
            served = now - created if now > created else 0.0, hit[3], expires - now
            command = line.spans, want.question, began, heard
            if self._record(place[1], began, want.address.digest, served, command):
                return hit[0]
        deadline = Deadline(engine.clock, self._seconds)
        deadline.at -= self._now() - began
        return Sent(want, reply, line.spans, deadline, began, heard, hit)

    def _place(self, category: str) -> Place | None:
        """Where a category's keys are kept and its hits counted; None where the operation is needed."""
        engine = self._engine
        shelf = engine.shelves[category]
        # what is kept in the process is looked for there first; what is made anew ahead of its end needs its fence
        far = engine.enabled and shelf.policy.tier is not Tier.LOCAL and not shelf.policy.refresh_ahead
        account = engine.recorder.ledger.account(category, self._operation)
        place = self._places[category] = (shelf, account) if far else None
        return place


class AsyncStraightHits(StraightHits):
    """The twin for code that awaits: between its question and its reply no code of the caller's runs either."""

    __slots__ = ()

    async def find_soon(self, category: Any, key: Any, tags: Sequence[str] = ()) -> Any:
        """As ``find``, whose steps are repeated here: a call in between would cost each hit of both.

        Raises:
            UnknownCategoryError, CacheKeyError: as ``find``.
        """
        near = self._near
        if near.any and tags == () and (value := near.find(category, key)) is not MISS:
            return value
        line: AsyncLine | None = self._lines.straight
        try:
            place = self._places[category]
        except KeyError:
            place = self._place(category)
        except TypeError:
            return NOT_NOW
        if line is None or place is None or self._engine.pending.some:
            return NOT_NOW
        want, flights = place[0].want(key, tags), self._flights
        if flights is None:
            began = self._now()
            return self._told(line, place, want, await line.ask(want.question, self._seconds), began)
        name, found = want.address.name, NOT_NOW
        ticket = flights.enter(name)
        try:
            if not flights.crowded(name):
                began = self._now()
                found = self._told(line, place, want, await line.ask(want.question, self._seconds), began)
            return found
        finally:
            self._leave(name, found, ticket)
