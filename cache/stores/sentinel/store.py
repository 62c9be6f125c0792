"""The store behind sentinels that blocks: a store on the primary that they name, replaced when they name another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cache.clock import Clock, Deadline
from cache.core.sent import Line
from cache.core.steps import StoreStep
from cache.errors import StoreError
from cache.stores.cluster.membership import BESIDE
from cache.stores.cluster.nodes import Nodes
from cache.stores.cluster.topology import Place
from cache.stores.forking import in_forked_child
from cache.stores.options import StoreOptions
from cache.stores.redis_store import RedisStore
from cache.stores.sentinel.finding import Sentinels
from cache.stores.urls import StoreURL
from telemetry.vocabulary import BreakerState, ErrorType

LEAVE_S = 0.001
"""How long calls under way to a former primary are waited for, in seconds: they keep the caller who found out."""


class SentinelStore:
    """Carries out steps on the primary; safe for threads, begins anew in a forked child.

    Args:
        sentinels: who say which it is; nobody else's.
        open_primary: opens the store on one server.
    """

    def __init__(
        self, sentinels: Sentinels, options: StoreOptions, clock: Clock, open_primary: Callable[[StoreURL], RedisStore]
    ) -> None:
        self._sentinels, self._options, self._clock, self._open = sentinels, options, clock, open_primary
        self._store: RedisStore | None = None
        self._place: Place | None = None
        self._closed = False
        self._begin()
        in_forked_child(self._begin_anew)

    def _begin(self) -> None:
        self._nodes, self._looking = Nodes(self._sentinels.member, self._options), threading.Lock()

    def _begin_anew(self) -> None:
        self._sentinels.begin_anew()
        self._begin()

    @property
    def straight(self) -> Line | None:
        """The primary's, while nothing speaks against it."""
        store = self._store
        if store is None or not self._sentinels.trusted or store.breaker_state() is not BreakerState.CLOSED:
            return None
        return store.straight

    def where(self) -> StoreURL:
        """The URL of the primary.

        Raises:
            ConnectionError: nobody knows it.
        """
        return self._sentinels.where()

    def serving(self) -> bytes:
        """Eight bytes that name the server of the newest connection."""
        return b"" if self._store is None else self._store.identity()

    def identity(self) -> bytes:
        """Eight bytes that name it in its time as the primary."""
        return self._sentinels.name(self.serving())

    def breaker_state(self) -> BreakerState:
        """State of the primary's breaker, or of the sentinels' while there is none."""
        return self._sentinels.state if self._store is None else self._store.breaker_state()

    def execute(self, step: StoreStep) -> Any:
        """Carry out one step within its deadline.

        Raises:
            StoreError: it could not be.
        """
        if self._closed:
            raise StoreError(ErrorType.REFUSED, "the store is closed", sent_nothing=True)
        store = self._current(step.deadline)
        try:
            return store.execute(step)
        except StoreError as trouble:
            self._sentinels.failed(trouble)
            if not step.idempotent or step.deadline.remaining() <= 0:
                raise
            other = self._current(step.deadline)
            if other is store:
                raise
            return other.execute(step)

    def _current(self, deadline: Deadline) -> RedisStore:
        """The store on the primary; it is asked who that is when nobody knows, or now and then, by one at a time."""
        store = self._store
        if store is not None and not self._sentinels.is_time_to_look():
            return store
        patience = max(0.0, deadline.remaining()) if store is None else 0.0
        if not self._looking.acquire(blocking=store is None, timeout=patience if store is None else -1):
            if store is None:
                raise StoreError(ErrorType.TIMEOUT, "no sentinel answered in time", sent_nothing=True)
            return store
        try:
            if self._store is not None and self._store is not store:
                return self._store
            asked = deadline if store is None else deadline.part(BESIDE)
            place = self._sentinels.heard(self._nodes.ask(self._sentinels.questions(), asked))
            return self._become(place)
        finally:
            self._looking.release()

    def _become(self, place: Place) -> RedisStore:
        former, store = self._store, self._store
        if store is None or place != self._place:
            store = self._open(self._sentinels.url_of(place))
            self._place, self._store = place, store
            if former is not None:
                former.close(LEAVE_S)
        return store

    def close(self, seconds: float = 1.0) -> None:
        """Wait at most ``seconds`` for calls under way, then close every connection; later calls are refused."""
        self._closed = True
        if self._store is not None:
            self._store.close(seconds)
        self._nodes.close(Deadline(self._clock, max(seconds, 1e-9)))
