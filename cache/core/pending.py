"""Invalidations that the store did not take: kept until it does, so that nothing old is served after it is back."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

PENDING = 1024
"""Beyond this many pending scopes and keys, whole categories are invalidated instead."""


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
