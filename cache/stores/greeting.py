"""The first words on a new connection, all in one flush: protocol, password, database, the server's run id.

Plain data and a generator, so that the blocking and the awaiting connection say the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import redis

from cache.core.steps import Lua

Command = tuple[str, ...]
"""Texts only: hiredis 3.5 crashes when a signal's handler raises while it packs a number."""
Dialogue = Generator[list[Command], list[Any], None]
"""Yields commands that go out together; is sent their replies, refusals as exceptions."""


Password = str | None | Callable[[], str | None]
"""A password, or what gives the one of the moment."""


class Identity:
    """Which server is at the other end: eight bytes of its run id's SHA-256; empty when it may not be asked."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = b""

    def learn(self, info: Any) -> None:
        """Take the run id out of a reply to ``INFO server``; the newest connection wins."""
        data = info if isinstance(info, bytes) else b""
        self.value = b""
        for line in data.splitlines():
            if line.startswith(b"run_id:"):
                self.value = hashlib.sha256(line[7:].strip()).digest()[:8]


@dataclass(frozen=True, slots=True)
class Greeting:
    """What is said at the beginning.

    Args:
        password: asked for at each greeting where it can change.
        name: what ``CLIENT LIST`` shows.
        identity: told the server's run id.
        primary_only: a replica is not spoken to.
    """

    db: int
    username: str | None
    password: Password = field(repr=False)
    name: str
    identity: Identity
    primary_only: bool = False

    def dialogue(self) -> Dialogue:
        """RESP3; RESP2 where the server refuses HELLO.

        Raises:
            redis.RedisError: the server refuses password or database.
        """
        password = self.password() if callable(self.password) else self.password
        replies = yield [("HELLO", "3", *self._auth("AUTH", password), "SETNAME", self.name), *self._further()]
        refusal = replies[0]
        if isinstance(refusal, redis.AuthenticationError):
            raise refusal
        if isinstance(refusal, Exception):
            replies = yield [self._auth("AUTH", password, short=True) or ("PING",), *self._further()]
            if password is not None and isinstance(replies[0], Exception):
                raise replies[0]
        self._conclude(replies[1:])

    def _auth(self, word: str, password: str | None, *, short: bool = False) -> Command:
        if password is None:
            return ()
        user = () if short and self.username is None else (self.username or "default",)
        return (word, *user, password)

    def _further(self) -> list[Command]:
        chosen: list[Command] = [("SELECT", str(self.db))] if self.db else []
        if self.primary_only:
            chosen.append(("ROLE",))
        return [*chosen, ("INFO", "server")]

    def _conclude(self, replies: list[Any]) -> None:
        if self.db and isinstance(replies[0], Exception):
            raise replies[0]
        if isinstance(replies[-1], redis.AuthenticationError):
            raise replies[-1]
        role = replies[-2] if self.primary_only else None
        # who may not be asked is taken for what others say
        if isinstance(role, list) and role and role[0] != b"master":
            raise redis.exceptions.ReadOnlyError("a replica")
        self.identity.learn(replies[-1])


class KnownScripts:
    """Which scripts the connected server has been sent: the first run sends the text, later ones the digest.

    Args:
        identity: of the server; another server knows nothing yet.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._sent: set[tuple[bytes, str]] = set()

    def has(self, script: Lua) -> bool:
        """True when the server should have the script."""
        return (self._identity.value, script.sha) in self._sent

    def learn(self, script: Lua) -> None:
        """Note that the server has run the script's text."""
        self._sent.add((self._identity.value, script.sha))

    def forget(self) -> None:
        """Note that the server has lost its scripts."""
        self._sent.clear()
