"""Reading: one MGET of the entries with everything that can invalidate them, then a verdict for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cache.clock import Deadline
from cache.core import codecs, entry, keys, nearby, seen
from cache.core.engine import Engine, Operation, Wanted
from cache.core.entry import BadEntryError, Entry
from cache.core.generations import NO_TOKEN, TOKEN, CategoryRecord, Fence, category_scope, read_token
from cache.core.healing import heal
from cache.core.held import Held
from cache.core.local import LocalTier
from cache.core.lookup import MISS
from cache.core.policies import Policy
from cache.core.scripts import MAKE_GENERATIONS
from cache.core.steps import Call, RunScript
from cache.errors import CacheValueError, StoreError
from telemetry.vocabulary import ErrorType, MissReason, Tier

Tokens = dict[str, bytes | None]


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
    blocks: Mapping[int, bytes | None]
    tokens: Tokens


def look(
    engine: Engine,
    policy: Policy,
    wanted: Sequence[Wanted],
    deadline: Deadline,
    *,
    prepare: bool = False,
    local: bool = True,
) -> Operation[list[Found]]:
    """Look keys of one category up, in this process first where its policy says so.

    Args:
        prepare: make absent generations of keys that miss, so that a computation's write can be fenced.
        local: False asks Redis whatever the policy says.

    Returns:
        A verdict for each of ``wanted``, in order.

    Raises:
        StoreError: the store did not answer properly.
    """
    if engine.pending:
        yield from heal(engine, deadline)
    tier = nearby.tier_of(engine, policy) if local else None
    if tier is None:
        return (yield from _look_far(engine, policy, wanted, deadline, prepare, None))
    now = engine.clock.time()
    near = [_near(engine, policy, tier, want, now) for want in wanted]
    rest = [want for want, found in zip(wanted, near, strict=True) if found is None]
    far = iter((yield from _look_far(engine, policy, rest, deadline, prepare, tier)) if rest else ())
    return [found or next(far) for found in near]


def _near(engine: Engine, policy: Policy, tier: LocalTier, want: Wanted, now: float) -> Found | None:
    item = nearby.held(engine, tier, want, now)
    value = MISS if item is None else nearby.value_of(policy, item)
    if item is None or value is MISS:
        return None
    return Found(want, nearby.fence_of(item, want), value=value, entry=item, tier=Tier.LOCAL)


def _look_far(
    engine: Engine,
    policy: Policy,
    wanted: Sequence[Wanted],
    deadline: Deadline,
    prepare: bool,
    tier: LocalTier | None,
) -> Operation[list[Found]]:
    """Look keys up in Redis; hits are kept by ``tier``."""
    ticket = tier.ticket() if tier is not None else 0
    known_before = engine.view.token(category_scope(policy.name)) is not None
    sight = yield from _see(engine, policy, wanted, deadline)
    sight.had_record |= known_before
    entries = [_parse(engine, raw, want) for raw, want in zip(sight.raw, wanted, strict=True)]
    yield from _see_further_tags(engine, entries, sight, deadline)
    rows = zip(wanted, entries, sight.raw, strict=True)
    found = [_judge(engine, policy, sight, want, item, raw) for want, item, raw in rows]
    absent = _absent(policy, sight, found if prepare else ())
    if absent:
        yield from _prepare(engine, policy, found, sight, absent, deadline)
    engine.view.saw(sight.tokens.items())
    if tier is not None:
        hits = zip(sight.raw, found, strict=True)
        kept = [
            (f.wanted.address.name, raw, f.entry, f.value)
            for raw, f in hits
            if f.reason is None and raw is not None and isinstance(f.entry, Entry)
        ]
        nearby.keep(tier, kept, sight.tokens, ticket)
    return found


def _see(engine: Engine, policy: Policy, wanted: Sequence[Wanted], deadline: Deadline) -> Operation[Sight]:
    category = category_scope(policy.name)
    tags = list(dict.fromkeys(scope for want in wanted for scope in want.scopes[1:]))
    numbers = list(dict.fromkeys(seen.block_of(want.address.digest) for want in wanted))
    reply = yield Call(
        (
            "MGET",
            *(want.address.name for want in wanted),
            engine.scope_name(category),
            *(keys.seen_name(engine.namespace, policy.name, number) for number in numbers),
            *(engine.scope_name(tag) for tag in tags),
        ),
        deadline,
        idempotent=True,
    )
    expect_list(reply, len(wanted) + 1 + len(numbers) + len(tags))
    count, blocks_end = len(wanted), len(wanted) + 1 + len(numbers)
    raw_record = reply[count]
    record = CategoryRecord.parse(raw_record, engine.identity())
    tokens: Tokens = {category: record.fence if record else None}
    tokens.update((tag, tag_token(raw)) for tag, raw in zip(tags, reply[blocks_end:], strict=True))
    blocks = dict(zip(numbers, reply[count + 1 : blocks_end], strict=True))
    return Sight(reply[:count], record, raw_record is not None, blocks, tokens)


def expect_list(reply: Any, length: int) -> None:
    """Refuse a reply of another shape than the command has.

    Raises:
        StoreError: ``protocol``.
    """
    if not isinstance(reply, list) or len(reply) != length:
        raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")


def tag_token(raw: Any) -> bytes | None:
    """A tag's token as Redis holds it; None when absent or malformed."""
    return raw if isinstance(raw, bytes) and len(raw) == TOKEN else None


