"""The commit: one run of the script compares the fences and stores what may be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cache.clock import Deadline
from cache.core import nearby
from cache.core.engine import Engine, Operation
from cache.core.generations import Fence
from cache.core.healing import heal
from cache.core.making import Tokens, make_generations, read_generations
from cache.core.plan import IGNORE_OWN, Draft, Plan
from cache.core.policies import Policy
from cache.core.scripts import COMMIT
from cache.core.steps import RunScript

Sizes = list[int | None]
"""Bytes of what was stored, None for what a fence refused."""


def commit(engine: Engine, policy: Policy, drafts: Sequence[Draft], deadline: Deadline) -> Operation[Sizes]:
    """Write drafts; the sizes in their order.

    A draft without a fence that this process's memory of the generations refused is
    tried once more under the generations as they are: its write began after they were read.

    Raises:
        StoreError: the store did not answer properly.
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
        second = yield from _again(engine, policy, [drafts[i] for i in again], current, deadline)
        for i, size in zip(again, second, strict=True):
            sizes[i] = size
    return sizes


def _again(
    engine: Engine, policy: Policy, drafts: Sequence[Draft], current: Tokens, deadline: Deadline
) -> Operation[Sizes]:
    """Try drafts once more, under the generations as they are now."""
    scopes = list(dict.fromkeys(scope for draft in drafts for scope in draft.wanted.scopes))
    if any(current.get(scope) is None for scope in scopes):
        current, _ = yield from make_generations(engine, policy, scopes, deadline)
    engine.view.saw(current.items())
    sizes, _ = yield from _send(engine, policy, [_fenced(draft, current) for draft in drafts], deadline)
    return sizes


def _fenced(draft: Draft, tokens: Tokens) -> Draft:
    scopes = tuple((scope, tokens.get(scope)) for scope in draft.wanted.scopes)
    return replace(draft, fence=Fence(scopes, own=IGNORE_OWN))


def _send(
    engine: Engine, policy: Policy, drafts: Sequence[Draft], deadline: Deadline
) -> Operation[tuple[Sizes, Tokens]]:
    """Run the script once; drafts whose fence lacks a generation are refused without it.

    Returns:
        A size or None for each draft, and the current generations if any was not as expected.
    """
    ready = [draft for draft in drafts if draft.fence is None or draft.fence.complete]
    if not ready:
        return [None] * len(drafts), {}
    tier = nearby.tier_of(engine, policy)
    ticket = tier.ticket() if tier is not None else 0
    plan = Plan(engine, policy, engine.shelf(policy.name), ready, engine.clock.time())
    try:
        reply = yield RunScript(COMMIT, plan.keys, plan.args, deadline)
        verdicts, current = plan.read(reply)
    except BaseException:
        engine.changed(names=[draft.wanted.address.name for draft in ready])
        raise
    if tier is not None:
        rows = [row.local() for row in plan.stored(verdicts)]
        nearby.wrote(tier, policy, rows, current or plan.expected(), ticket)
    elif engine.local is not None:
        engine.changed(names=[row.wanted.address.name for row in plan.stored(verdicts)])
    if current:
        engine.view.saw(current.items())
    sizes: Sizes = [len(row.data) if stored else None for row, stored in zip(plan.rows, verdicts, strict=True)]
    if len(ready) == len(drafts):
        return sizes, current
    told = iter(sizes)
    return [next(told) if draft.fence is None or draft.fence.complete else None for draft in drafts], current
