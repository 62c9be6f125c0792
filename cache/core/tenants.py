"""Tenants of one cache: each has a namespace of its own, so that nothing of one answers, or is dropped, for another.

What a tenant's engine shares with the cache's: the accounts, the policies, the store and the flights, whose names
differ by namespace. What is its own: the memory of generations and failures, and what is pending. It has no local tier.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace

from cache.core import keys
from cache.core.engine import Engine
from cache.core.generations import GenerationView
from cache.core.memory import FailureMemory

KEPT = 256
"""Tenants whose engines are found again, the latest used."""


class Tenants:
    """The engines of a cache's tenants.

    Args:
        engine: the cache's own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._lock = threading.Lock()

    def begin_anew(self) -> None:
        """In a forked child: a thread of the parent may have held a lock."""
        self._lock = threading.Lock()

    def engine(self, tenant: str) -> Engine:
        """The engine of a tenant, the same as before for the latest used.

        Raises:
            CacheKeyError: no name for a tenant.
        """
        with self._lock:
            found = self._engines.get(tenant) if isinstance(tenant, str) else None
            if found is not None:
                self._engines.move_to_end(tenant)
                return found
            made = self._engines[tenant] = self._make(tenant)
            if len(self._engines) > KEPT:
                self._engines.popitem(last=False)
            return made

    def _make(self, tenant: str) -> Engine:
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
