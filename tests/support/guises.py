"""The same scenarios again, by caches that look different to the server: hashed names, a tenant's, few rights."""

from __future__ import annotations

from typing import Any

from support.faces import Stage, SyncFace

from cache import AsyncCache, Cache
from cache.clock import Clock
from cache.core.policies import Policy


class Guise(Stage):
    """A stage whose caches have more settings, may be a tenant's, and may log in as somebody; ``url`` stays its own.

    Args:
        tenant: whose cache plays; empty: nobody's.
        login: URL by which the caches connect; empty: the stage's.
        extra: settings.
    """

    def __init__(self, kind: str, url: str, *, tenant: str = "", login: str = "", **extra: Any) -> None:
        self._tenant, self._login, self._extra = tenant, login, extra
        self._lenders: list[Any] = []
        super().__init__(kind, url)

    def another(self, policies: tuple[Policy, ...] = (), clock: Clock | None = None, **settings: Any) -> Any:
        """As a stage's, in this guise."""
        given = {
            "read_deadline": 2, "write_deadline": 2, "recorder": self.recorder, "clock": clock or self.clock,
            "policies": policies, **self._extra, **settings,
        }  # fmt: skip
        url = self._login or self.url
        if self.kind == "sync":
            blocking = Cache.from_url(url, **given)
            return _Lent(blocking, blocking.scoped(self._tenant)) if self._tenant else SyncFace(blocking)
        awaiting = AsyncCache.from_url(url, **given)
        return _AsyncLent(awaiting, awaiting.scoped(self._tenant)) if self._tenant else awaiting


class _Lent(SyncFace):
    """A tenant's cache; closed with the one that it came from."""

    def __init__(self, lender: Cache, view: Cache) -> None:
        super().__init__(view)
        self._lender = lender

    async def aclose(self) -> None:
        self._lender.close()


class _AsyncLent:
    def __init__(self, lender: AsyncCache, view: AsyncCache) -> None:
        self._lender, self._view = lender, view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    async def aclose(self) -> None:
        await self._lender.aclose()
