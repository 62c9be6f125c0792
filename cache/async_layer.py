"""``AsyncCache``: results of slow things, kept in Redis or Valkey, for code that awaits.

The same operations of ``cache.core`` as in ``layer``, run by the runner that awaits.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cache.core import batches, computing, explaining, health, invalidating, lookups, writing
from cache.core.explaining import Explanation
from cache.core.generations import Fence
from cache.core.lookup import MISS, Lookup
from cache.core.policies import TTL
from cache.core.sent import NOT_NOW, Sent
from cache.core.straight import AsyncStraightHits
from cache.core.writing import Terms
from cache.decorator import Asked, KeyOf, TagsOf, is_async, key_maker, tags_maker
from cache.errors import CacheKeyError
from cache.opening import Opened
from telemetry.vocabulary import Operation as Op
from telemetry.vocabulary import Trigger

if TYPE_CHECKING:
    from cache.wiring import AsyncParts

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class AsyncCache(Opened):
    """The cache layer for code that awaits; usable from several event loops, and an async context manager.

    Example:
        >>> async def main():
        ...     async with AsyncCache.embedded() as cache:
        ...         return await cache.get_or_compute("prompt", "greeting", lambda: "hello")
        >>> asyncio.run(main())
        'hello'
    """

    @staticmethod
    def _build(*given: Any, **parts: Any) -> AsyncParts:
        from cache import wiring

        return wiring.build_async(*given, **parts)

    def __init__(self, parts: AsyncParts) -> None:
        super().__init__(parts)
        self._run = parts.runner.run
        engine, store = parts.engine, parts.runner.store
        self._straight = AsyncStraightHits(engine, self._near, store, Op.GET)
        self._straight_or_compute = AsyncStraightHits(engine, self._near_or_compute, store, Op.GET_OR_COMPUTE)

    async def get(self, category: str, key: Any, *, tags: Sequence[str] = ()) -> Any:
        """The value under a key.

        Args:
            category: a registered category.
            key: what the category's key is made from.
            tags: tags that the value is to have; known ones cost no second round trip.

        Returns:
            The value; ``MISS`` when there is none, or the store is in trouble. None is a value.

        Raises:
            UnknownCategoryError: nobody registered the category.
            CacheKeyError: the key or a tag cannot be encoded.
        """
        found = await self._straight.find_soon(category, key, tags)
        if type(found) is Sent:
            return await self._run(lookups.get(self._engine, category, key, sent=found))
        if found is not NOT_NOW:
            return found
        return await self._run(lookups.get(self._engine, category, key, tags=tags))

    async def lookup(self, category: str, key: Any, *, tags: Sequence[str] = ()) -> Lookup:
        """All about one lookup: value, outcome, tier, miss reason, age, TTL, error and the fence for a ``set``.

        Raises:
            UnknownCategoryError, CacheKeyError: as ``get``.
        """
        return await self._run(lookups.lookup(self._engine, category, key, tags=tags))

    async def get_many(self, category: str, keys: Sequence[Any], *, tags: Sequence[str] = ()) -> list[Any]:
        """The values in the order of ``keys``, ``MISS`` where there is none; one round trip.

        Raises:
            UnknownCategoryError, CacheKeyError: as ``get``.
        """
        return await self._run(lookups.get_many(self._engine, category, keys, tags=tags))

    async def set(
        self,
        category: str,
        key: Any,
        value: Any,
        *,
        ttl: TTL = None,
        tags: Sequence[str] = (),
        fence: Fence | None = None,
    ) -> bool:
        """Store a value.

        Args:
            ttl: time to live.
            tags: tags that can invalidate it.
            fence: what ``lookup`` saw; an invalidation since then refuses the write. None: since this call began.
                The lookup must have named all of ``tags``, or nobody can tell.

        Returns:
            True when it was stored; False when a fence refused it, the store is in trouble or caching is disabled.

        Raises:
            CacheValueError: the value would not come back as it was.
            ValueTooLargeError: its encoding is above the category's cap.
            TTLError, UnknownCategoryError, CacheKeyError: bad arguments, among them a fence that tells too little.
        """
        return await self._run(writing.set_one(self._engine, category, key, value, Terms(ttl, tags, fence)))

    async def set_many(
        self,
        category: str,
        items: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
        *,
        ttl: TTL = None,
        tags: Sequence[str] = (),
    ) -> int:
        """Store several values in one round trip; returns how many were stored.

        Raises:
            CacheValueError, TTLError, UnknownCategoryError, CacheKeyError: as ``set``; then nothing was stored.
        """
        return await self._run(writing.set_many(self._engine, category, items, Terms(ttl, tags)))

    async def delete(self, category: str, key: Any) -> bool:
        """Remove one entry; writes that began before are refused. True when there was one.

        Raises:
            UnknownCategoryError, CacheKeyError: as ``get``.
        """
        return await self._run(invalidating.delete(self._engine, category, key))

    async def get_or_compute(
        self,
        category: str,
        key: Any,
        compute: Callable[[], T | Awaitable[T]],
        *,
        ttl: TTL = None,
        tags: Sequence[str] = (),
    ) -> T:
        """The cached value, or what ``compute`` returns, which is then stored.

        One caller computes for all that ask for the key at the time. ``compute`` may return a
        ``Computed`` to name the files it read, or to say that its result must not be kept.

        Returns:
            The value. A value that cannot be stored is returned all the same.

        Raises:
            Exception: whatever ``compute`` raised, unchanged; followers get the leader's.
            TTLError, UnknownCategoryError, CacheKeyError: bad arguments.
        """
        found = await self._straight_or_compute.find_soon(category, key, tags) if ttl is None else NOT_NOW
        if type(found) is Sent:
            return await self._run(computing.go_on(self._engine, category, compute, found))
        if found is not NOT_NOW:
            checks = self._checks
            if checks is not None and category in checks.categories:
                checks.left -= 1
                if checks.left < 0:
                    self._check(category, key, compute, tags)
            return found  # type: ignore[no-any-return]
        return await self._run(computing.get_or_compute(self._engine, category, key, compute, ttl=ttl, tags=tags))

    async def get_or_compute_many(
        self,
        category: str,
        keys: Sequence[Any],
        compute_many: Callable[[list[Any]], Sequence[Any] | Awaitable[Sequence[Any]]],
        *,
        ttl: TTL = None,
        tags: Sequence[str] = (),
    ) -> list[Any]:
        """The values in the order of ``keys``; ``compute_many`` is called once, with the keys that are missing.

        Raises:
            Exception: whatever ``compute_many`` raised, unchanged.
            CacheValueError: it did not give one value for each key.
            TTLError, UnknownCategoryError, CacheKeyError: bad arguments.
        """
        return await self._run(
            batches.get_or_compute_many(self._engine, category, keys, compute_many, Terms(ttl, tags))
        )

    async def warm(
        self,
        category: str,
        keys: Sequence[Any],
        compute_many: Callable[[list[Any]], Sequence[Any] | Awaitable[Sequence[Any]]],
        *,
        ttl: TTL = None,
    ) -> int:
        """Compute and store what is missing of ``keys`` before anybody asks; one round trip for what is there.

        Returns:
            How many keys were asked for.

        Raises:
            Exception, CacheValueError, TTLError, UnknownCategoryError, CacheKeyError: as ``get_or_compute_many``.
        """
        warming = batches.get_or_compute_many(self._engine, category, keys, compute_many, Terms(ttl), Op.WARM)
        return len(await self._run(warming))

    def cached(
        self,
        category: str,
        *,
        key: KeyOf | None = None,
        ttl: TTL = None,
        tags: Sequence[str] | TagsOf | None = None,
        version: str = "",
    ) -> Callable[[F], F]:
        """Decorate a function so that its results are cached; a sync one runs in a thread and is awaited too.

        Args:
            key: from the call's arguments to the category's key; None takes the function's name and arguments.
            tags: tags, or a function from the call's arguments to them.
            version: part of the key; change it with the function's meaning.

        A call whose arguments cannot be encoded runs uncached and counts as ``bypass``.

        Raises:
            UnknownCategoryError, TTLError, CacheKeyError, CacheValueError: at decoration; the last two for a function
                that needs ``key`` or whose results cannot be kept (a generator).
        """
        Terms(ttl).seconds(self._engine.policies[category])

        def decorate(function: F) -> F:
            key_of, tags_of = key_maker(function, category, key, version), tags_maker(tags)
            asked, near = Asked(key is None and not callable(tags)), self._near_or_compute
            checks = self._checks
            repeats = checks if checks is not None and category in checks.categories else None
            awaited = _awaited(function)

            @functools.wraps(function)
            async def call(*args: Any, **kwargs: Any) -> Any:
                mark = asked.mark(args, kwargs)
                wanted = asked.get(mark) if mark is not None else None
                if wanted is not None and (value := near.answer(category, wanted)) is not MISS:
                    if repeats is not None:
                        repeats.left -= 1
                        if repeats.left < 0:
                            given = functools.partial(awaited, *args, **kwargs)
                            self._check(category, key_of(*args, **kwargs), given, tags_of(*args, **kwargs))
                    return value
                compute = functools.partial(awaited, *args, **kwargs)
                try:
                    made, named = key_of(*args, **kwargs), tags_of(*args, **kwargs)
                    asked.remember(mark, self._engine.want(self._engine.policies[category], made, named))
                except CacheKeyError:
                    return await self._run(computing.bypass(self._engine, category, compute))
                return await self.get_or_compute(category, made, compute, ttl=ttl, tags=named)

            return call  # type: ignore[return-value]

        return decorate

    async def invalidate(
        self,
        *,
        tags: Sequence[str] = (),
        category: str | None = None,
        pattern: str | None = None,
        trigger: Trigger | None = None,
        dry_run: bool = False,
    ) -> int:
        """Make entries invalid: by tags and category in one round trip whatever they cover, or by pattern.

        Args:
            pattern: ``context:{id}:*`` and the like: a category's prefix, then a Redis glob.
            trigger: what telemetry counts it under; None chooses.
            dry_run: with a pattern, only count the keys.

        Returns:
            Tags and category: how many scopes; pattern: how many keys. 0 when the store is in trouble: then it is
            carried out before this process reads or writes anything again.

        Raises:
            PatternError, UnknownCategoryError, CacheKeyError: bad arguments.
        """
        return await self._run(
            invalidating.invalidate(
                self._engine, tags=tags, category=category, pattern=pattern, trigger=trigger, dry_run=dry_run
            )
        )

    async def explain(self, category: str, key: Any) -> Explanation:
        """Where a key is, its age, TTL and tags, and why it would miss; counts no request.

        Raises:
            UnknownCategoryError, CacheKeyError: as ``get``.
        """
        return await self._run(explaining.explain(self._engine, category, key))

    async def health(self) -> dict[str, Any]:
        """The specification's health; never raises."""
        return await self._run(health.health(self._engine))

    async def aclose(self, seconds: float = 1.0) -> None:
        """Let background refreshes finish within ``seconds``, give the connections back, end an embedded server."""
        await self._parts.aclose(seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    """What can be awaited in a function's place: a sync one runs in a thread."""
    if is_async(function):
        return function
    from asyncio import to_thread

    return functools.partial(to_thread, function)
