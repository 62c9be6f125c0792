"""Hits that Redis answers at once: the question goes out first, and what is recorded is recorded afterwards.

``operation -> step -> runner`` is the way of everything. A caller that blocks cannot do anything while it waits for one
reply, so that neither its span nor its account is needed before: a plain hit is recorded when it has ended, by one
call. Whatever else the reply shows goes on the ordinary way, as an operation that began when the question went out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cache.clock import Deadline
from cache.core.at_once import Answers
from cache.core.engine import Engine
from cache.core.lookup import MISS
from cache.core.quick import glance
from cache.core.shelves import Shelf, Wanted
from cache.core.steps import Call, Step
from cache.errors import StoreError
from telemetry.vocabulary import Operation, Tier

if TYPE_CHECKING:
    from telemetry.accounts import Account
    from telemetry.commands import CommandSpans

NOT_NOW: Any = object()
"""Nothing was asked: the ordinary way has to be taken."""


@dataclass(slots=True)
class Failed:
    """A question without an answer.

    Args:
        error: as the driver raised it.
        trouble: what it means; None where it may be asked once more, or where the caller was interrupted.
        deadline: of the whole operation.
    """

    error: BaseException
    trouble: StoreError | None
    deadline: Deadline


class Line(Protocol):
    """Asks the store without an operation around it."""

    spans: CommandSpans
    """Makes the span of its command, afterwards."""

    def ask(self, question: tuple[str, ...], seconds: float) -> Any:
        """Ask for a list within so many seconds: the list, ``NOT_NOW``, or ``Failed``."""
        ...


class Lines(Protocol):
    """Where a line is to be had."""

    @property
    def straight(self) -> Line | None:
        """The one there is now; None where every step takes the ordinary way."""
        ...


@dataclass(slots=True)
class Sent:
    """A question that was asked, on its way into an operation.

    Args:
        reply: a list, or ``Failed``.
        deadline: of the whole operation.
        began: when it went out, and ``heard`` when the reply was here, by the recorder's clock.
        ticket: of the key's flights, where the caller has entered.
    """

    wanted: Wanted
    reply: Any
    line: Line
    deadline: Deadline
    began: float
    heard: float
    ticket: int = 0

    def answer(self, now: float) -> Generator[Step, Any, Any]:
        """The reply, inside of the operation; asked once more where that is harmless.

        Args:
            now: by the recorder's clock.

        Raises:
            StoreError: there is none.
        """
        reply, failed = self.reply, None
        if isinstance(reply, Failed):
            reply, failed = None, reply
        error = failed.error if failed is not None else None
        self.line.spans.tell(self.wanted.question, now - self.began, now - self.heard, error, reply)
        if failed is None:
            return reply
        if failed.trouble is not None:
            raise failed.trouble
        if not isinstance(failed.error, Exception):
            raise failed.error
        return (yield Call(self.wanted.question, self.deadline, False))


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

    def __init__(self, engine: Engine, near: Answers, lines: Lines, operation: Operation) -> None:
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
        want = place[0].want(key, tags)
        return self._ask(line, place, want) if self._flights is None else self._enter(line, place, want)

    def _enter(self, line: Line, place: Place, want: Wanted) -> Any:
        """Ask as somebody who will compute what is absent; a crowd asks together, the ordinary way."""
        flights, name, found = self._engine.flights, want.address.name, NOT_NOW
        ticket = flights.enter(name)
        try:
            if not flights.crowded(name):
                found = self._ask(line, place, want)
            return found
        finally:
            if type(found) is Sent:
                # the operation leaves
                found.ticket = ticket
            else:
                flights.leave(name)

    def _ask(self, line: Line, place: Place, want: Wanted) -> Any:
        began = self._now()
        reply = line.ask(want.question, self._seconds)
        if reply is NOT_NOW:
            return NOT_NOW
        heard, engine = self._now(), self._engine
        if type(reply) is not list:
            return Sent(want, reply, line, reply.deadline, began, heard)
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
        return Sent(want, reply, line, deadline, began, heard)

    def _place(self, category: str) -> Place | None:
        """Where a category's keys are kept and its hits counted; None where the operation is needed."""
        engine = self._engine
        shelf = engine.shelves[category]
        # what is kept in the process is looked for there first; what is made anew ahead of its end needs its fence
        far = engine.enabled and shelf.policy.tier is not Tier.LOCAL and not shelf.policy.refresh_ahead
        account = engine.recorder.ledger.account(category, self._operation)
        place = self._places[category] = (shelf, account) if far else None
        return place
