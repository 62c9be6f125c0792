"""What is said on the connection that keeps the local tier true: RESP3 client tracking in broadcast mode.

The server pushes every key with one of the prefixes that changes, whoever changed it. Pushes and replies
come in one stream, so a reply to PING proves that all pushes before it were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cache.core.local import LEASE_S
from cache.core.own_writes import Question
from cache.core.steps import Arg

BEAT_S = 0.5
"""How often the server is asked whether the connection lives."""

Command = tuple[Arg, ...]


class TrackingRefused(Exception):
    """The server does not track for us: too old, or its ACL forbids it."""


def tracking_on(prefixes: Iterable[str]) -> Command:
    """The command that begins it."""
    named = [part for prefix in prefixes for part in ("PREFIX", prefix)]
    return ("CLIENT", "TRACKING", "ON", "BCAST", *named)


class Dialogue:
    """The connection's conversation, apart from its bytes: which reply belongs to what, how long the lease is.

    Args:
        now: seconds that never go back.
    """

    def __init__(self, now: float) -> None:
        self._waiting: list[tuple[int, Question | None, float]] = []
        self._replies: list[Any] = []
        self._next_beat = now
        self._heard = now

    def due(self, now: float) -> bool:
        """True when it is time for the next beat."""
        return now >= self._next_beat

    def patience(self, now: float) -> float:
        """Seconds until something is due."""
        return max(0.0, self._next_beat - now)

    def broken(self, now: float) -> bool:
        """True when a beat has had no answer for as long as a lease lasts."""
        beats = [asked for _, question, asked in self._waiting if question is None]
        return bool(beats) and now - beats[0] > LEASE_S

    def beat(self, now: float) -> Command:
        """The next beat, sent at ``now``."""
        self._next_beat = now + BEAT_S
        self._waiting.append((1, None, now))
        return ("PING",)

    def ask(self, questions: Sequence[Question], now: float) -> list[Command]:
        """The commands of questions, sent at ``now``."""
        self._waiting += [(len(question.commands), question, now) for question in questions]
        return [command for question in questions for command in question.commands]

    def reply(self, reply: Any) -> float | None:
        """Take the next reply; when it answers a beat, until when the lease is good.

        Raises:
            TrackingRefused: nothing was asked, or a beat was refused: that is no server to rely on.
        """
        if not self._waiting:
            raise TrackingRefused("a reply that nothing was asked for")
        count, question, asked = self._waiting[0]
        self._replies.append(reply)
        if len(self._replies) < count:
            return None
        replies, self._replies = self._replies, []
        del self._waiting[0]
        if question is not None:
            question.answered(replies)
            return None
        if isinstance(reply, Exception):
            raise TrackingRefused("a beat was refused")
        # from the question on, not from the answer: what changed in between may still be on its way
        return asked + LEASE_S
