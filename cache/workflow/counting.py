"""What a driver counts for itself: the calls it makes of a cache and what comes of them, apart from all telemetry.

A call that ran its computation was a miss, one that did not was a hit. That is known from the outside alone, so
these counts can be held against the telemetry's. Stale answers, errors and bypasses cannot be seen from here (a
stale answer looks like a hit, the two others like misses): the comparison holds for runs without trouble.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from cache.workflow.adapters import ComputingCache


class Counts:
    """Calls, hits and misses by category; for one thread.

    Example:
        >>> counts = Counts()
        >>> counts.looked("prompt", "get_or_compute", hits=1, misses=0)
        >>> counts.categories()
        {'prompt': {'hits': 1, 'misses': 0}}
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.hits: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()

    def looked(self, category: str, operation: str, *, hits: int, misses: int) -> None:
        """Count one lookup, of one key or several."""
        self.calls[category, operation] += 1
        self.hits[category] += hits
        self.misses[category] += misses

    def categories(self) -> dict[str, dict[str, int]]:
        """Hits and misses of each category that was asked."""
        return {name: {"hits": self.hits[name], "misses": self.misses[name]} for name in self.hits | self.misses}

    def operations(self) -> dict[str, dict[str, int]]:
        """Calls by category and operation; invalidations by tag belong to no category, and stand under ``all``."""
        found: dict[str, dict[str, int]] = {}
        for (category, operation), n in self.calls.items():
            found.setdefault(category, {})[operation] = n
        return found


class CountingCache:
    """A cache that counts; the shipped workflow takes it like the one inside.

    A computation that calls the cache again is counted like any other caller.

    Args:
        cache: a ``Cache``.
        counts: what is counted.
    """

    def __init__(self, cache: ComputingCache, counts: Counts) -> None:
        self._cache, self._counts = cache, counts

    def get_or_compute(self, category: str, key: Any, compute: Callable[[], Any], *, tags: Sequence[str] = ()) -> Any:
        """As the cache's own."""
        ran = False

        def noting() -> Any:
            nonlocal ran
            ran = True
            return compute()

        def count() -> None:
            self._counts.looked(category, "get_or_compute", hits=int(not ran), misses=int(ran))

        try:
            value = self._cache.get_or_compute(category, key, noting, tags=tags)
        except Exception:
            # the computation's own error came after a miss; an error before it means that nothing was looked up
            if ran:
                count()
            raise
        count()
        return value

    def get_or_compute_many(
        self, category: str, keys: Sequence[Any], compute_many: Callable[[list[Any]], Any]
    ) -> list[Any]:
        """As the cache's own; a key that is asked for twice counts twice."""
        missing: list[Any] = []
        ended = False

        def noting(asked: list[Any]) -> Any:
            nonlocal ended
            missing.extend(asked)
            try:
                return compute_many(asked)
            except Exception:
                ended = True
                raise

        def count(*, computed: bool) -> None:
            misses = sum(key in missing for key in keys)
            hits = len(keys) - misses
            self._counts.looked(category, "get_or_compute_many", hits=hits, misses=misses if computed else 0)

        try:
            values = self._cache.get_or_compute_many(category, keys, noting)
        except BaseException:
            # one that was cancelled has no outcome for what it was computing
            if missing:
                count(computed=ended)
            raise
        count(computed=True)
        return values

    def invalidate(self, *, tags: Sequence[str] = (), trigger: Any = None) -> int:
        """As the cache's own."""
        self._counts.calls["all", "invalidate"] += 1
        return self._cache.invalidate(tags=tags, trigger=trigger)
