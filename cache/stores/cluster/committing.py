"""A commit in a cluster: compare the fence where it lives, then store the entry where it lives."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from cache.core.cluster_scripts import BEGUN, CHECK, LEASE_S, LEASE_US, MARK, NOW, PUT
from cache.core.generations import CATEGORY_RECORD
from cache.core.held import DIGEST
from cache.core.seen import block_of
from cache.core.steps import Arg, Lua, RunScript
from cache.errors import StoreError
from cache.stores.cluster.words import Answer, Part
from telemetry.vocabulary import ErrorType

_IDENTITY = slice(32, 40)
"""Where a category's record says who made it."""

_DRAFT = 5
"""Arguments of the script for each draft."""


class _Draft(NamedTuple):
    """One entry on its way, as the script's arguments have it; ``scopes`` are its conditions by number, from 0."""

    block: Arg
    entry: Arg
    data: bytes
    px: Arg
    own: Arg
    scopes: tuple[int, ...]
    slot: Arg

    @property
    def number(self) -> int:
        """Of its block."""
        return block_of(self.data[DIGEST])


def with_identity(proposal: Arg, identity: bytes) -> Arg:
    """A proposed generation in the name of all servers as they are now; a tag's, and nobody's, is left as it is."""
    if not isinstance(proposal, bytes) or len(proposal) != CATEGORY_RECORD:
        return proposal
    if not identity or proposal[_IDENTITY] == bytes(8):
        return proposal
    return proposal[: _IDENTITY.start] + identity + proposal[_IDENTITY.stop :]


def commit(step: RunScript, identity: bytes) -> Generator[list[Part], list[Answer], Any]:
    """What the commit script does, over several servers: three rounds at most, the third once for each seen block.

    Args:
        identity: of all servers together.

    Returns:
        The script's reply.

    Raises:
        StoreError: the comparison took too long for what it found to hold.
    """
    keys, args, began = step.keys, step.args, step.deadline.now()
    m, lifetime, due = int(args[0]), args[1], int(args[2])
    tokens = [with_identity(token, identity) for token in args[5 : 5 + m]]
    drafts = [_draft(keys, args, m, d) for d in range((len(keys) - m) // 2)]
    checks = [_run(CHECK, key, token, lifetime, due & 1) for key, token in zip(keys[:m], tokens, strict=True)]
    answers = yield checks + [_run(NOW, draft.entry) for draft in drafts]
    _raise_first(answers)
    if step.deadline.now() - began > LEASE_S:
        raise StoreError(ErrorType.TIMEOUT, "the fence was compared too slowly")
    seen = [answer.value for answer in answers[:m]]
    agrees = [told[0] == 1 for told in seen]
    ready = [d for d, draft in enumerate(drafts) if all(agrees[i] for i in draft.scopes)]
    terms = _Terms(keys[0], seen[0][1], lifetime, due >> 1, args[4])
    stored = (yield from _put(drafts, ready, answers[m:], terms)) if ready else set()
    verdict = b"".join(b"1" if d in stored else b"0" for d in range(len(drafts)))
    if all(agrees) and not any(told[2] for told in seen):
        return verdict
    return [verdict, *(told[1] for told in seen)]


class _Terms(NamedTuple):
    """The category's key and record, the lifetime of a block, whether one is due for another, the time in ticks."""

    category: Arg
    record: bytes
    lifetime: Arg
    due: int
    clock: Arg

    def marking(self, draft: _Draft) -> Part:
        """What fills the slot of a draft's key."""
        begun = _is_begun(self.record[48:], draft.number)
        told = (self.record[40:48], begun, self.lifetime, self.due, draft.slot, self.clock)
        return _run(MARK, draft.block, *told)


def _put(
    drafts: Sequence[_Draft], ready: Sequence[int], times: Sequence[Answer], terms: _Terms
) -> Generator[list[Part], list[Answer], set[int]]:
    """Store those whose fence agrees, each at the server whose time was taken; which were stored."""
    puts = [_putting(drafts[d], times[d]) for d in ready]
    answers = yield puts + [terms.marking(drafts[d]) for d in ready]
    _raise_first(answers)
    numbers = [drafts[d].number for d, answer in zip(ready, answers[len(puts) :], strict=True) if answer.value == 1]
    if numbers:
        _raise_first((yield [_run(BEGUN, terms.category, terms.record[40:48], *numbers)]))
    return {d for d, answer in zip(ready, answers, strict=False) if answer.value == 1}


def _putting(draft: _Draft, time: Answer) -> Part:
    until = int(time.value) + LEASE_US
    return _run(PUT, draft.entry, draft.data, draft.px, draft.own, until)._replace(at=time.spot, again=False)


def _is_begun(begun: bytes, number: int) -> int:
    return 1 if begun[number >> 3] & (0x80 >> (number & 7)) else 0


def _draft(keys: Sequence[Arg], args: Sequence[Arg], m: int, d: int) -> _Draft:
    at = 5 + m + _DRAFT * d
    data, px, own, numbers, slot = args[at : at + _DRAFT]
    packed = numbers if isinstance(numbers, bytes) else b""
    scopes = tuple(int.from_bytes(packed[i : i + 4], "big") - 1 for i in range(0, len(packed), 4))
    raw = data if isinstance(data, bytes) else b""
    return _Draft(keys[m + 2 * d], keys[m + 2 * d + 1], raw, px, own, scopes or tuple(range(m)), slot)


def _run(script: Lua, key: Arg, *args: Arg) -> Part:
    return Part((1, key, *args), key, script)


def _raise_first(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if isinstance(answer.value, Exception):
            raise answer.value
