"""Verdicts: what a look at the store says of each key; no I/O, every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cache.core import codecs, entry, seen
from cache.core.engine import Engine
from cache.core.entry import BadEntryError, Entry
from cache.core.generations import CategoryRecord, Fence, read_token
from cache.core.held import Held
from cache.core.lookup import MISS
from cache.core.making import Tokens
from cache.core.policies import Policy
from cache.core.shelves import Wanted
from cache.errors import CacheValueError, StoreError
from telemetry.vocabulary import MissReason, Tier


@dataclass(slots=True)
class Found:
    """The verdict on one key.

    Args:
        reason: why it missed; None for a hit.
        value: the value of a hit, else ``MISS``.
        entry: the entry of a hit or of an expired one.
        fence: what a write after this lookup is fenced with.
        size: bytes in Redis.
        tier: where the entry was found.
        trouble: why the generations that a write needs could not be made; None when all is well.
    """

    wanted: Wanted
    fence: Fence
    reason: MissReason | None = None
    value: Any = MISS
    entry: Entry | Held | None = None
    size: int = 0
    tier: Tier = Tier.REDIS
    trouble: StoreError | None = None


@dataclass(slots=True)
class Sight:
    """One look at the store: entries, the category's record, blocks of the seen-filter, tokens.

    Args:
        had_record: the category had a record before, whether or not it is still one of this server.
    """

    raw: list[bytes | None]
    record: CategoryRecord | None
    had_record: bool
    blocks: dict[int, bytes | None]
    tokens: Tokens


def parse(engine: Engine, raw: bytes | None, want: Wanted) -> Entry | MissReason | None:
    """The entry under a key; None when there is nothing, or the reason why it cannot be believed."""
    if raw is None:
        return None
    if not isinstance(raw, bytes):
        return MissReason.VERSION
    if entry.is_tombstone(raw):
        return MissReason.INVALIDATED
    try:
        return entry.parse(raw, want.address.digest, want.scopes[0], engine.sealer)
    except BadEntryError as error:
        return error.reason


def judge(
    engine: Engine, policy: Policy, sight: Sight, want: Wanted, item: Entry | MissReason | None, raw: bytes | None
) -> Found:
    """The verdict; the first of these that applies: absent, foreign, invalidated, expired, changed, undecodable."""
    fence = Fence(tuple((name, sight.tokens[name]) for name in want.scopes), entry.own_token(raw))
    found = Found(want, fence, size=len(raw) if raw is not None else 0)
    if item is None:
        found.reason = MissReason.UNKNOWN
        if sight.record is not None:
            digest = want.address.digest
            found.reason = seen.reason_for_absent(digest, sight.record, sight.blocks[seen.block_of(digest)])
    elif not isinstance(item, Entry):
        found.reason = item
    elif not _valid(item, sight.tokens, want.scopes):
        found.reason = MissReason.INVALIDATED
    else:
        _judge_entry(engine, policy, found, item)
    return found


def _valid(item: Entry, tokens: Mapping[str, bytes | None], scopes: Sequence[str]) -> bool:
    """True when the entry was made under the current token of every scope it names, its category among them."""
    named = dict(item.scopes)
    if any(scope not in named for scope in scopes):
        return False
    for name, made_under in item.scopes:
        token = tokens.get(name)
        if token is None or read_token(token) != made_under:
            return False
    return True


def _judge_entry(engine: Engine, policy: Policy, found: Found, item: Entry) -> None:
    found.entry = item
    if item.files and not engine.unchanged(item.files):
        found.reason, found.entry = MissReason.CHANGED, None
    elif engine.clock.time() >= item.expires:
        found.reason = MissReason.EXPIRED
    else:
        decode(policy, found)


def decode(policy: Policy, found: Found) -> None:
    """Decode the entry's payload into ``found.value``; a payload that does not decode makes it ``corrupt``."""
    item = found.entry
    if item is None:
        return
    try:
        found.value = codecs.decode(item.codec, item.compressed, item.payload, max_bytes=policy.max_bytes)
    except CacheValueError:
        found.reason, found.entry = MissReason.CORRUPT, None
