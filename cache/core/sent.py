"""Questions that go out before there is an operation: who asks them, and how one that was asked goes on."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cache.clock import Deadline
from cache.core.quick import Hit
from cache.core.shelves import Wanted
from cache.core.steps import Call, Step
from cache.errors import StoreError

if TYPE_CHECKING:
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


class AsyncLine(Protocol):
    """The same without blocking."""

    spans: CommandSpans

    async def ask(self, question: tuple[str, ...], seconds: float) -> Any: ...


L_co = TypeVar("L_co", covariant=True)


class Lines(Protocol[L_co]):
    """Where a line is to be had."""

    @property
    def straight(self) -> L_co | None:
        """The one there is now; None where every step takes the ordinary way."""
        ...


@dataclass(slots=True)
class Sent:
    """A question that was asked, on its way into an operation.

    Args:
        reply: a list, or ``Failed``.
        spans: make the span of its command.
        deadline: of the whole operation.
        began: when it went out, and ``heard`` when the reply was here, by the recorder's clock.
        hit: what a glance at the reply showed; None where the long way must say.
        ticket: of the key's flights, where the caller has entered.
    """

    wanted: Wanted
    reply: Any
    spans: CommandSpans
    deadline: Deadline
    began: float
    heard: float
    hit: Hit | None = None
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
        self.spans.tell(self.wanted.question, now - self.began, now - self.heard, error, reply)
        if failed is None:
            return reply
        if failed.trouble is not None:
            raise failed.trouble
        if not isinstance(failed.error, Exception):
            raise failed.error
        return (yield Call(self.wanted.question, self.deadline, False))
