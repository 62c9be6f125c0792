"""Hits that need no step: what this process keeps is answered without an operation of its own.

``operation -> step -> runner`` is the way of everything that may ask the store. A hit in the local tier asks nobody;
whatever is not one is left to that way, and so is every doubt.
"""

from __future__ import annotations

from typing import Any

from cache.core import nearby
from cache.core.engine import Engine
from cache.core.lookup import MISS
from cache.core.shelves import Shelf, Wanted
from telemetry.vocabulary import Operation, Tier


class Answers:
    """Answers one operation's hits from the local tier.

    Args:
        engine: of the cache.
        operation: what the hits are counted as.

    Attributes:
        any: False when no category is kept in the process.
    """

    __slots__ = ("_accounts", "_engine", "_now", "_record", "_shelves", "_wall", "any")

    def __init__(self, engine: Engine, operation: Operation) -> None:
        self._engine, recorder = engine, engine.recorder
        # one that is to be made anew ahead of its end needs the operation
        self._shelves: dict[str, Shelf] = {
            name: engine.shelves[name]
            for name, policy in engine.policies.items()
            if engine.enabled and policy.tier is Tier.LOCAL and not policy.refresh_ahead
        }
        self.any = bool(self._shelves)
        self._accounts = {name: recorder.ledger.account(name, operation) for name in self._shelves}
        self._now, self._record, self._wall = recorder.now, recorder.hit_at_once, engine.clock.time

    def find(self, category: Any, key: Any) -> Any:
        """The value of a hit; ``MISS`` where the ordinary way has to be taken, which counts whatever it finds.

        Raises:
            CacheKeyError: the key cannot be encoded.
        """
        try:
            shelf = self._shelves.get(category)
        except TypeError:
            return MISS
        return MISS if shelf is None else self.answer(category, shelf.want(key))

    def answer(self, category: str, want: Wanted) -> Any:
        """As ``find``, of what is known to be wanted."""
        shelf = self._shelves.get(category)
        if shelf is None:
            return MISS
        began = self._now()
        tier = nearby.tier_of(self._engine, shelf.policy)
        if tier is None:
            return MISS
        now = self._wall()
        item = nearby.held(self._engine, tier, want, now)
        if item is None:
            return MISS
        created, expires, cost_s = item.times
        value = nearby.value_of(shelf.policy, item)
        served = (now - created if now > created else 0.0, cost_s, expires - now)
        if value is MISS or not self._record(self._accounts[category], began, want.address.digest, served):
            return MISS
        return value
