"""Reading: one MGET of the entries with everything that can invalidate them, then a verdict for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cache.clock import Deadline
from cache.core import nearby
from cache.core.engine import Engine, Operation
from cache.core.entry import Entry
from cache.core.generations import NO_TOKEN, CategoryRecord, category_scope, tag_token
from cache.core.healing import heal
from cache.core.local import LocalTier
from cache.core.making import Tokens, expect_list, make_generations
from cache.core.policies import Policy
from cache.core.quick import Hit, hits
from cache.core.seen import block_of
from cache.core.shelves import Wanted
from cache.core.steps import Call
from cache.core.verdicts import Found, Sight, judge, parse
from cache.errors import StoreError
from telemetry.vocabulary import MissReason, Tier


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
    if engine.pending.some:
        yield from heal(engine, deadline)
    tier = nearby.tier_of(engine, policy) if local else None
    now = engine.clock.time()
    near = [None if tier is None else nearby.found(engine, policy, tier, want, now) for want in wanted]
    return (yield from _look_far(_Terms(engine, policy, deadline, prepare, tier), wanted, near))


def look_quickly(
    engine: Engine, policy: Policy, wanted: Sequence[Wanted], deadline: Deadline, *, prepare: bool = False
) -> Operation[list[Hit | Found]]:
    """As ``look``, but a plain hit is known at a glance, and its fence is not told.

    Raises:
        StoreError: the store did not answer properly.
    """
    if engine.pending.some:
        yield from heal(engine, deadline)
    tier = nearby.tier_of(engine, policy)
    if tier is not None:
        now = engine.clock.time()
        near = [nearby.hit(engine, policy, tier, want, now) for want in wanted]
        # what is kept here must be taken apart first: no short cut
        return (yield from _look_far(_Terms(engine, policy, deadline, prepare, tier), wanted, near))
    reply = yield from _ask(engine, wanted, deadline)
    found: list[Any] = hits(engine, policy, wanted, reply.raw, reply.tokens)
    rest = [i for i, hit in enumerate(found) if hit is None]
    if rest:
        reply.raw = [reply.raw[i] for i in rest]
        more = yield from _conclude(_Terms(engine, policy, deadline, prepare), [wanted[i] for i in rest], reply)
        for i, one in zip(rest, more, strict=True):
            found[i] = one
    return found


def is_far(engine: Engine, policy: Policy) -> bool:
    """True when a look of this category begins by asking Redis."""
    return not engine.pending.some and (engine.local is None or policy.tier is not Tier.LOCAL)


def look_on(
    engine: Engine, policy: Policy, want: Wanted, reply: Any, deadline: Deadline, *, prepare: bool = False
) -> Operation[Found]:
    """The verdict on one key of which ``reply`` to its question has come already.

    Raises:
        StoreError: the store did not answer properly.
    """
    terms = _Terms(engine, policy, deadline, prepare)
    (found,) = yield from _conclude(terms, [want], _answer(want, reply))
    return found


@dataclass(slots=True)
class _Terms:
    """On what terms is looked; ``tier`` keeps the hits."""

    engine: Engine
    policy: Policy
    deadline: Deadline
    prepare: bool
    tier: LocalTier | None = None


def _look_far(terms: _Terms, wanted: Sequence[Wanted], near: list[Any]) -> Operation[list[Any]]:
    """Fill what is None of ``near`` from Redis."""
    rest = [want for want, found in zip(wanted, near, strict=True) if found is None]
    if not rest:
        return near
    ticket = terms.tier.ticket() if terms.tier is not None else 0
    reply = yield from _ask(terms.engine, rest, terms.deadline)
    far = iter((yield from _conclude(terms, rest, reply, ticket)))
    return [one or next(far) for one in near]


@dataclass(slots=True)
class _Reply:
    """What stands in Redis: under the keys, of the seen-filter by its blocks' numbers, of the scopes by their names."""

    raw: list[Any]
    blocks: dict[int, Any]
    tokens: dict[str, Any]


def _ask(engine: Engine, wanted: Sequence[Wanted], deadline: Deadline) -> Operation[_Reply]:
    if len(wanted) == 1:
        return _answer(wanted[0], (yield Call(wanted[0].question, deadline, True)))
    names = [want.address.name for want in wanted]
    blocks = {block_of(want.address.digest): want.question[3] for want in wanted}
    scopes = {wanted[0].scopes[0]: wanted[0].question[2]}
    for want in wanted:
        if len(want.scopes) > 1:
            scopes.update(zip(want.scopes[1:], want.question[4:], strict=True))
    reply = yield Call(("MGET", *names, *blocks.values(), *scopes.values()), deadline, True)
    count, end = len(names), len(names) + len(blocks)
    expect_list(reply, end + len(scopes))
    tokens = dict(zip(scopes, reply[end:], strict=True))
    return _Reply(reply[:count], dict(zip(blocks, reply[count:end], strict=True)), tokens)


def _answer(want: Wanted, reply: Any) -> _Reply:
    """What the reply to one key's question says."""
    expect_list(reply, len(want.question) - 1)
    tokens = dict(zip(want.scopes, (reply[1], *reply[3:]), strict=True))
    return _Reply(reply[:1], {block_of(want.address.digest): reply[2]}, tokens)


def _sight(engine: Engine, reply: _Reply) -> Sight:
    """A reply, taken apart."""
    category, *tags = reply.tokens
    raw_record = reply.tokens[category]
    record = CategoryRecord.parse(raw_record, engine.identity())
    tokens: Tokens = {category: record.fence if record else None}
    tokens.update((name, tag_token(reply.tokens[name])) for name in tags)
    known_before = engine.view.token(category) is not None
    return Sight(reply.raw, record, raw_record is not None or known_before, reply.blocks, tokens)


def _conclude(terms: _Terms, wanted: Sequence[Wanted], reply: _Reply, ticket: int = 0) -> Operation[list[Found]]:
    """The verdicts, the long way; makes what a write after them needs. ``ticket`` was drawn before the look."""
    engine, policy, deadline, tier = terms.engine, terms.policy, terms.deadline, terms.tier
    sight = _sight(engine, reply)
    entries = [parse(engine, raw, want) for raw, want in zip(sight.raw, wanted, strict=True)]
    yield from _see_further_tags(engine, entries, sight, deadline)
    rows = zip(wanted, entries, sight.raw, strict=True)
    found = [judge(engine, policy, sight, want, item, raw) for want, item, raw in rows]
    absent = _absent(policy, sight, found if terms.prepare else ())
    if absent:
        yield from _prepare(engine, policy, found, sight, absent, deadline)
    engine.view.saw(sight.tokens.items())
    if tier is not None:
        kept = [
            (f.wanted.address.name, raw, f.entry, f.value)
            for raw, f in zip(sight.raw, found, strict=True)
            if f.reason is None and raw is not None and isinstance(f.entry, Entry)
        ]
        nearby.keep(tier, kept, sight.tokens, ticket)
    return found


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
