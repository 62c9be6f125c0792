"""Places for connections that are held open: so many callers at a time, first come, first served.

A place is taken and given back by one step of a deque each, without a lock; only those who must wait queue
behind one. Who comes next gets the connection that was used last.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque

import redis
from redis.observability.attributes import get_pool_name

from cache.clock import Deadline
from cache.errors import StoreError
from cache.stores.exchange import Exchange
from cache.stores.held import Held
from telemetry import pools
from telemetry.vocabulary import ErrorType


class _Turn:
    """Somebody who waits."""

    __slots__ = ("called", "place")

    def __init__(self) -> None:
        self.called = threading.Lock()
        self.called.acquire()
        self.place: Held | None = None


class Rack:
    """All places of one store.

    Args:
        pool: redis-py's, which connects.
        count: how many places there are, >= 1.
        max_reply_bytes: longer replies close their connection.

    Attributes:
        address: host and port, None for a Unix socket.
        closed: connections are given up as they come back.
        free: the places that nobody has; the last one was used last.
        waiting: those who wait for one.
    """

    def __init__(self, pool: redis.ConnectionPool, count: int, max_reply_bytes: int) -> None:
        self._pool, self._count, self._max_reply = pool, count, max_reply_bytes
        self.free: deque[Held] = deque(Held(pool, max_reply_bytes) for _ in range(count))
        # an interrupt between two instructions may lose a place; a callback without Python code cannot be interrupted
        self._lost: deque[object] = deque()
        self._all = [weakref.ref(place, self._lost.append) for place in self.free]
        self.waiting: deque[_Turn] = deque()
        self._lock = threading.Lock()
        self.address = pool.connection_kwargs.get("host"), pool.connection_kwargs.get("port")
        self.closed = False
        pools.watch(get_pool_name(pool), self)

    def take(self, call: Exchange) -> Held:
        """A place, with the connection that was used last if there is one.

        Raises:
            StoreError: there was none within the call's deadline.
        """
        if not self.waiting:
            try:
                return self.free.pop()
            except IndexError:
                pass
        place = self._wait(call.left())
        if place is None:
            raise StoreError(ErrorType.POOL_EXHAUSTED, sent_nothing=True)
        call.began = call.deadline.remaining()
        return place

    def give_back(self, place: Held) -> None:
        """Let the next one have it, without its connection unless that is in order."""
        if place.busy or self.closed:
            place.close()
        (self.free.append if place.is_open else self.free.appendleft)(place)
        if self.waiting:
            self.call_next()

    def call_next(self) -> None:
        """Hand free places to those who wait longest."""
        with self._lock:
            self._call_next()

    def _wait(self, seconds: float) -> Held | None:
        turn = _Turn()
        with self._lock:
            self._replace_lost()
            self.waiting.append(turn)
            # a place may have come back since
            self._call_next()
        try:
            turn.called.acquire(timeout=max(0.0, seconds))
        except BaseException:
            self._gave_up(turn)
            if turn.place is not None:
                self.give_back(turn.place)
            raise
        self._gave_up(turn)
        return turn.place

    def _replace_lost(self) -> None:
        """Put new places where some were lost; the lock is held."""
        while self._lost:
            place = Held(self._pool, self._max_reply)
            self._all = [known for known in self._all if known() is not None]
            self._all.append(weakref.ref(place, self._lost.append))
            self.free.appendleft(place)
            self._lost.popleft()

    def _call_next(self) -> None:
        """Hand free places to those who wait longest; the lock is held."""
        while self.waiting and self.free:
            turn = self.waiting.popleft()
            turn.place = self.free.pop()
            turn.called.release()

    def _gave_up(self, turn: _Turn) -> None:
        """Leave the queue, unless a place was handed over."""
        with self._lock:
            if turn.place is None and turn in self.waiting:
                self.waiting.remove(turn)

    def idle(self) -> int:
        """How many connections nobody uses."""
        return sum(place.is_open for place in list(self.free))

    def in_use(self) -> int:
        """How many connections serve a call."""
        return max(0, len(self._open()) - self.idle())

    def let_idle_go(self) -> None:
        """Close the connections that nobody uses."""
        for _ in range(self._count):
            try:
                place = self.free.pop()
            except IndexError:
                return
            was_open = place.is_open
            place.close()
            self.give_back(place)
            if not was_open:
                return

    def close(self, deadline: Deadline) -> None:
        """Wait for the calls under way until ``deadline``, then cut off those that are left."""
        self.closed = True
        taken: list[Held] = []
        while len(taken) < self._count and (place := self._wait(deadline.remaining())) is not None:
            place.close()
            taken.append(place)
        for place in self._open():
            place.cut_off()
        for place in taken:
            self.give_back(place)

    def _open(self) -> list[Held]:
        places = (known() for known in self._all)
        return [place for place in places if place is not None and place.is_open]
