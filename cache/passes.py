"""Who may see the page where it is not open: one-time codes, and cookies that say that somebody came in by one.

Nothing is kept of those who came in: a cookie carries its end, sealed with a secret of this start of the program, so
that every worker knows it and none outlives it. A code is good for one person: what makes it so is one byte in a
socket that all workers hold, which only one of them can read.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

CODE_S = 600.0
"""How long a code is good, seconds."""

COOKIE_S = 12 * 3600
"""How long a cookie is, seconds."""

LONGEST_COOKIE = 256
"""Characters; more are none of ours."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A code that opens once.

    Args:
        digest: the SHA-256 of the code; the code itself is kept by nobody.
        until: seconds since the epoch.
        left: holds a byte until the code was used.
    """

    digest: bytes
    until: float
    left: socket.socket


def new_ticket(now: Callable[[], float] = time.time) -> tuple[str, Ticket]:
    """A code of 128 random bits, and what recognises it."""
    code = secrets.token_urlsafe(16)
    writer, reader = socket.socketpair()
    # the byte stays readable when its writer has gone
    writer.send(b"1")
    writer.close()
    reader.setblocking(False)
    return code, Ticket(hashlib.sha256(code.encode()).digest(), now() + CODE_S, reader)


@dataclass(frozen=True, slots=True)
class Passes:
    """Gives cookies and knows them again.

    Args:
        secret: what seals them; the same in every worker.
        ticket: the code that opens once; None: there is none.
        now: seconds since the epoch.
    """

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    ticket: Ticket | None = None
    now: Callable[[], float] = time.time

    @property
    def cookie(self) -> str:
        """The cookie's name, another for each start: servers on two ports of one host share a browser's cookies."""
        return "glasscache_" + hashlib.sha256(b"name" + self.secret).hexdigest()[:8]

    def issue(self) -> str:
        """A cookie's value that is good from now on."""
        return self._sealed(str(int(self.now()) + COOKIE_S))

    def holds(self, value: str | None) -> bool:
        """Whether a cookie is one of ours and its time is not over; compared in constant time."""
        if not value or len(value) > LONGEST_COOKIE or not value.isascii():
            return False
        until = value.partition(".")[0]
        if not hmac.compare_digest(value, self._sealed(until)):
            return False
        return self.now() < int(until)

    def redeem(self, code: str) -> bool:
        """Whether a code opens now: the right one, in time, and for the first time; compared in constant time."""
        ticket = self.ticket
        given = hashlib.sha256(code.encode("utf-8", "replace")).digest()
        if ticket is None or not hmac.compare_digest(given, ticket.digest) or self.now() >= ticket.until:
            return False
        try:
            return ticket.left.recv(1) == b"1"
        except OSError:
            return False

    def _sealed(self, until: str) -> str:
        return f"{until}.{hmac.new(self.secret, until.encode(), hashlib.sha256).hexdigest()}"
