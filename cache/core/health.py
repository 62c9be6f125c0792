"""Health: one round trip that tells whether the store answers, and how."""

from __future__ import annotations

from typing import Any

from cache.core.engine import Engine, Operation
from cache.core.steps import Batch
from cache.errors import StoreError
from telemetry.vocabulary import ALL, BreakerState
from telemetry.vocabulary import Operation as Op


def health(engine: Engine) -> Operation[dict[str, Any]]:
    """The specification's answer: ``enabled``, ``connected``, ``message``; the server's own counters when connected.

    ``hits`` and ``misses`` are the keyspace's, server-wide; the cache's own figures are its metrics.
    """
    with engine.recorder.operation(ALL, Op.HEALTH) as event:
        if not engine.enabled:
            return {"enabled": False, "connected": False, "message": "Caching disabled"}
        try:
            reply = yield Batch((("PING",), ("INFO",)), engine.reading(), idempotent=True)
        except StoreError as trouble:
            engine.failed(event, trouble)
            return _unwell(engine, trouble)
        alive, raw = reply if isinstance(reply, list) and len(reply) == 2 else (None, None)
        if isinstance(alive, StoreError):
            engine.failed(event, alive)
            return _unwell(engine, alive)
        return {"enabled": True, "connected": True, **_figures(raw), "message": "Connected"} | _breaker(engine)


def _unwell(engine: Engine, trouble: StoreError) -> dict[str, Any]:
    message = f"Redis does not answer: {trouble.kind.value}"
    return {"enabled": True, "connected": False, "message": message} | _breaker(engine)


def _breaker(engine: Engine) -> dict[str, Any]:
    state: BreakerState = engine.breaker()
    local = {} if engine.local is None else {"local_tier": engine.local.state}
    return {"breaker": state.value} | local


def parse_info(raw: Any) -> dict[str, str]:
    """The fields of an INFO reply; empty when the server may not be asked."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if not isinstance(text, str):
        return {}
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def _figures(raw: Any) -> dict[str, Any]:
    info = parse_info(raw)
    return {
        "hits": int(info.get("keyspace_hits", 0)),
        "misses": int(info.get("keyspace_misses", 0)),
        "server": info.get("server_name", "redis"),
        "version": info.get("valkey_version") or info.get("redis_version") or "unknown",
        "memory_bytes": int(info.get("used_memory", 0)),
        "evicted_keys": int(info.get("evicted_keys", 0)),
    }
