"""Who is the primary: all sentinels are asked at once, the one with the newest vote is believed. No I/O here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cache.clock import Clock
from cache.core.breaker import Breaker
from cache.errors import StoreError
from cache.stores.cluster.member import Member
from cache.stores.cluster.topology import Place
from cache.stores.cluster.words import Ask, Spot
from cache.stores.options import StoreOptions
from cache.stores.urls import StoreURL
from telemetry.commands import command_spans
from telemetry.vocabulary import BreakerState, ErrorType

PAUSE_S = 0.1
"""Seconds between two questions while something is wrong."""

PROBE_S = 0.25
"""Longest pause before a sentinel that did not answer is asked again, in seconds."""

TRUST_S = 1.0
"""How long the primary is taken for the primary without asking, in seconds: a demoted one may not know it yet."""

LOST_VOTES = 20
"""After so many questions that nobody answered by a vote as new as the last one, an older one is believed."""

LOST = frozenset({ErrorType.READONLY, ErrorType.REFUSED, ErrorType.TIMEOUT, ErrorType.LOADING, ErrorType.BREAKER_OPEN})
"""Trouble after which it is asked who the primary is."""


class Sentinels:
    """What is known of the sentinels, and of what they said; shared by both twins.

    Args:
        url: names the sentinels and the service.
        dropped: told of each span that a fault of the telemetry cost.

    Attributes:
        primary: who they said it is; None while nobody knows.
        vote: the number of the vote that it was for.
    """

    def __init__(self, url: StoreURL, options: StoreOptions, clock: Clock, dropped: Callable[[], None]) -> None:
        self._url, self._options, self._clock, self._dropped = url, options, clock, dropped
        self._members = {Place(*host): self._new_member(Place(*host)) for host in url.hosts}
        self.primary: Place | None = None
        self.vote = self._failures = 0
        self._suspicious, self._look_at, self._trusted_until = False, 0.0, 0.0

    def begin_anew(self) -> None:
        """In a forked child: the parent's threads may have held a lock."""
        for member in self._members.values():
            member.breaker.begin_anew()

    def _new_member(self, place: Place) -> Member:
        url = self._url.of_sentinel(*place)
        spans = command_spans(database=0, address=place.host, port=place.port, dropped=self._dropped)
        # a sentinel that was slow once may soon be the one who knows
        pauses = replace(self._options.breaker, last_pause_s=PROBE_S)
        breaker = Breaker(self._clock, lambda _: None, pauses)
        return Member(url, self._options, breaker, spans)

    def member(self, place: Place) -> Member:
        """The sentinel at a place."""
        return self._members[place]

    def where(self) -> StoreURL:
        """The URL of the primary.

        Raises:
            ConnectionError: nobody knows it.
        """
        if self.primary is None:
            raise ConnectionError("no sentinel has named a primary yet")
        return self._url.of(*self.primary)

    def url_of(self, place: Place) -> StoreURL:
        """The URL of one server."""
        return self._url.of(*place)

    @property
    def state(self) -> BreakerState:
        """Closed when any sentinel may be asked."""
        states = [member.breaker.state for member in self._members.values()]
        return BreakerState.CLOSED if BreakerState.CLOSED in states else states[0]

    @property
    def trusted(self) -> bool:
        """Nothing speaks against what was said, and it is not long ago."""
        return not self._suspicious and self._clock.monotonic() < self._trusted_until

    def is_time_to_look(self) -> bool:
        """It is to be asked again, and the last question is a while ago."""
        return not self.trusted and self._clock.monotonic() >= self._look_at

    def name(self, server: bytes) -> bytes:
        """Eight bytes that name a server in its time as the primary: after it was demoted and promoted again others."""
        return hashlib.sha256(server + b"%d" % self.vote).digest()[:8] if server else b""

    def failed(self, trouble: StoreError) -> None:
        """A call to the primary failed."""
        if trouble.kind in LOST:
            self._suspicious = True

    def questions(self) -> list[Ask]:
        """What all sentinels are asked at once."""
        self._look_at = self._clock.monotonic() + PAUSE_S
        return [Ask(Spot(place), ("SENTINEL", "MASTER", self._url.service)) for place in self._members]

    def heard(self, replies: Sequence[Any]) -> Place:
        """Believe the newest vote.

        Raises:
            StoreError: no sentinel knows the service, or none answers, and nothing was known before.
        """
        told = [vote for reply in replies if (vote := _vote(reply)) is not None and vote[0] >= self.vote]
        if not told:
            self._suspicious, self._failures = True, self._failures + 1
            if self._failures >= LOST_VOTES:
                # the sentinels may have been made anew, and count from the beginning
                self.vote, self._failures = 0, 0
            if self.primary is None:
                trouble = next((reply for reply in replies if isinstance(reply, StoreError)), None)
                raise trouble or StoreError(ErrorType.REFUSED, "no sentinel knows this service")
            # the sentinels may be away while the primary is not
            return self.primary
        self.vote, self.primary = max(told)
        self._failures = 0
        self._suspicious, self._trusted_until = False, self._clock.monotonic() + TRUST_S
        return self.primary


def _vote(reply: Any) -> tuple[int, Place] | None:
    """Number of the vote and the primary that it was for, out of a reply to ``SENTINEL MASTER``."""
    if isinstance(reply, list) and len(reply) % 2 == 0:
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    if not isinstance(reply, Mapping):
        return None
    try:
        host, port, number = reply[b"ip"].decode(), int(reply[b"port"]), int(reply[b"config-epoch"])
    except (KeyError, ValueError, AttributeError):
        return None
    return (number, Place(host, port)) if b"master" in reply.get(b"flags", b"") else None
