"""The specification's client: plain text under exactly the key it is given, and never an exception."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Self

from cache.core import health, plain

if TYPE_CHECKING:
    import redis

    from cache.settings import Settings
    from telemetry.recorder import Recorder

_log = logging.getLogger("glasscache")


class RedisCacheClient:
    """A fail-safe text client; what other programs and ``redis-cli`` see under a key is what was set.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://`` or ``embedded://``.
        enabled: False makes every call answer as if nothing were cached, without I/O.
        default_ttl: seconds that ``set`` takes when it is given none.
        recorder: receives one event per call; None takes the process's.

    Raises:
        SettingsError: the URL is none that can be used.

    Example:
        >>> client = RedisCacheClient("embedded://")
        >>> client.set("greeting", "hello", ttl=60), client.get("greeting")
        (True, 'hello')
        >>> client.close()
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
        self._parts = wiring.build_plain(chosen, recorder=recorder)
        self._engine = self._parts.engine
        self._run = self._parts.runner.run

    @property
    def client(self) -> redis.Redis:
        """The redis-py client behind it; its calls can raise."""
        return self._parts.runner.store.client  # type: ignore[attr-defined,no-any-return]

    def get(self, key: str) -> str | None:
        """The text under ``key``; None on a miss and on any trouble."""
        return self._run(plain.get(self._engine, _warn, key))  # type: ignore[no-any-return]

    def set(self, key: str, value: str, ttl: float | None = None) -> bool:
        """Store text for exactly ``ttl`` seconds (None: ``default_ttl``); True when it was stored."""
        return self._run(plain.put(self._engine, _warn, key, value, self.default_ttl if ttl is None else ttl))

    def delete(self, key: str) -> bool:
        """Remove what is under ``key``; True when there was something."""
        return self._run(plain.delete(self._engine, _warn, key))

    def invalidate_pattern(self, pattern: str) -> int:
        """Remove every key that matches a Redis glob; returns how many."""
        return self._run(plain.invalidate_pattern(self._engine, _warn, pattern))

    def get_json(self, key: str) -> Any:
        """The JSON under ``key``; None on a miss, on any trouble and when the text is no JSON."""
        return self._run(plain.get(self._engine, _warn, key, parse=True))

    def set_json(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Store a value as JSON; False when it cannot be JSON, and on any trouble."""
        seconds = self.default_ttl if ttl is None else ttl
        return self._run(plain.put(self._engine, _warn, key, value, seconds, as_json=True))

    def health_check(self) -> dict[str, Any]:
        """``enabled``, ``connected``, ``message``, and the server's keyspace counters when connected."""
        return self._run(health.health(self._engine))

    def close(self, seconds: float = 1.0) -> None:
        """Give the connections back within ``seconds``."""
        self._parts.close(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _warn(fault: str) -> None:
    _log.warning("refused: %s", fault)


_default_lock = threading.Lock()
_default: RedisCacheClient | None = None


def create_default_redis_client() -> RedisCacheClient:
    """The process's client, made from the settings at the first call.

    Raises:
        SettingsError: a setting is wrong; the text names the variable, the fault and an example.
    """
    global _default
    from cache.settings import Settings

    with _default_lock:
        if _default is None:
            _default = RedisCacheClient(settings=Settings.load())
        return _default
