"""Reading: one MGET of the entries with everything that can invalidate them, then a verdict for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.clock import Deadline
from cache.core.engine import Engine, Operation
from cache.core.entry import Entry
from cache.core.generations import NO_TOKEN, CategoryRecord, category_scope
from cache.core.healing import heal
from cache.core.making import Tokens, expect_list, make_generations, tag_token
from cache.core.policies import Policy
from cache.core.quick import plain_hit
from cache.core.seen import block_of
from cache.core.shelves import Wanted
from cache.core.steps import Call
from cache.core.verdicts import Found, Sight, judge, parse
from cache.errors import StoreError
from telemetry.vocabulary import MissReason


def look_one(
    engine: Engine, policy: Policy, want: Wanted, deadline: Deadline, *, prepare: bool = False
) -> Operation[Found]:
    """Look one key up; as ``look``, but a plain hit is known at a glance.

    Raises:
        StoreError: the store did not answer properly.
    """
    if engine.pending:
        yield from heal(engine, deadline)
    reply = yield Call(want.question, deadline, True)
    expect_list(reply, len(want.question) - 1)
    found = plain_hit(engine, policy, want, reply[0], (reply[1], *reply[3:]), engine.clock.time())
    if found is None:
        sight = _sight(engine, want.scopes, reply[:1], reply[1], {block_of(want.address.digest): reply[2]}, reply[3:])
        (found,) = yield from _conclude(engine, policy, [want], sight, deadline, prepare)
    return found


def look(
    engine: Engine, policy: Policy, wanted: Sequence[Wanted], deadline: Deadline, *, prepare: bool = False
) -> Operation[list[Found]]:
    """Look keys of one category up.

    Args:
        prepare: make absent generations of keys that miss, so that a computation's write can be fenced.

    Returns:
        A verdict for each of ``wanted``, in order.

    Raises:
        StoreError: the store did not answer properly.
    """
    if engine.pending:
        yield from heal(engine, deadline)
    tags = {scope: name for want in wanted for scope, name in zip(want.scopes[1:], want.question[4:], strict=True)}
    blocks = {block_of(want.address.digest): want.question[3] for want in wanted}
    names = [want.address.name for want in wanted]
    scope, count, end = engine.shelves[policy.name].scope, len(names), len(names) + 1 + len(blocks)
    question = ("MGET", *names, engine.scope_name(scope), *blocks.values(), *tags.values())
    reply = yield Call(question, deadline, True)
    expect_list(reply, len(question) - 1)
    tokens, now = dict(zip(tags, reply[end:], strict=True)), engine.clock.time()
    glances = [
        plain_hit(engine, policy, want, raw, [reply[count], *[tokens[tag] for tag in want.scopes[1:]]], now)
        for want, raw in zip(wanted, reply[:count], strict=True)
    ]
    rest = [i for i, found in enumerate(glances) if found is None]
    if rest:
        held = dict(zip(blocks, reply[count + 1 : end], strict=True))
        sight = _sight(engine, (scope, *tags), [reply[i] for i in rest], reply[count], held, reply[end:])
        found = yield from _conclude(engine, policy, [wanted[i] for i in rest], sight, deadline, prepare)
        for i, one in zip(rest, found, strict=True):
            glances[i] = one
    return [found for found in glances if found is not None]


def _sight(
    engine: Engine,
    scopes: Sequence[str],
    raw: list[Any],
    raw_record: Any,
    blocks: dict[int, Any],
    tags: Sequence[Any],
) -> Sight:
    """What a reply shows; ``scopes`` are the category and the tags that ``tags`` are the tokens of."""
    record = CategoryRecord.parse(raw_record, engine.identity())
    tokens: Tokens = {scopes[0]: record.fence if record else None}
    tokens.update((name, tag_token(token)) for name, token in zip(scopes[1:], tags, strict=True))
    known_before = engine.view.token(scopes[0]) is not None
    return Sight(raw, record, raw_record is not None or known_before, blocks, tokens)


def _conclude(
    engine: Engine, policy: Policy, wanted: Sequence[Wanted], sight: Sight, deadline: Deadline, prepare: bool
) -> Operation[list[Found]]:
    """The verdicts on what is no plain hit; makes what a write after them needs."""
    entries = [parse(engine, raw, want) for raw, want in zip(sight.raw, wanted, strict=True)]
    yield from _see_further_tags(engine, entries, sight, deadline)
    rows = zip(wanted, entries, sight.raw, strict=True)
    found = [judge(engine, policy, sight, want, item, raw) for want, item, raw in rows]
    absent = _absent(policy, sight, found if prepare else ())
    if absent:
        yield from _prepare(engine, policy, found, sight, absent, deadline)
    engine.view.saw(sight.tokens.items())
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
