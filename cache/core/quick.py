"""Plain hits, known at a glance; what is none is left to ``verdicts``, which knows every case.

A plain hit is a fresh entry of its key, made from no files, under just the scopes that are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cache.core import codecs
from cache.core.engine import Engine
from cache.core.entry import open_one
from cache.core.generations import CATEGORY_RECORD, FENCE_OF_CATEGORY, TOKEN, made_by
from cache.core.policies import Policy
from cache.core.shelves import Wanted
from cache.errors import CacheValueError
from telemetry.events import OperationEvent
from telemetry.vocabulary import Outcome, Tier

Hit = tuple[Any, float, float, float, Tier]
"""The value, decoded for this caller; created and expires, seconds since the epoch; seconds that computing it took."""


def count(event: OperationEvent, hit: Hit, now: float, n: int = 1) -> Any:
    """Count ``n`` lookups that a hit answers; its value."""
    value, created, expires, cost_s, tier = hit
    event.looked(Outcome.HIT, tier=tier, n=n, age_s=max(0.0, now - created), cost_s=cost_s)
    event.ttl_s = expires - now
    return value


def glance(engine: Engine, policy: Policy, want: Wanted, reply: Any, now: float) -> Hit | None:
    """The hit that a reply to the question of one key shows; None where the long way must say.

    Args:
        reply: to ``want.question``.
        now: seconds since the epoch.
    """
    if type(reply) is not list or len(reply) != len(want.question) - 1:
        return None
    data = reply[0]
    if data is None:
        return None
    record, tags, identity, held = want.known.judged
    if reply[1] != record or engine.identity() != identity or (len(reply) > _NO_TAGS and reply[3:] != tags):
        held = _judged(engine, want, reply)
        if not held:
            return None
    opened = open_one(data, want.address.digest, held, len(want.asked), engine.sealer)
    if opened is None or opened[4] <= now:
        return None
    try:
        value = codecs.decode(opened[0], opened[1], opened[2], max_bytes=policy.max_bytes)
    except CacheValueError:
        return None
    return value, opened[3], opened[4], opened[5], Tier.REDIS


def _judged(engine: Engine, want: Wanted, reply: list[Any]) -> bytes:
    """The scopes with their tokens, as an entry holds them, kept for the next look; empty when not all are sound."""
    record, tags, identity = reply[1], reply[3:], engine.identity()
    if not is_sound(record, identity):
        return b""
    held = held_of(want, want.labels[0] + record[:TOKEN], dict(zip(want.asked[1:], tags, strict=True)))
    if held:
        engine.view.saw(zip(want.asked, (record[:FENCE_OF_CATEGORY], *tags), strict=True))
        want.known.judged = record, tags, identity, held
    return held


def held_under(engine: Engine, want: Wanted, reply: list[Any]) -> bytes:
    """The same, as it is known already or judged now."""
    record, tags, identity, held = want.known.judged
    same = reply[1] == record and engine.identity() == identity and reply[3:] == tags
    return held if same else _judged(engine, want, reply)


_NO_TAGS = 3
"""Parts of the reply for a key without tags: entry, record, block."""


def is_sound(record: Any, identity: bytes) -> bool:
    """True for a category's record that this server made."""
    return type(record) is bytes and len(record) == CATEGORY_RECORD and made_by(record, identity)


def held_of(want: Wanted, only: bytes, tokens: Mapping[str, Any]) -> bytes:
    """The scopes with their tokens, as an entry made under them holds them; empty when a token is none."""
    parts = [only]
    for label, scope in zip(want.labels[1:], want.asked[1:], strict=True):
        token = tokens[scope]
        if type(token) is not bytes or len(token) != TOKEN:
            return b""
        parts += (label, token)
    return b"".join(parts)
