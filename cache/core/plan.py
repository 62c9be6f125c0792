"""What one run of the write script is told, and what its answer says: keys, conditions, entries; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cache.core import entry, nearby, seen, ttl
from cache.core.codecs import Encoded
from cache.core.engine import Engine
from cache.core.entry import Entry
from cache.core.fingerprint import Fingerprint
from cache.core.generations import NO_TOKEN, PROPOSED, TOKEN, CategoryRecord, Fence, token_in
from cache.core.lookup import MISS
from cache.core.making import Tokens
from cache.core.marks import marked
from cache.core.policies import Policy
from cache.core.shelves import Shelf, Wanted
from cache.core.steps import Arg
from cache.errors import StoreError
from telemetry.vocabulary import ErrorType

IGNORE_OWN = b""
"""Own token of a fence that lets a write replace whatever stands under the key."""

SMALL = 16 << 10
"""Bytes of an entry up to which what it replaces is read whole, together with everything else."""

LEAST = 0.75
"""Share of their lifetime that the script leaves to what it renews, at least."""

_GENERATIONS, _BLOCKS = 1, 2
_STORED = 0x31


@dataclass(slots=True)
class Draft:
    """A value on its way into the store.

    Args:
        fence: what the lookup before it saw; None fences it from its own start.
        ttl_s: seconds until its logical expiry, before jitter.
        cost_s: seconds that its computation took.
    """

    wanted: Wanted
    encoded: Encoded
    ttl_s: float
    cost_s: float = 0.0
    files: tuple[Fingerprint, ...] = ()
    fence: Fence | None = None


class Row:
    """One draft as it is sent.

    Attributes:
        scopes, names, tokens: its conditions: scopes, their Redis keys, and the tokens as the script is told them.
        data: the entry's bytes.
        slot: what is left of it in the table of ``seen``, and what a block that was lost held beside it.
        kept_s: seconds that Redis keeps it.
    """

    __slots__ = ("data", "item", "kept_s", "names", "own", "scopes", "slot", "tokens", "wanted")

    def __init__(self, plan: Plan, draft: Draft) -> None:
        self.wanted = draft.wanted
        self._condition(plan, draft)
        self._write(plan, draft)

    def _condition(self, plan: Plan, draft: Draft) -> None:
        """What must be as it was seen: of the fence, of what this process remembers, or proposed where it is absent."""
        want, fence = draft.wanted, draft.fence
        scopes = want.scopes
        self.scopes, self.names = scopes, (want.question[2], *want.question[4 : 3 + len(scopes)])
        self.own = IGNORE_OWN
        if fence is None:
            self.tokens = tuple([plan.token(scope) for scope in scopes])
            return
        self.own = fence.own
        saw = dict(fence.scopes)
        # the category comes first: the script takes its record from there
        self.tokens = tuple([saw.get(scope) or plan.token(scope) for scope in scopes])
        if len(saw) > len(scopes):
            further = [scope for scope in saw if scope not in scopes]
            self.scopes = (*scopes, *further)
            self.names = (*self.names, *map(plan.engine.scope_name, further))
            self.tokens = (*self.tokens, *(saw[scope] or NO_TOKEN for scope in further))

    def _write(self, plan: Plan, draft: Draft) -> None:
        """The entry's bytes."""
        engine, encoded, want = plan.engine, draft.encoded, draft.wanted
        lives = ttl.jittered(draft.ttl_s, plan.policy.jitter, engine.rand)
        self.kept_s = lives + plan.policy.stale_window(draft.ttl_s)
        tokens, count = self.tokens, len(want.scopes)
        scopes = tokens[0][:TOKEN]
        for at in range(1, count):
            scopes += want.labels[at] + tokens[at][-TOKEN:]
        self.item = Entry(
            want.address.digest, encoded.codec, encoded.compressed, encoded.payload, plan.now, plan.now + lives,
            draft.cost_s, (), draft.files, self.own or engine.tokens(TOKEN),
        )  # fmt: skip
        self.data = entry.pack(self.item, scopes, count, engine.sealer)
        digest = want.address.digest
        self.slot = seen.slot(digest, want.scopes, tokens, plan.now + lives) + want.known.copies.rest(digest)

    def args(self, numbers: bytes) -> tuple[Arg, ...]:
        """What the script is told of it; ``numbers`` are those of its conditions, empty for all there are."""
        return self.data, b"%d" % max(1, int(self.kept_s * 1000)), self.own, numbers, self.slot

    def local(self) -> nearby.Row:
        """The same for the local tier."""
        read = [token[:TOKEN] if at == 0 else token[-TOKEN:] for at, token in enumerate(self.tokens)]
        named = tuple(zip(self.wanted.scopes, read, strict=False))
        return self.wanted.address.name, self.data, self.item._replace(scopes=named), MISS


