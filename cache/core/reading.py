"""Reading: one MGET of the entries with everything that can invalidate them, then a verdict for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cache.clock import Deadline
from cache.core import admitting, nearby
from cache.core.asking import Reply, answer, ask, ask_for_more, blocks_of
from cache.core.engine import Engine, Operation
from cache.core.entry import Entry
from cache.core.generations import NO_TOKEN, CategoryRecord, category_scope, tag_token
from cache.core.healing import heal
from cache.core.local import LocalTier
from cache.core.lookup import MISS
from cache.core.making import Tokens, make_generations
from cache.core.policies import Policy
from cache.core.quick import Hit, glance
from cache.core.seen import block_of
from cache.core.shelves import Wanted
from cache.core.steps import Call
from cache.core.sweeping import Swept, sweep
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
    engine: Engine, policy: Policy, want: Wanted, deadline: Deadline, *, prepare: bool = False
) -> Operation[Hit | Found]:
    """As ``look`` for one key, but a plain hit is known at a glance, and its fence is not told.

    Raises:
        StoreError: the store did not answer properly.
    """
    if engine.pending.some:
        yield from heal(engine, deadline)
    tier = nearby.tier_of(engine, policy)
    if tier is None:
        reply = yield Call(want.question, deadline, True)
        hit = glance(engine, policy, want, reply, engine.clock.time())
        return hit or (yield from look_on(engine, policy, want, reply, deadline, prepare=prepare))
    hit = nearby.hit(engine, policy, tier, want, engine.clock.time())
    if hit is not None:
        return hit
    # what is kept here must be taken apart first: no short cut
    (found,) = yield from _look_far(_Terms(engine, policy, deadline, prepare, tier), [want], [None])
    return found  # type: ignore[no-any-return]


def look_over(
    engine: Engine, policy: Policy, wanted: Sequence[Wanted], deadline: Deadline, *, prepare: bool = False
) -> Operation[Swept]:
    """As ``look``, but plain hits are known in one pass, and their fences are not told.

    Raises:
        StoreError: the store did not answer properly.
    """
    if engine.pending.some:
        yield from heal(engine, deadline)
    tier = nearby.tier_of(engine, policy)
    ticket = 0
    if tier is None:
        reply = yield from ask(engine, wanted, deadline)
        swept = sweep(engine, policy, wanted, reply.raw, reply.tokens)
        if reply.blocks:
            _meet(engine, policy, wanted, swept, reply)
        others = swept.others()
        if not others:
            return swept
        reply.raw = [reply.raw[place] for place in others]
    else:
        swept = nearby.sweep(engine, policy, tier, wanted, engine.clock.time())
        others = swept.others()
        if not others:
            return swept
        ticket = tier.ticket()
        reply = yield from ask(engine, [wanted[place] for place in others], deadline)
    terms = _Terms(engine, policy, deadline, prepare, tier)
    found = yield from _conclude(terms, [wanted[place] for place in others], reply, ticket)
    swept.found.update(zip(others, found, strict=True))
    return swept


def _meet(engine: Engine, policy: Policy, wanted: Sequence[Wanted], swept: Swept, reply: Reply) -> None:
    """Remember which keys were hits: their blocks are asked for only once they are gone."""
    record = CategoryRecord.parse(next(iter(reply.tokens.values())), engine.identity())
    if record is None or not swept.ages:
        return
    shelf = engine.shelf(policy.name)
    for want, value in zip(wanted, swept.values, strict=True):
        if value is not MISS and want.met != record.birth:
            shelf.meet(want, record.birth)


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
    (found,) = yield from _conclude(terms, [want], answer(want, reply))
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
    reply = yield from ask(terms.engine, rest, terms.deadline)
    far = iter((yield from _conclude(terms, rest, reply, ticket)))
    return [one or next(far) for one in near]


def _sight(engine: Engine, reply: Reply) -> Sight:
    """A reply, taken apart."""
    category, *tags = reply.tokens
    raw_record = reply.tokens[category]
    record = CategoryRecord.parse(raw_record, engine.identity())
    tokens: Tokens = {category: record.fence if record else None}
    tokens.update((name, tag_token(reply.tokens[name])) for name in tags)
    foreign = CategoryRecord.parse(raw_record, b"") if record is None else None
    return Sight(reply.raw, record, foreign, engine.view.token(category) is not None, reply.blocks, tokens)


def _conclude(terms: _Terms, wanted: Sequence[Wanted], reply: Reply, ticket: int = 0) -> Operation[list[Found]]:
    """The verdicts, the long way; makes what a write after them needs. ``ticket`` was drawn before the look."""
    engine, policy, deadline, tier = terms.engine, terms.policy, terms.deadline, terms.tier
    sight = _sight(engine, reply)
    entries = [parse(engine, raw, want) for raw, want in zip(sight.raw, wanted, strict=True)]
    unknown = yield from _see_more(engine, wanted, entries, sight, deadline)
    rows = zip(wanted, entries, sight.raw, strict=True)
    found = [judge(engine, policy, sight, want, item, raw) for want, item, raw in rows]
    _learn(engine, policy, wanted, entries)
    for f in found if unknown else ():
        f.trouble = unknown if f.size == 0 else None
    # what has no room is not written after this look, and needs no generations
    full = engine.budget is not None and engine.budget.spent
    absent = _absent(policy, sight, found if terms.prepare and not full else ())
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


def _learn(
    engine: Engine, policy: Policy, wanted: Sequence[Wanted], entries: Sequence[Entry | MissReason | None]
) -> None:
    """Remember the scopes of entries that have others than were asked for."""
    for want, item in zip(wanted, entries, strict=True):
        if isinstance(item, Entry) and (scopes := tuple([name for name, _ in item.scopes])) != want.asked:
            engine.shelf(policy.name).learn(want, scopes)


def _see_more(
    engine: Engine,
    wanted: Sequence[Wanted],
    entries: Sequence[Entry | MissReason | None],
    sight: Sight,
    deadline: Deadline,
) -> Operation[StoreError | None]:
    """A second MGET where there is need: of generations that only the entries name, of blocks that nobody asked for.

    Returns:
        Why it cannot be told what became of the absent keys; None when all is well.

    Raises:
        StoreError: the generations did not come.
    """
    named = (name for item in entries if isinstance(item, Entry) for name, _ in item.scopes)
    further = [name for name in dict.fromkeys(named) if name not in sight.tokens]
    rows = zip(wanted, entries, strict=True)
    absent = [want for want, item in rows if item is None and block_of(want.address.digest) not in sight.blocks]
    missing = blocks_of(sight.record or sight.foreign, absent)
    sight.blocks.update((block_of(want.address.digest), None) for want in absent)
    if not further and not missing:
        return None
    try:
        tokens, blocks = yield from ask_for_more(engine, further, missing, deadline)
    except StoreError as trouble:
        if further:
            raise
        return trouble
    sight.tokens.update((name, tag_token(raw)) for name, raw in zip(further, tokens, strict=True))
    sight.blocks.update(blocks)
    return None


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
    admitting.mark(engine, policy, len(absent))
    try:
        made, evicted = yield from make_generations(engine, policy, absent, deadline)
    except StoreError as trouble:
        for f in found:
            f.trouble = trouble
        return
    for f in found:
        f.fence = f.fence.with_tokens(made)
    if sight.record is None and sight.foreign is None:
        # a server that never evicted was emptied, or nobody ever wrote to the category
        reason = MissReason.COLD if evicted == b"0" else MissReason.UNKNOWN
        for f in found:
            if f.size == 0 and f.fence.own == NO_TOKEN:
                f.reason = reason
    sight.tokens.update(made)


@dataclass(frozen=True, slots=True)
class Examined:
    """A verdict on one key and what it was made of.

    Args:
        item: the entry, valid or not; None when there is none, or the reason why it cannot be believed.
        tokens: the scopes' tokens now.
    """

    found: Found
    item: Entry | MissReason | None
    tokens: Tokens


def examine(engine: Engine, policy: Policy, want: Wanted, deadline: Deadline) -> Operation[Examined]:
    """The verdict on one key of Redis, with what it was made of.

    Raises:
        StoreError: the store did not answer properly.
    """
    if engine.pending.some:
        yield from heal(engine, deadline)
    reply = yield from ask(engine, [want], deadline)
    sight = _sight(engine, reply)
    item = parse(engine, sight.raw[0], want)
    if sight.record is None:
        # what a category without a record means is found out by making one, as any lookup does
        (found,) = yield from look(engine, policy, [want], deadline, local=False)
        return Examined(found, item, sight.tokens)
    trouble = yield from _see_more(engine, [want], [item], sight, deadline)
    found = judge(engine, policy, sight, want, item, sight.raw[0])
    found.trouble = trouble if found.size == 0 else None
    return Examined(found, item, sight.tokens)
