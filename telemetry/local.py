"""The local tier's figures: how much it keeps now, what left it and why. OpenTelemetry API only."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from telemetry import schema
from telemetry.vocabulary import EvictionCause


class Kept(Protocol):
    """What tells how much it keeps."""

    @property
    def entries(self) -> int:
        """How many."""
        ...

    @property
    def used(self) -> int:
        """How many bytes."""
        ...


class LocalAccounts:
    """Evictions of this process's local tiers, and the tiers that are asked for their sizes; safe for threads."""

    def __init__(self) -> None:
        self._tiers: weakref.WeakSet[Kept] = weakref.WeakSet()
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin_anew)
            os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._evictions = dict.fromkeys(EvictionCause, 0)

    def watch(self, tier: Kept) -> None:
        """Count a tier in, as long as it lives."""
        with self._lock:
            self._tiers.add(tier)

    def evicted(self, cause: EvictionCause, n: int = 1) -> None:
        """Entries left."""
        with self._lock:
            self._evictions[cause] += n

    def evictions(self) -> dict[EvictionCause, int]:
        """How many left, by cause."""
        with self._lock:
            return dict(self._evictions)

    def entries(self) -> int:
        """Entries of all tiers."""
        return sum(tier.entries for tier in self._living())

    def bytes(self) -> int:
        """Bytes of all tiers."""
        return sum(tier.used for tier in self._living())

    def _living(self) -> list[Kept]:
        with self._lock:
            return list(self._tiers)


def register(meter: Meter, accounts: LocalAccounts, dropped: Callable[[], None]) -> None:
    """Make the instruments that read ``accounts`` when they are collected.

    Args:
        dropped: told when a collection fails.
    """

    def observe(read: Callable[[], Iterable[Observation]]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_: CallbackOptions) -> Iterable[Observation]:
            try:
                return list(read())
            except Exception:
                dropped()
                return []

        return callback

    count, size, gone = schema.LOCAL_ENTRIES, schema.LOCAL_SIZE, schema.LOCAL_EVICTIONS
    meter.create_observable_up_down_counter(
        count.name, [observe(lambda: [Observation(accounts.entries())])], count.unit, count.description
    )
    meter.create_observable_up_down_counter(
        size.name, [observe(lambda: [Observation(accounts.bytes())])], size.unit, size.description
    )
    meter.create_observable_counter(
        gone.name,
        [
            observe(
                lambda: (
                    Observation(n, {schema.EVICTION_CAUSE: cause.value}) for cause, n in accounts.evictions().items()
                )
            )
        ],
        gone.unit,
        gone.description,
    )
