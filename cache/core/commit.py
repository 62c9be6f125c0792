"""The commit: fences become conditions, drafts become entries, one script run decides on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cache.clock import Deadline
from cache.core import keys, nearby, seen, ttl
from cache.core.codecs import Encoded
from cache.core.engine import Engine, Operation
from cache.core.entry import Entry
from cache.core.fingerprint import Fingerprint
from cache.core.generations import (
    NO_TOKEN,
    TOKEN,
    CategoryRecord,
    Fence,
    category_scope,
    read_token,
    token_in,
)
from cache.core.healing import heal
from cache.core.lookup import MISS
from cache.core.making import Tokens, make_generations, read_generations
from cache.core.policies import Policy
from cache.core.scripts import COMMIT
from cache.core.shelves import Wanted
from cache.core.steps import Arg, RunScript
from cache.errors import StoreError
from telemetry.vocabulary import ErrorType

IGNORE_OWN = b""
"""Own token of a fence that lets a write replace whatever stands under the key."""


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


def commit(engine: Engine, policy: Policy, drafts: Sequence[Draft], deadline: Deadline) -> Operation[list[int | None]]:
    """Sizes of what was stored, None for what a fence refused.

    A draft without a fence that this process's memory of the generations refused is
    tried once more under the generations as they are: its write began after they were read.
    """
    if engine.pending.some:
        yield from heal(engine, deadline)
    if not engine.identity() and any(draft.fence is None for draft in drafts):
        # nothing was heard of the server yet: its generations must carry its name, so ask before proposing any
        scopes = list(dict.fromkeys(scope for draft in drafts for scope in draft.wanted.scopes))
        yield from read_generations(engine, policy, scopes, deadline)
    sizes, current = yield from _send(engine, policy, drafts, deadline)
    again = [i for i, size in enumerate(sizes) if size is None and drafts[i].fence is None]
    if again:
        scopes = list(dict.fromkeys(scope for i in again for scope in drafts[i].wanted.scopes))
        if any(current.get(scope) is None for scope in scopes):
            current, _ = yield from make_generations(engine, policy, scopes, deadline)
        engine.view.saw(current.items())
        fenced = [_fenced(drafts[i], current) for i in again]
        second, _ = yield from _send(engine, policy, fenced, deadline)
        for i, size in zip(again, second, strict=True):
            sizes[i] = size
    return sizes


def _fenced(draft: Draft, tokens: Tokens) -> Draft:
    scopes = tuple((scope, tokens.get(scope)) for scope in draft.wanted.scopes)
    return replace(draft, fence=Fence(scopes, own=IGNORE_OWN))


def _send(
    engine: Engine, policy: Policy, drafts: Sequence[Draft], deadline: Deadline
) -> Operation[tuple[list[int | None], Tokens]]:
    """Run the script once; drafts whose fence lacks a generation are refused without it.

    Returns:
        A size or None for each draft, and the current generations if any was not as expected.
    """
    ready = [draft for draft in drafts if draft.fence is None or draft.fence.complete]
    if not ready:
        return [None] * len(drafts), {}
    plan = _Plan(engine, policy, ready)
    tier = nearby.tier_of(engine, policy)
    ticket = tier.ticket() if tier is not None else 0
    horizon = max(draft.ttl_s + policy.stale_window(draft.ttl_s) for draft in ready)
    try:
        reply = yield RunScript(
            COMMIT,
            plan.keys,
            [len(plan.conditions), len(ready), engine.lifetime_ms(policy, horizon), *plan.args],
            deadline,
        )
        verdicts, current = plan.read(reply)
    except BaseException:
        engine.changed(names=[draft.wanted.address.name for draft in ready])
        raise
    stored = [row for row, verdict in zip(plan.rows, verdicts, strict=True) if verdict]
    if tier is not None:
        nearby.wrote(tier, policy, stored, current or plan.tokens(), ticket)
    else:
        engine.changed(names=[name for name, _, _, _ in stored])
    engine.view.saw(current.items())
    sizes: Iterator[int | None] = iter(
        [size if verdict else None for size, verdict in zip(plan.sizes, verdicts, strict=True)]
    )
    return [next(sizes) if draft.fence is None or draft.fence.complete else None for draft in drafts], current


class _Plan:
    """Keys and arguments of one run of the script."""

    def __init__(self, engine: Engine, policy: Policy, drafts: Sequence[Draft]) -> None:
        self._engine, self._policy = engine, policy
        self._category = category_scope(policy.name)
        self._identity = engine.identity()
        self._proposals: dict[str, bytes] = {}
        self.conditions: dict[tuple[str, str, bytes], int] = {}
        self.sizes: list[int] = []
        self.rows: list[nearby.Row] = []
        rows = [self._row(draft) for draft in drafts]
        self.keys: list[Arg] = [engine.scope_name(scope) for scope, _, _ in self.conditions]
        self.args: list[Arg] = [part for _, mode, token in self.conditions for part in (mode, token)]
        for draft, row in zip(drafts, rows, strict=True):
            address = draft.wanted.address
            block = keys.seen_name(engine.namespace, policy.name, seen.block_of(address.digest))
            self.keys += (address.name, block)
            self.args += row

    def _row(self, draft: Draft) -> list[Arg]:
        fence = draft.fence or Fence((), own=IGNORE_OWN)
        seen_tokens = dict(fence.scopes)
        # the category comes first: the script takes the seen-filter's record from there
        tokens = {scope: self._token(scope, seen_tokens) for scope in draft.wanted.scopes}
        for scope, token in fence.scopes:
            tokens.setdefault(scope, ("=", token or NO_TOKEN))
        indexes = [self._index(scope, mode, token) for scope, (mode, token) in tokens.items()]
        own = fence.own or self._engine.tokens(TOKEN)
        scopes = tuple((scope, read_token(tokens[scope][1])) for scope in draft.wanted.scopes)
        data, px = self._entry(draft, scopes, own)
        self.sizes.append(len(data))
        digest = draft.wanted.address.digest
        bits = " ".join(map(str, seen.bits_of(digest)))
        packed = b"".join(index.to_bytes(4, "big") for index in indexes)
        return [data, px, fence.own, seen.block_of(digest), bits, packed]

    def _token(self, scope: str, seen_tokens: Tokens) -> tuple[str, bytes]:
        """What the script compares a scope with: what was seen, what this process remembers, or a proposal."""
        token = seen_tokens.get(scope) or self._engine.view.token(scope)
        if token is not None:
            return "=", token
        if scope not in self._proposals:
            fresh = CategoryRecord.fresh(self._identity, self._engine.tokens)
            self._proposals[scope] = fresh if scope == self._category else self._engine.tokens(TOKEN)
        return "+", self._proposals[scope]

    def _index(self, scope: str, mode: str, token: bytes) -> int:
        return self.conditions.setdefault((scope, mode, token), len(self.conditions) + 1)

    def _entry(self, draft: Draft, scopes: tuple[tuple[str, bytes], ...], own: bytes) -> tuple[bytes, int]:
        """The entry's bytes and how many milliseconds Redis keeps it."""
        engine, policy = self._engine, self._policy
        now, lives = engine.clock.time(), ttl.jittered(draft.ttl_s, policy.jitter, engine.rand)
        item = Entry(
            digest=draft.wanted.address.digest,
            codec=draft.encoded.codec,
            compressed=draft.encoded.compressed,
            payload=draft.encoded.payload,
            created=now,
            expires=now + lives,
            cost_s=draft.cost_s,
            scopes=scopes,
            files=draft.files,
            own=own,
        )
        data = item.pack(engine.sealer)
        self.rows.append((draft.wanted.address.name, data, item, MISS))
        return data, max(1, int((lives + policy.stale_window(draft.ttl_s)) * 1000))

    def tokens(self) -> Tokens:
        """The tokens of all scopes when none was different from what was expected."""
        return {scope: nearby.fence_token(token) for scope, _, token in self.conditions}

    def read(self, reply: Any) -> tuple[list[bool], Tokens]:
        """The verdicts and, when the script told them, the current tokens.

        Raises:
            StoreError: ``protocol``, for a reply of another shape.
        """
        if not isinstance(reply, list) or not reply or len(reply) not in (1, 1 + len(self.conditions)):
            raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")
        verdicts = [digit == 0x31 for digit in reply[0]]
        if len(verdicts) != len(self.sizes):
            raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")
        told = zip(self.conditions, reply[1:], strict=False)
        return verdicts, {scope: token_in(scope, raw, self._engine.identity()) for (scope, _, _), raw in told}
