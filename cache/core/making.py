"""Generations of one category in Redis: read, and made where they are absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.clock import Deadline
from cache.core.engine import Engine, Operation
from cache.core.generations import TOKEN, CategoryRecord, category_scope
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


def tag_token(raw: Any) -> bytes | None:
    """A tag's token as Redis holds it; None when absent or malformed."""
    return raw if isinstance(raw, bytes) and len(raw) == TOKEN else None


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
