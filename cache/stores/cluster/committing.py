"""A commit in a cluster: compare the fence where it lives, then store the entry where it lives."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from cache.core.cluster_scripts import BEGUN, CHECK, LEASE_S, LEASE_US, MARK, NOW, PUT
from cache.core.generations import CATEGORY_RECORD
from cache.core.steps import Arg, Lua, RunScript
from cache.errors import StoreError
from cache.stores.cluster.words import Answer, Part
from telemetry.vocabulary import ErrorType

_DRAFT = 6
"""Arguments of the script for each draft."""


class _Draft(NamedTuple):
    """One entry on its way, as the script's arguments have it."""

    entry: Arg
    block: Arg
    data: Arg
    px: Arg
    own: Arg
    number: int
    bits: Arg
    scopes: tuple[int, ...]


def with_identity(proposal: Arg, identity: bytes) -> Arg:
    """A proposed generation in the name of all servers as they are now; a tag's is nobody's."""
    if isinstance(proposal, bytes) and len(proposal) == CATEGORY_RECORD and identity:
        return proposal[:32] + identity + proposal[40:]
    return proposal


def commit(step: RunScript, identity: bytes) -> Generator[list[Part], list[Answer], list[Any]]:
    """What the commit script does, over several servers: three rounds at most, the third once for each seen block.

    Args:
        identity: of all servers together.

    Returns:
        The script's reply.

    Raises:
        StoreError: the comparison took too long for what it found to hold.
    """
    keys, args, began = step.keys, step.args, step.deadline.now()
    m, n, lifetime = int(args[0]), int(args[1]), args[2]
    conditions = [(args[3 + 2 * i], with_identity(args[4 + 2 * i], identity)) for i in range(m)]
    drafts = [_draft(keys, args, m, d) for d in range(n)]
    checks = [_run(CHECK, key, mode, token, lifetime) for key, (mode, token) in zip(keys[:m], conditions, strict=True)]
    answers = yield checks + [_run(NOW, draft.entry) for draft in drafts]
    _raise_first(answers)
    if step.deadline.now() - began > LEASE_S:
        raise StoreError(ErrorType.TIMEOUT, "the fence was compared too slowly")
    seen = [answer.value for answer in answers[:m]]
    agrees, record = [told[0] == 1 for told in seen], seen[0][1]
    ready = [d for d, draft in enumerate(drafts) if all(agrees[i - 1] for i in draft.scopes)]
    stored = yield from _put(drafts, ready, answers[m:], record, lifetime, keys[0])
    reply: list[Any] = [b"".join(b"1" if d in stored else b"0" for d in range(n))]
    if not all(agrees) or any(told[2] for told in seen):
        reply += [told[1] for told in seen]
    return reply


def _put(
    drafts: Sequence[_Draft], ready: Sequence[int], times: Sequence[Answer], record: bytes, lifetime: Arg, category: Arg
) -> Generator[list[Part], list[Answer], set[int]]:
    """Store those whose fence agrees, each at the server whose time was taken; which were stored."""
    if not ready:
        return set()
    puts = [
        _run(PUT, (draft := drafts[d]).entry, draft.data, draft.px, draft.own, int(times[d].value) + LEASE_US)._replace(
            at=times[d].spot, again=False
        )
        for d in ready
    ]
    birth, begun = record[40:48], record[48:]
    marks = [
        _run(MARK, (draft := drafts[d]).block, birth, _is_begun(begun, draft.number), draft.bits, lifetime)
        for d in ready
    ]
    answers = yield puts + marks
    _raise_first(answers)
    numbers = [drafts[d].number for d, answer in zip(ready, answers[len(puts) :], strict=True) if answer.value == 1]
    if numbers:
        _raise_first((yield [_run(BEGUN, category, birth, *numbers)]))
    return {d for d, answer in zip(ready, answers, strict=False) if answer.value == 1}


def _is_begun(begun: bytes, number: int) -> int:
    return 1 if begun[number >> 3] & (0x80 >> (number & 7)) else 0


def _draft(keys: Sequence[Arg], args: Sequence[Arg], m: int, d: int) -> _Draft:
    at = 3 + 2 * m + _DRAFT * d
    data, px, own, number, bits, scopes = args[at : at + _DRAFT]
    packed = scopes if isinstance(scopes, bytes) else b""
    indexes = tuple(int.from_bytes(packed[i : i + 4], "big") for i in range(0, len(packed), 4))
    return _Draft(keys[m + 2 * d], keys[m + 2 * d + 1], data, px, own, int(number), bits, indexes)


def _run(script: Lua, key: Arg, *args: Arg) -> Part:
    return Part((1, key, *args), key, script)


def _raise_first(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if isinstance(answer.value, Exception):
            raise answer.value