class Plan:
    """One run of the script.

    Args:
        drafts: at least one; their fences, where they have one, are complete.
        now: seconds since the epoch.
    """

    def __init__(self, engine: Engine, policy: Policy, shelf: Shelf, drafts: Sequence[Draft], now: float) -> None:
        self.engine, self.policy, self.now = engine, policy, now
        self._shelf = shelf
        self._proposals: dict[str, bytes] = {}
        self.rows = [Row(self, draft) for draft in drafts]
        longest = max([draft.ttl_s + policy.stale_window(draft.ttl_s) for draft in drafts])
        self._lifetime_ms = engine.lifetime_ms(policy, longest)
        self._due, self._clock = self._what_is_due(), b"%d" % seen.tick(now)
        due = b"%d" % self._due
        if len(self.rows) == 1:
            self._alone(due)
        else:
            self._together(due)

    def token(self, scope: str) -> bytes:
        """What this process remembers of a scope, or a proposal."""
        token = self.engine.view.token(scope) or self._proposals.get(scope)
        if token is None:
            fresh = self.engine.tokens
            is_category = scope == self._shelf.scope
            token = (
                CategoryRecord.fresh(self.engine.identity(), fresh) if is_category else PROPOSED + marked(fresh(TOKEN))
            )
            self._proposals[scope] = token
        return token

    def _what_is_due(self) -> int:
        """What might not outlive these entries unless it is given another life: 1 generations, 2 blocks, 3 both."""
        due = 0
        for row in self.rows:
            until, (tokens, lives_until) = self.now + row.kept_s, row.wanted.known.lives
            if lives_until < until or tokens != row.tokens:
                due |= _GENERATIONS
            if self._shelf.blocks_until[seen.block_of(row.wanted.address.digest)] < until:
                due |= _BLOCKS
        return due

    def _alone(self, due: bytes) -> None:
        (row,) = self.rows
        question = row.wanted.question
        self.scopes, self.tokens = row.scopes, row.tokens
        self.keys: list[Arg] = [*row.names, question[3], question[1]]
        looked = row.own != IGNORE_OWN and len(row.data) <= SMALL
        reads = len(row.names) + (2 if looked else 1)
        self.args: list[Arg] = [
            b"%d" % len(row.names), b"%d" % self._lifetime_ms, due, b"%d" % reads, self._clock,
            *row.tokens, *row.args(b""),
        ]  # fmt: skip

    def _together(self, due: bytes) -> None:
        conditions: dict[tuple[str, str, bytes], int] = {}
        numbers = [
            b"".join(
                [
                    conditions.setdefault(condition, len(conditions) + 1).to_bytes(4, "big")
                    for condition in zip(row.scopes, row.names, row.tokens, strict=True)
                ]
            )
            for row in self.rows
        ]
        self.scopes = tuple([scope for scope, _, _ in conditions])
        self.tokens = tuple([token for _, _, token in conditions])
        self.keys = [name for _, name, _ in conditions]
        count = b"%d" % len(conditions)
        self.args = [count, b"%d" % self._lifetime_ms, due, count, self._clock, *self.tokens]
        for row, its in zip(self.rows, numbers, strict=True):
            self.keys += (row.wanted.question[3], row.wanted.question[1])
            self.args += row.args(its)

    def expected(self) -> Tokens:
        """The tokens of all scopes when none was different from what was expected."""
        return {scope: nearby.fence_token(token) for scope, token in zip(self.scopes, self.tokens, strict=True)}

    def read(self, reply: Any) -> tuple[list[bool], Tokens]:
        """The verdicts and, when the script told them, the current tokens.

        Raises:
            StoreError: ``protocol``, for a reply of another shape.
        """
        verdicts, told = (reply, []) if isinstance(reply, bytes) else self._told(reply)
        if len(verdicts) != len(self.rows):
            raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")
        stored = [digit == _STORED for digit in verdicts]
        if self._due:
            self._renewed(stored)
        for row in self.stored(stored):
            row.wanted.known.copies.wrote(row.wanted.address.digest, row.slot[: seen.SLOT])
        identity = self.engine.identity()
        return stored, {scope: token_in(scope, raw, identity) for scope, raw in zip(self.scopes, told, strict=False)}

    def _told(self, reply: Any) -> tuple[bytes, list[Any]]:
        if not isinstance(reply, list) or len(reply) != 1 + len(self.scopes) or not isinstance(reply[0], bytes):
            raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")
        return reply[0], reply[1:]

    def _renewed(self, stored: Sequence[bool]) -> None:
        """Remember how long what was looked after will live at least: the script leaves it no less than this."""
        until = self.now + LEAST * self._lifetime_ms / 1000
        for row in self.stored(stored):
            if self._due & _GENERATIONS:
                row.wanted.known.lives = row.tokens, until
            if self._due & _BLOCKS:
                self._shelf.blocks_until[seen.block_of(row.wanted.address.digest)] = until

    def stored(self, verdicts: Sequence[bool]) -> list[Row]:
        """The rows that were stored."""
        return [row for row, verdict in zip(self.rows, verdicts, strict=True) if verdict]
