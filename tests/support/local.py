"""What tests of the local tier share: a server in miniature for its pure part, and waiting for a real one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from cache.core.entry import Entry, Sealer, parse
from cache.core.held import Held
from cache.core.local import LEASE_S, LocalTier
from cache.core.lookup import MISS
from cache.core.own_writes import Question
from cache.testing.clock import ManualClock
from telemetry.local import LocalAccounts

LOCAL = {"local_categories": "context,embedding,tool,prompt,static"}
"""Settings that keep every built-in category in the process too."""

TOKEN = b"t" * 16
SCOPES = (("category:prompt", TOKEN),)
NOW = 1_700_000_000.0


def digest_of(name: str) -> bytes:
    """What the entry of a name is bound to."""
    return hashlib.sha256(name.encode()).digest()


def entry_of(name: str, payload: bytes = b'{"n":1}', **facts: Any) -> tuple[bytes, Entry]:
    """An entry's bytes, and the same taken apart."""
    given = {"codec": 1, "compressed": False, "created": NOW - 10, "expires": NOW + 90, "cost_s": 0.5} | facts
    raw = Entry(digest=digest_of(name), payload=payload, **({"scopes": SCOPES} | given)).pack(Sealer())
    return raw, parse(raw, digest_of(name), SCOPES[0][0], Sealer())


class Miniature:
    """A tier whose listener and server are this test: pushes come, and questions are answered, when it says so."""

    def __init__(self, max_bytes: int = 1 << 20, *, on: bool = True) -> None:
        self.clock, self.accounts, self.woken = ManualClock(), LocalAccounts(), 0
        self.tier = LocalTier(
            max_bytes,
            scope_name=lambda scope: f"gen:{scope}",
            token_of=lambda _, raw: raw,
            monotonic=self.clock.monotonic,
            accounts=self.accounts,
        )
        self.tier.wake = self._wake
        self.store: dict[str, bytes] = {"gen:category:prompt": TOKEN}
        if on:
            self.tier.told()
            self.tier.extend(self.clock.monotonic() + LEASE_S)

    def _wake(self) -> None:
        self.woken += 1

    def find(self, name: str, now: float = NOW) -> Held | None:
        return self.tier.find(name, digest_of(name), now)

    def read(self, name: str, payload: bytes = b'{"n":1}', value: Any = None, **facts: Any) -> Callable[[], None]:
        """A look at the store that begins now; calling it brings its answer."""
        raw, entry = entry_of(name, payload, **facts)
        self.store[name] = raw
        ticket = self.tier.ticket()
        tokens = dict(entry.scopes)

        def ends() -> None:
            self.tier.keep(name, raw, entry, {} if value is None else value, ticket)
            self.tier.learn(tokens, ticket)

        return ends

    def write(self, name: str, payload: bytes = b'{"n":1}', **facts: Any) -> Callable[[], None]:
        """A write of ours that reaches the store now; calling it brings the reply."""
        raw, entry = entry_of(name, payload, **facts)
        ticket = self.tier.ticket()
        self.store[name] = raw

        def ends() -> None:
            self.tier.wrote(name, raw, entry, MISS, ticket)
            self.tier.learn(dict(entry.scopes), ticket)

        return ends

    def push(self, *names: str) -> None:
        self.tier.pushed([name.encode() for name in names])

    def answer(self) -> int:
        """Answer the tier's questions out of the store; how many there were."""
        questions = self.tier.questions()
        for question in questions:
            question.answered([self._reply(*command) for command in question.commands])
        return len(questions)

    def _reply(self, command: Any, name: Any, *span: Any) -> bytes | None:
        raw = self.store.get(name)
        if command == "GET":
            return raw
        first, last = span
        return (raw or b"")[first : last + 1 or None]


def tier_of(cache: Any) -> LocalTier:
    """The tier of a cache of either kind."""
    found = getattr(cache, "cache", cache)._engine.local
    assert isinstance(found, LocalTier)
    return found


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Ask a real server's pushes until they have come."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.001)


def ready(cache: Any) -> LocalTier:
    """Begin to listen, and wait until the lease is there."""
    tier = tier_of(cache)
    if not tier.listening:
        tier.listen()
    until(lambda: tier._monotonic() < tier.lease_until)
    return tier


def settled(cache: Any) -> None:
    """Wait until the pushes of what this test has done so far were heeded, and the questions that they raised."""
    tier = ready(cache)

    def heeded() -> bool:
        answered: list[Any] = []
        give_up = time.monotonic() + 10.0
        while not answered:
            assert time.monotonic() < give_up, "nobody answers"
            # asked again: the push of a FLUSHALL and a lost connection drop what was asked before
            with tier._lock:
                tier._questions.append(Question((("PING",),), answered.extend))
            tier.wake()
            again = time.monotonic() + 0.1
            while not answered and time.monotonic() < again:
                time.sleep(0.001)
        return not tier._own._aside and not any(bond.asked for bond in tier._bonds._bonds.values())

    until(heeded)
