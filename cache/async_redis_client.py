"""The twin of the specification's client, for code that awaits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from cache.core import health, plain

if TYPE_CHECKING:
    import redis.asyncio

    from cache.settings import Settings
    from telemetry.recorder import Recorder

_log = logging.getLogger("glasscache")


class AsyncRedisCacheClient:
    """A fail-safe text client; what other programs and ``redis-cli`` see under a key is what was set.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://`` or ``embedded://``.
        enabled: False makes every call answer as if nothing were cached, without I/O.
        default_ttl: seconds that ``set`` takes when it is given none.
        recorder: receives one event per call; None takes the process's.

    Raises:
        SettingsError: the URL is none that can be used.

    Example:
        >>> async def main():
        ...     async with AsyncRedisCacheClient("embedded://") as client:
        ...         return await client.set("greeting", "hello", ttl=60), await client.get("greeting")
        >>> asyncio.run(main())
        (True, 'hello')
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        enabled: bool = True,
        default_ttl: float = 3600,
        *,
        recorder: Recorder | None = None,
        settings: Settings | None = None,
    ) -> None:
        from cache import wiring
        from cache.settings import Settings

        chosen = settings or Settings.of(redis_url=url, enabled=enabled, default_ttl=default_ttl, namespace="")
        self.enabled = chosen.enabled
        self.default_ttl = chosen.default_ttl
        self._parts = wiring.build_plain_async(chosen, recorder=recorder)
        self._engine = self._parts.engine
        self._run = self._parts.runner.run

    @property
    def client(self) -> redis.asyncio.Redis:
        """The redis.asyncio client behind it, of the running event loop; its calls can raise."""
        return self._parts.runner.store.client  # type: ignore[attr-defined,no-any-return]

    async def get(self, key: str) -> str | None:
        """The text under ``key``; None on a miss and on any trouble."""
        return await self._run(plain.get(self._engine, _warn, key))

    async def set(self, key: str, value: str, ttl: float | None = None) -> bool:
        """Store text for exactly ``ttl`` seconds (None: ``default_ttl``); True when it was stored."""
        return await self._run(plain.put(self._engine, _warn, key, value, self.default_ttl if ttl is None else ttl))

    async def delete(self, key: str) -> bool:
        """Remove what is under ``key``; True when there was something."""
        return await self._run(plain.delete(self._engine, _warn, key))

    async def invalidate_pattern(self, pattern: str) -> int:
        """Remove every key that matches a Redis glob; returns how many."""
        return await self._run(plain.invalidate_pattern(self._engine, _warn, pattern))

    async def get_json(self, key: str) -> Any:
        """The JSON under ``key``; None on a miss, on any trouble and when the text is no JSON."""
        return await self._run(plain.get(self._engine, _warn, key, parse=True))

    async def set_json(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Store a value as JSON; False when it cannot be JSON, and on any trouble."""
        seconds = self.default_ttl if ttl is None else ttl
        return await self._run(plain.put(self._engine, _warn, key, value, seconds, as_json=True))

    async def health_check(self) -> dict[str, Any]:
        """``enabled``, ``connected``, ``message``, and the server's keyspace counters when connected."""
        return await self._run(health.health(self._engine))

    async def aclose(self, seconds: float = 1.0) -> None:
        """Give the connections back within ``seconds``."""
        await self._parts.aclose(seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _warn(fault: str) -> None:
    _log.warning("refused: %s", fault)
