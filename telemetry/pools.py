"""How many connections of a driver of our own are in use, told to redis-py's gauge when somebody collects it.

redis-py adds to the gauge twice for each command. Here a connection counts as idle while it exists,
and what is in use is moved over at the moment of the collection. Who asks and who is asked meet in
redis-py's own registry of observables.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from redis.observability.attributes import ConnectionState
from redis.observability.recorder import record_connection_count
from redis.observability.registry import get_observables_registry_instance

_KEY = "glasscache.connections_in_use"


class Pool(Protocol):
    """Has connections."""

    def in_use(self) -> int:
        """How many of them are in use."""
        ...


class _Level:
    """What the gauge was told of one pool."""

    def __init__(self, name: str, pool: Pool) -> None:
        self._name, self._pool = name, weakref.ref(pool)
        self._told = 0
        self._lock = threading.Lock()

    def __call__(self) -> list[Any]:
        pool = self._pool()
        with self._lock:
            used = pool.in_use() if pool is not None else 0
            change, self._told = used - self._told, used
        if change:
            record_connection_count(self._name, ConnectionState.IDLE, -change)
            record_connection_count(self._name, ConnectionState.USED, change)
        return []


def watch(name: str, pool: Pool) -> None:
    """Let the gauge know of a pool as long as it lives.

    Args:
        name: what redis-py's metrics call it.
    """
    get_observables_registry_instance().register(_KEY, _Level(name, pool))


def level_at_collection(meter: Meter) -> None:
    """Ask all pools when the meter is collected: observable instruments are asked before the others are read."""

    def level(_: CallbackOptions) -> list[Observation]:
        for tell in list(get_observables_registry_instance().get(_KEY)):
            tell()
        return []

    meter.create_observable_gauge(_KEY, [level], "{connection}", "Never has a point; moves db.client.connection.count.")
