"""Asking the budget before anything is written: what has no room is refused here, and costs the store nothing."""

from __future__ import annotations

from collections.abc import Sequence

from cache.clock import Deadline
from cache.core import keys
from cache.core.budget import KEY_BYTES, MARK_BYTES, Budget
from cache.core.budget_scripts import SPEND
from cache.core.engine import Engine, Operation
from cache.core.plan import Draft
from cache.core.policies import Policy
from cache.core.steps import RunScript
from cache.errors import StoreError
from telemetry.vocabulary import ErrorType


def admit(engine: Engine, policy: Policy, drafts: Sequence[Draft], deadline: Deadline) -> Operation[Sequence[Draft]]:
    """The drafts that the namespace's budget has room for, all of them where it has none.

    Raises:
        StoreError: the store had to be asked and did not answer properly.
    """
    budget = engine.budget
    if budget is None:
        return drafts
    if budget.due:
        yield from settle(engine, budget, deadline)
    return [draft for draft in drafts if _room(engine, budget, policy, draft)]


def settle(engine: Engine, budget: Budget, deadline: Deadline) -> Operation[None]:
    """Report what this process has written, and learn what all have; one round trip.

    Raises:
        StoreError: the store did not answer properly.
    """
    report = budget.report()
    try:
        used = yield RunScript(SPEND, [keys.spent_name(engine.namespace)], [*budget.arguments(report)], deadline)
        if not isinstance(used, int):
            raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")
    except BaseException:
        budget.failed(report)
        raise
    budget.told(used)


def mark(engine: Engine, policy: Policy, count: int) -> None:
    """Count generations or tombstones that are made whether there is room or not."""
    if engine.budget is not None and count:
        engine.budget.charge(count * MARK_BYTES, engine.lifetime_ms(policy) / 1000)


def _room(engine: Engine, budget: Budget, policy: Policy, draft: Draft) -> bool:
    wanted = draft.wanted
    made = sum(engine.view.token(scope) is None for scope in wanted.scopes[1:])
    size = KEY_BYTES + len(wanted.address.name) + len(draft.encoded.payload) + made * MARK_BYTES
    return budget.take(size, draft.ttl_s + policy.stale_window(draft.ttl_s))
