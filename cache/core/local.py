"""The local tier: results kept in the process, in front of Redis, and kept true by the server's pushes.

find:    lease over? -> None; not there, another key's, expired, a generation unknown or changed -> None; else the entry
keep:    what a look brought from Redis, unless the key was touched since the look began
wrote:   what this process stored; set aside until the server was asked when the key was touched meanwhile
changed: own deletes, invalidations and failed writes: gone before the caller has its answer
pushed:  what the server says has changed, whoever did it

An old answer is possible only between a change by another process and its push, and never for longer than
the lease: the connection that brings the pushes proves every half second that it is alive.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cache.core.bonds import Bond, Bonds
from cache.core.entry import Entry
from cache.core.held import DIGEST, EXPIRES_AT, Held, hold, unpack_expiry
from cache.core.own_writes import OwnWrites, Question, which_write
from cache.core.s3fifo import MOST_HITS, S3Fifo
from cache.core.touches import Touches
from telemetry.vocabulary import EvictionCause

if TYPE_CHECKING:
    from telemetry.local import LocalAccounts

LEASE_S = 1.5
"""How long after a question that the listener had an answer to local entries may answer."""

NEVER = float("-inf")

SMALLEST = 1 << 16
"""Bytes below which a tier makes no sense."""

Tokens = Mapping[str, bytes | None]


class LocalTier:
    """The entries that one cache keeps in its process; safe for threads, begun anew in a forked child.

    Args:
        max_bytes: bound of all that it keeps, overhead included.
        scope_name: the Redis key of a scope's generation.
        token_of: a scope's token out of what Redis has under its key.
        monotonic: seconds that never go back; the lease runs by it.
        accounts: told what leaves, and why.

    Attributes:
        listen: starts the connection that keeps it true; called at first use.
        listening: True once that was started.
        wake: tells the listener that there is a question.
        state: what ``health`` and the doctor say of it.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        scope_name: Callable[[str], str],
        token_of: Callable[[str, Any], bytes | None],
        monotonic: Callable[[], float],
        accounts: LocalAccounts,
    ) -> None:
        self._max_bytes, self._monotonic, self._accounts = max_bytes, monotonic, accounts
        self._scope_name, self._token_of = scope_name, token_of
        self.listen: Callable[[], None] = _nobody
        self.wake: Callable[[], None] = _nobody
        self.begin_anew()
        accounts.watch(self)

    def begin_anew(self) -> None:
        """In a forked child: the lock and the listener are the parent's."""
        self._lock = threading.Lock()
        self._fifo: S3Fifo[Held] = S3Fifo(self._max_bytes)
        self._index = self._fifo.index
        self._bonds = Bonds(self._scope_name)
        self._own = OwnWrites()
        self._touches = Touches()
        self._questions: list[Question] = []
        self._told = False
        self.lease_until = NEVER
        self.listening = False
        self.state = "waiting"

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self._index)

    @property
    def used(self) -> int:
        """Bytes that they take, structures included."""
        return self._fifo.used + self._bonds.used

    def ticket(self) -> int:
        """Drawn before the store is asked, handed in with what it answered."""
        return self._touches.now

    def find(self, name: str, digest: bytes, now: float) -> Held | None:
        """The entry of a key, when it may answer.

        Args:
            name: its Redis key.
            digest: what the entry must be bound to, 32 bytes.
            now: seconds since the epoch.
        """
        held = self._index.get(name)
        if held is None or self._monotonic() >= self.lease_until:
            return None
        for bond, made_under in held.ties.pairs:
            if bond.read != made_under:
                if held.ties.broken():
                    self.drop(held, EvictionCause.INVALIDATED)
                return None
        data = held.data
        if data[DIGEST] != digest:
            return None
        if now >= unpack_expiry(data, EXPIRES_AT)[0]:
            self.drop(held, EvictionCause.EXPIRED)
            return None
        if held.hits < MOST_HITS:
            held.hits += 1
        return held

    def keep(self, name: str, raw: bytes, entry: Entry, value: Any, ticket: int) -> None:
        """Keep what a look found in Redis.

        Args:
            raw: the entry's bytes.
            entry: the same, taken apart; valid.
            value: decoded, or ``MISS``.
            ticket: drawn before the look.
        """
        with self._lock:
            if self._told and not self._touches.since(name, ticket):
                self._take(hold(name, raw, entry, value, self._bonds.tie(entry.scopes)))

    def wrote(self, name: str, raw: bytes, entry: Entry, value: Any, ticket: int) -> None:
        """Keep what this process has stored; ``ticket`` was drawn before the write, the rest is as of ``keep``."""
        with self._lock:
            overtaken = self._touches.since(name, ticket)
            self._touches.touch(name)
            aside = self._own.forget(name)
            if self._told:
                held = hold(name, raw, entry, value, self._bonds.tie(entry.scopes))
                if not overtaken:
                    self._own.expect(name)
                    self._take(held)
                elif not self._ask_for(held):
                    self._bonds.untie(held.ties)
            if overtaken and name in self._index:
                self._remove(self._index[name])
            if aside is not None:
                self._bonds.untie(aside.ties)
        if overtaken:
            self.wake()

    def learn(self, tokens: Tokens, ticket: int) -> None:
        """Note the generations that the store told after ``ticket`` was drawn."""
        with self._lock:
            if not self._told:
                return
            overtaken = self._bonds.learn(tokens, lambda name: not self._touches.since(name, ticket))
            for bond in overtaken:
                self._ask_for_token(bond)
        if overtaken:
            self.wake()

    def changed(self, names: Iterable[str] = (), scopes: Iterable[str] = ()) -> None:
        """Own changes, certain or not: nothing of before them answers from now on."""
        with self._lock:
            for name in names:
                self._forget(name)
                self._touches.touch(name)
            for scope in scopes:
                name = self._scope_name(scope)
                self._touches.touch(name)
                self._bonds.doubt(name)

    def drop(self, held: Held, cause: EvictionCause) -> None:
        """Let an entry go that was found to be of no use any more."""
        with self._lock:
            if self._index.get(held.name) is held:
                self._remove(held)
                self._accounts.evicted(cause)

    # the listener's side

    def told(self) -> None:
        """From now on every change is pushed; what was under way before that is not kept."""
        with self._lock:
            self._clear()
            self._told = True
            self.state = "on"

    def extend(self, until: float) -> None:
        """Every push up to ``until`` less the lease has been heeded."""
        self.lease_until = until

    def lost(self, state: str) -> None:
        """Nobody tells of changes any more: nothing answers, nothing is kept."""
        self.lease_until = NEVER
        with self._lock:
            self._told = False
            self.state = state
            self._clear()

    def pushed(self, names: Iterable[bytes] | None) -> None:
        """Redis keys that changed; None: all of them."""
        with self._lock:
            if names is None:
                self._clear()
                return
            for raw in names:
                self._pushed(raw.decode("utf-8", "surrogateescape"))

    @property
    def questions_waiting(self) -> bool:
        """True when ``questions`` would give some."""
        return bool(self._questions)

    def questions(self) -> list[Question]:
        """What to ask the server now."""
        with self._lock:
            asked, self._questions = self._questions, []
            return asked

    def _pushed(self, name: str) -> None:
        self._touches.touch(name)
        bond = self._bonds.doubt(name)
        if bond is not None:
            self._ask_for_token(bond)
        held, ours = self._index.get(name), self._own.expected(name)
        if held is None:
            return
        if not ours or not self._ask_for(held.again()):
            self._bonds.untie(held.ties)
            self._accounts.evicted(EvictionCause.INVALIDATED)
        self._fifo.remove(held)

    def _ask_for_token(self, bond: Bond) -> None:
        """Ask the server for a generation, unless it was asked and has not answered."""
        if bond.asked:
            return
        bond.asked = True

        def answered(replies: list[Any]) -> None:
            bond.asked = False
            self.learn({bond.scope: self._token_of(bond.scope, replies[0])}, ticket)

        ticket = self._touches.now
        self._questions.append(Question((("GET", bond.name),), answered))

    def _ask_for(self, held: Held) -> bool:
        """Set a write of ours aside until the server has said that it is the one that stands."""
        if not self._own.set_aside(held):
            return False

        def answered(replies: list[Any]) -> None:
            with self._lock:
                if not self._own.settle(held):
                    return
                if tuple(replies) == held.stamp and held.name not in self._index:
                    self._take(held)
                else:
                    self._bonds.untie(held.ties)

        self._questions.append(Question(which_write(held.name), answered))
        return True

    def _take(self, held: Held) -> None:
        """Keep an entry whose ties are counted."""
        before = self._index.get(held.name)
        if not self._fifo.fits(held):
            self._bonds.untie(held.ties)
            if before is not None:
                self._remove(before)
            return
        self._fifo.put(held)
        if before is not None:
            self._bonds.untie(before.ties)
        self._fifo.max_bytes = self._max_bytes - self._bonds.used
        for gone in self._fifo.evict():
            self._bonds.untie(gone.ties)
            self._accounts.evicted(EvictionCause.CAPACITY)

    def _remove(self, held: Held) -> None:
        self._bonds.untie(held.ties)
        self._fifo.remove(held)

    def _forget(self, name: str) -> None:
        aside, held = self._own.forget(name), self._index.get(name)
        if aside is not None:
            self._bonds.untie(aside.ties)
        if held is not None:
            self._remove(held)

    def _clear(self) -> None:
        self._touches.touch_all()
        self._accounts.evicted(EvictionCause.DISCONNECTED, self._fifo.clear())
        self._index = self._fifo.index
        self._bonds.clear()
        self._own.clear()
        self._questions = []


def _nobody() -> None:
    """Nobody listens: nothing is ever kept."""
