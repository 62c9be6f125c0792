"""Questions to the store: one MGET of entries with everything that can invalidate them, and what the replies say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cache.clock import Deadline
from cache.core.engine import Engine, Operation
from cache.core.generations import CategoryRecord
from cache.core.making import expect_list
from cache.core.seen import begun, block_of
from cache.core.shelves import Wanted
from cache.core.steps import Call

_SCOPES = 4
"""Place of the first tag in a key's question; the category's record stands at 2, the block at 3."""


@dataclass(slots=True)
class Reply:
    """What stands in Redis: under the keys, in the blocks of ``seen`` by their numbers, of the scopes by their names.

    Args:
        blocks: those that were asked for: a question of many keys asks for none of a key whose entry was seen before.
    """

    raw: list[Any]
    blocks: dict[int, Any]
    tokens: dict[str, Any]


def ask(engine: Engine, wanted: Sequence[Wanted], deadline: Deadline) -> Operation[Reply]:
    """Ask for the entries of some keys of one category.

    Raises:
        StoreError: the store did not answer properly.
    """
    first = wanted[0]
    if len(wanted) == 1:
        return answer(first, (yield Call(first.question, deadline, True)))
    names = [want.address.name for want in wanted]
    scopes = {first.scopes[0]: first.question[2]}
    # keys under the same scopes share what is known of them: each set of scopes is looked at once
    for want in {want.known: want for want in wanted}.values():
        scopes.update(zip(want.asked[1:], want.question[_SCOPES:], strict=True))
    blocks = {block_of(want.address.digest): want.question[_SCOPES - 1] for want in wanted if not want.met}
    reply = yield Call(("MGET", *names, *scopes.values(), *blocks.values()), deadline, True)
    count, end = len(names), len(names) + len(scopes)
    expect_list(reply, end + len(blocks))
    tokens = dict(zip(scopes, reply[count:end], strict=True))
    return Reply(reply[:count], dict(zip(blocks, reply[end:], strict=True)), tokens)


def answer(want: Wanted, reply: Any) -> Reply:
    """What the reply to one key's question says.

    Raises:
        StoreError: it is of another shape.
    """
    expect_list(reply, len(want.question) - 1)
    tokens = dict(zip(want.asked, (reply[1], *reply[3:]), strict=True))
    return Reply(reply[:1], {block_of(want.address.digest): reply[2]}, tokens)


def ask_for_more(
    engine: Engine, scopes: Sequence[str], blocks: Mapping[int, str], deadline: Deadline
) -> Operation[tuple[list[Any], dict[int, Any]]]:
    """Ask for what a reply has shown to be needed beside it.

    Args:
        scopes: named by entries alone.
        blocks: their names by their numbers.

    Returns:
        What stands under the scopes, in order, and in the blocks.

    Raises:
        StoreError: the store did not answer properly.
    """
    names = [engine.scope_name(scope) for scope in scopes]
    reply = yield Call(("MGET", *names, *blocks.values()), deadline, True)
    expect_list(reply, len(names) + len(blocks))
    return reply[: len(names)], dict(zip(blocks, reply[len(names) :], strict=True))


def blocks_of(record: CategoryRecord | None, absent: Iterable[Wanted]) -> dict[int, str]:
    """The blocks that tell why keys are absent: none without a record, nor where the record says it.

    That a block was never begun says it all.

    Returns:
        Their names by their numbers.
    """
    if record is None:
        return {}
    named = {block_of(want.address.digest): want.question[_SCOPES - 1] for want in absent}
    return {number: name for number, name in named.items() if begun(record, number)}
