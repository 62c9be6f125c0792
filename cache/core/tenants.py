"""Tenants of one cache: each has a namespace of its own, so that nothing of one answers, or is dropped, for another.

What a tenant's engine shares with the cache's: the accounts, the policies, the store and the flights, whose names
differ by namespace. What is its own: the memory of generations and failures, and what is pending. It has no local tier.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from cache.core import keys
from cache.core.engine import Engine
from cache.core.generations import GenerationView
from cache.core.memory import FailureMemory

KEPT = 256
"""Tenants whose views are found again, the latest used."""

V = TypeVar("V")


class Tenants(Generic[V]):
    """The views of a cache's tenants, the latest used kept; safe for threads.

    Args:
        engine: the cache's own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._views: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def begin_anew(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def of(self, tenant: str, view: Callable[[Engine, str], V]) -> V:
        """The view of a tenant, the same as before for the latest used.

        Args:
            view: makes it from the tenant's engine and name.

        Raises:
            CacheKeyError: no name for a tenant.
        """
        with self._lock:
            found = self._views.get(tenant) if isinstance(tenant, str) else None
            if found is not None:
                self._views.move_to_end(tenant)
                return found
            made = self._views[tenant] = view(self._of(tenant), tenant)
            if len(self._views) > KEPT:
                self._views.popitem(last=False)
            return made

    def _of(self, tenant: str) -> Engine:
        engine, namespace = self._engine, keys.tenant_namespace(self._engine.namespace, tenant)
        made = replace(
            engine,
            namespace=namespace,
            hidden=engine.hidden.within(namespace) if engine.hidden is not None else None,
            view=GenerationView(),
            failures=FailureMemory(),
            local=None,
        )
        made.pending = engine.debts.of(tenant)
        return made
