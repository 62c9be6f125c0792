"""Generations of one category in Redis: read, and made where they are absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.clock import Deadline
from cache.core.engine import Engine, Operation
from cache.core.generations import TOKEN, CategoryRecord, category_scope, token_in
from cache.core.marks import marked
from cache.core.policies import Policy
from cache.core.scripts import MAKE_GENERATIONS
from cache.core.steps import Call, RunScript
from cache.errors import StoreError
from telemetry.vocabulary import ErrorType

Tokens = dict[str, bytes | None]


def expect_list(reply: Any, length: int) -> None:
    """Refuse a reply of another shape than the command has.

    Raises:
        StoreError: ``protocol``.
    """
    if not isinstance(reply, list) or len(reply) != length:
        raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")


def read_generations(engine: Engine, policy: Policy, scopes: Sequence[str], deadline: Deadline) -> Operation[None]:
    """Remember the tokens that ``scopes`` have now; one MGET."""
    reply = yield Call(("MGET", *(engine.scope_name(scope) for scope in scopes)), deadline, idempotent=True)
    expect_list(reply, len(scopes))
    engine.view.saw((scope, token_in(scope, raw, engine.identity())) for scope, raw in zip(scopes, reply, strict=True))


def make_generations(
    engine: Engine, policy: Policy, scopes: Sequence[str], deadline: Deadline
) -> Operation[tuple[Tokens, bytes]]:
    """Create absent generations and read all of ``scopes`` back; one round trip.

    Returns:
        The tokens by scope, and how many keys the server has evicted, as it says it.
    """
    category, identity = category_scope(policy.name), engine.identity()
    proposals = [
        CategoryRecord.fresh(identity, engine.tokens) if scope == category else marked(engine.tokens(TOKEN))
        for scope in scopes
    ]
    reply = yield RunScript(
        MAKE_GENERATIONS,
        [engine.scope_name(scope) for scope in scopes],
        [identity, engine.lifetime_ms(policy), *proposals],
        deadline,
        idempotent=True,
    )
    expect_list(reply, len(scopes) + 1)
    tokens = {scope: token_in(scope, raw, engine.identity()) for scope, raw in zip(scopes, reply, strict=False)}
    return tokens, reply[-1]
