"""Invalidations that the store did not take: kept until it does, so that nothing old is served after it is back."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from weakref import WeakValueDictionary

PENDING = 1024
"""Beyond this many pending scopes and keys, whole categories are invalidated instead."""

OWING = 4096
"""Tenants with pending invalidations that are kept by name; beyond that all are in doubt."""


class Pending:
    """What is still to be invalidated; bounded, safe for threads.

    Args:
        categories: scopes of all categories, which replace everything else when there is too much of it.
    """

    def __init__(self, categories: Iterable[str] = ()) -> None:
        self._categories = tuple(categories)
        self._scopes: dict[str, None] = {}
        self._names: dict[str, None] = {}
        self._lock = threading.Lock()
        self.some = False
        """True while anything is pending."""

    def begin_anew(self) -> None:
        """In a forked child: a thread of the parent may have held the lock; what is pending is so here too."""
        self._lock = threading.Lock()

    def add(self, *, scopes: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """Keep scopes and keys (their Redis names) for later."""
        with self._lock:
            self._scopes.update(dict.fromkeys(scopes))
            self._names.update(dict.fromkeys(names))
            if len(self._scopes) + len(self._names) > PENDING:
                self._scopes, self._names = dict.fromkeys(self._categories), {}
            self.some = bool(self._scopes or self._names)

    def snapshot(self) -> tuple[list[str], list[str]]:
        """The scopes and keys that are pending now."""
        with self._lock:
            return list(self._scopes), list(self._names)

    def done(self, scopes: Sequence[str], names: Sequence[str]) -> None:
        """Strike off what was carried out."""
        with self._lock:
            for scope in scopes:
                self._scopes.pop(scope, None)
            for name in names:
                self._names.pop(name, None)
            self.some = bool(self._scopes or self._names)


class _Owed(Pending):
    """What is pending of one tenant: remembered while there is any, though nobody holds the tenant's cache."""

    def __init__(self, categories: Iterable[str], tenant: str, debts: Debts) -> None:
        super().__init__(categories)
        self._tenant, self._debts = tenant, debts

    def add(self, *, scopes: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        super().add(scopes=scopes, names=names)
        self._debts.keep(self._tenant, self)


class Debts:
    """What is pending of every tenant; shared by a cache and its twin, safe for threads.

    Args:
        categories: scopes of the cache's categories.
    """

    def __init__(self, categories: Iterable[str]) -> None:
        self._scopes = tuple(categories)
        self._known: WeakValueDictionary[str, _Owed] = WeakValueDictionary()
        self._owing: dict[str, _Owed] = {}
        self._in_doubt = False
        self._lock = threading.RLock()

    def begin_anew(self) -> None:
        """In a forked child: a thread of the parent may have held a lock."""
        self._lock = threading.RLock()
        for owed in list(self._known.values()):
            owed.begin_anew()

    def of(self, tenant: str) -> Pending:
        """What is pending of a tenant, for every engine of it the same."""
        with self._lock:
            owed = self._known.get(tenant)
            if owed is None:
                owed = self._known[tenant] = _Owed(self._scopes, tenant, self)
                if self._in_doubt:
                    owed.add(scopes=self._scopes)
            return owed

    def keep(self, tenant: str, owed: _Owed) -> None:
        """Remember what is pending until it is carried out."""
        with self._lock:
            self._owing[tenant] = owed
            if len(self._owing) > OWING:
                self._owing = {name: one for name, one in self._owing.items() if one.some}
            if len(self._owing) > OWING:
                # names are not kept without bound: from now on each tenant's first call drops what it has
                self._owing, self._in_doubt = {}, True
