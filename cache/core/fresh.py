"""A key that has nothing under it while all its scopes are sound: the commonest miss, known at a glance.

What is none of these is left to ``reading``, which knows every case.
"""

from __future__ import annotations

from typing import Any

from cache.core import quick, seen
from cache.core.engine import Engine
from cache.core.generations import FENCE_OF_CATEGORY, CategoryRecord, Fence
from cache.core.shelves import Wanted
from cache.core.verdicts import Found


def absent(engine: Engine, want: Wanted, reply: Any) -> Found | None:
    """The miss that a reply to the question of one key shows, with the fence of a write; None: the long way must say.

    Args:
        reply: to ``want.question``.
    """
    if type(reply) is not list or len(reply) != len(want.question) - 1 or reply[0] is not None:
        return None
    if not quick.held_under(engine, want, reply):
        return None
    record, block, *tags = reply[1:]
    fence = Fence(tuple(zip(want.scopes, (record[:FENCE_OF_CATEGORY], *tags), strict=False)))
    taken_apart = CategoryRecord(fence.scopes[0][1] or b"", record[32:40], record[40:48], record[48:])
    tokens = dict(zip(want.asked, (record[:FENCE_OF_CATEGORY], *tags), strict=True))
    digest, now = want.address.digest, engine.clock.time()
    block = want.known.copies.of(seen.block_of(digest), block, taken_apart.birth, now)
    reason, trigger = seen.why_absent(digest, (want.asked, want.scopes), taken_apart, tokens, block, now)
    return Found(want, fence, reason, trigger=trigger)
