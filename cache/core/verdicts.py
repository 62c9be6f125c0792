"""Verdicts: what a look at the store says of each key; no I/O, every case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cache.core import codecs, entry, seen
from cache.core.engine import Engine
from cache.core.entry import BadEntryError, Entry
from cache.core.generations import CategoryRecord, Fence, read_token
from cache.core.held import Held
from cache.core.lookup import MISS
from cache.core.making import Tokens
from cache.core.marks import Cause, why_changed
from cache.core.policies import Policy
from cache.core.shelves import Wanted
from cache.errors import CacheValueError, StoreError
from telemetry.vocabulary import MissReason, MissTrigger, Tier


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
        trigger: what made it invalid; None where nothing did.
    """

    wanted: Wanted
    fence: Fence
    reason: MissReason | None = None
    value: Any = MISS
    entry: Entry | Held | None = None
    size: int = 0
    tier: Tier = Tier.REDIS
    trouble: StoreError | None = None
    trigger: MissTrigger | None = None


@dataclass(slots=True)
class Sight:
    """One look at the store: entries, the category's record, blocks of the table of ``seen``, tokens.

    Args:
        foreign: the category's record where another server made it.
        had_record: this process saw a record of the category before.
    """

    raw: list[bytes | None]
    record: CategoryRecord | None
    foreign: CategoryRecord | None
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
        found.reason, found.trigger = _why_absent(sight, want, engine.clock.time())
    elif not isinstance(item, Entry):
        found.reason = item
        found.trigger = MissTrigger.KEY if item is MissReason.INVALIDATED else None
    else:
        cause = _why_invalid(item, sight, want.scopes)
        if cause is None:
            _judge_entry(engine, policy, found, item)
        else:
            found.reason, found.trigger = cause
    return found


def _why_absent(sight: Sight, want: Wanted, now: float) -> Cause:
    """Why there is nothing under a key."""
    digest, record = want.address.digest, sight.record or sight.foreign
    block = sight.blocks.get(seen.block_of(digest))
    if record is None:
        # nobody wrote to the category, or all of it is gone together with what it knew
        return (MissReason.UNKNOWN if sight.had_record or block is not None else MissReason.COLD), None
    block = want.known.copies.of(seen.block_of(digest), block, record.birth, now)
    cause = seen.why_absent(digest, (want.asked, want.scopes), record, sight.tokens, block, now)
    if sight.record is None and cause[0] not in (MissReason.COLD, MissReason.UNKNOWN):
        return MissReason.INVALIDATED, MissTrigger.RESTART
    return cause


def _why_invalid(item: Entry, sight: Sight, scopes: Sequence[str]) -> Cause | None:
    """Why an entry is not valid; None when it was made under the current token of every scope it names."""
    named = dict(item.scopes)
    changed = [
        why_changed(name, sight.tokens.get(name))
        for name, made_under in item.scopes
        if (token := sight.tokens.get(name)) is None or read_token(token) != made_under
    ]
    if changed and sight.foreign is not None:
        return MissReason.INVALIDATED, MissTrigger.RESTART
    # one that was lost says less than one that was changed
    for cause in changed:
        if cause[0] is MissReason.INVALIDATED:
            return cause
    if changed:
        return changed[0]
    # written without a tag that it is asked for by: whether that was invalidated since nobody knows
    return (MissReason.INVALIDATED, MissTrigger.TAG) if any(scope not in named for scope in scopes) else None


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