def _parse(engine: Engine, raw: bytes | None, want: Wanted) -> Entry | MissReason | None:
    if raw is None:
        return None
    if not isinstance(raw, bytes):
        return MissReason.VERSION
    if entry.is_tombstone(raw):
        return MissReason.INVALIDATED
    try:
        return entry.parse(raw, want.address.digest, engine.sealer)
    except BadEntryError as error:
        return error.reason


def _see_further_tags(
    engine: Engine, entries: Sequence[Entry | MissReason | None], sight: Sight, deadline: Deadline
) -> Operation[None]:
    """Fetch the generations of tags that only the entries name: a second MGET."""
    named = (name for item in entries if isinstance(item, Entry) for name, _ in item.scopes)
    further = [name for name in dict.fromkeys(named) if name not in sight.tokens]
    if further:
        reply = yield Call(("MGET", *(engine.scope_name(name) for name in further)), deadline, idempotent=True)
        expect_list(reply, len(further))
        sight.tokens.update((name, tag_token(raw)) for name, raw in zip(further, reply, strict=True))


def _judge(
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


def _absent(policy: Policy, sight: Sight, found: Sequence[Found]) -> list[str]:
    """The generations to make: the category's when it has none, and what the misses of ``found`` need for a write."""
    category = category_scope(policy.name)
    missed = [name for f in found if f.reason for name, token in f.fence.scopes if token is None]
    tags = [name for name in dict.fromkeys(missed) if name != category]
    return [category, *tags] if sight.record is None else tags


def _prepare(
    engine: Engine, policy: Policy, found: Sequence[Found], sight: Sight, absent: Sequence[str], deadline: Deadline
) -> Operation[None]:
    """Make the generations that are absent; a category's first one also tells why its keys are absent."""
    try:
        made, evicted = yield from make_generations(engine, policy, absent, deadline)
    except StoreError as trouble:
        for f in found:
            f.trouble = trouble
        return
    for f in found:
        f.fence = f.fence.with_tokens(made)
    if sight.record is None and not sight.had_record and evicted == b"0":
        for f in found:
            if f.size == 0 and f.fence.own == NO_TOKEN:
                f.reason = MissReason.COLD
    sight.tokens.update(made)


def read_generations(engine: Engine, policy: Policy, scopes: Sequence[str], deadline: Deadline) -> Operation[None]:
    """Remember the tokens that ``scopes`` have now; one MGET."""
    reply = yield Call(("MGET", *(engine.scope_name(scope) for scope in scopes)), deadline, idempotent=True)
    expect_list(reply, len(scopes))
    engine.view.saw((scope, token_of(engine, policy, scope, raw)) for scope, raw in zip(scopes, reply, strict=True))


def token_of(engine: Engine, policy: Policy, scope: str, raw: Any) -> bytes | None:
    """A scope's token out of what Redis holds; None when absent, malformed or another server's."""
    if scope != category_scope(policy.name):
        return tag_token(raw)
    record = CategoryRecord.parse(raw, engine.identity()) if isinstance(raw, bytes) else None
    return record.fence if record is not None else None


def make_generations(
    engine: Engine, policy: Policy, scopes: Sequence[str], deadline: Deadline
) -> Operation[tuple[Tokens, bytes]]:
    """Create absent generations and read all of ``scopes`` back; one round trip.

    Returns:
        The tokens by scope, and how many keys the server has evicted, as it says it.
    """
    category, identity = category_scope(policy.name), engine.identity()
    proposals = [
        CategoryRecord.fresh(identity, engine.tokens) if scope == category else engine.tokens(TOKEN) for scope in scopes
    ]
    reply = yield RunScript(
        MAKE_GENERATIONS,
        [engine.scope_name(scope) for scope in scopes],
        [identity, engine.lifetime_ms(policy), *proposals],
        deadline,
        idempotent=True,
    )
    expect_list(reply, len(scopes) + 1)
    tokens = {scope: token_of(engine, policy, scope, raw) for scope, raw in zip(scopes, reply, strict=False)}
    return tokens, reply[-1]
