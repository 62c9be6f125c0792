"""One connection that is held open: redis-py makes and greets it, the way of a command through it is ours.

Whatever goes wrong, the connection is closed, so that no late reply meets another caller.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Any

import redis
from redis.observability.attributes import ConnectionState, get_pool_name
from redis.observability.recorder import record_connection_count, record_connection_create_time

from cache.stores.exchange import Exchange
from cache.stores.talking import Talking


class Held(Talking):
    """A place for one connection; used by one caller at a time.

    Args:
        pool: redis-py's: which connections, and the name that its metrics are told.
        max_reply_bytes: longer replies to one request close the connection.
    """

    __slots__ = ("__weakref__", "_connection", "_counted", "_pool")

    def __init__(self, pool: redis.ConnectionPool, max_reply_bytes: int) -> None:
        super().__init__(max_reply_bytes)
        self._pool, self._counted = pool, 0
        self._connection: Any = None

    def __del__(self) -> None:
        self.close()

    def make_ready(self, call: Exchange) -> None:
        """See to it that the next request goes out on a connection that was alive and silent a moment ago.

        Raises:
            redis.RedisError, OSError: there is none to be had within the deadline.
        """
        if self.is_open:
            if not self._poll(0) or self._only_news_came():
                return
            self.close()
        self.busy = True
        self._connect(call)
        call.socket_timeout()
        self.busy = False

    def _connect(self, call: Exchange) -> None:
        began = time.monotonic()
        self._connection = connection = self._pool.connection_class(**self._pool.connection_kwargs)
        connection.exchange = call
        connection.connect()
        parser = connection._parser
        self._sock, self._reader, self._buffer = connection._sock.raw, parser._reader, parser._buffer
        self._sock.settimeout(0)
        self._poll = _poll(self._sock)
        self.is_open = True
        self._count(1)
        record_connection_create_time(self._pool, time.monotonic() - began)

    def close(self) -> None:
        """Give the connection up; it is in no order until all of this is done."""
        self.is_open = False
        connection, sock = self._connection, self._sock
        if connection is not None and connection.pid == os.getpid():
            connection.disconnect()
            self._count(0)
        elif connection is not None:
            # a forked child's copy of its parent's, which goes on using it, and whose locks may be held for ever
            connection._sock = None
        if sock is not None:
            sock.close()
        self._connection = self._sock = self._reader = None
        self.busy = False

    def _count(self, present: int) -> None:
        """Tell redis-py's metrics how many there are here; ``telemetry.pools`` tells idle from used."""
        if present != self._counted:
            record_connection_count(get_pool_name(self._pool), ConnectionState.IDLE, present - self._counted)
            self._counted = present

    def fileno(self) -> int:
        """The socket's, for a poll of several."""
        number: int = self._sock.fileno()
        return number

    def has_news(self) -> bool:
        """Whether a byte has come that was not read."""
        return bool(self._poll(0))

    def cut_off(self) -> None:
        """End the connection under whoever uses it; the user closes it."""
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(2)


def _poll(sock: Any) -> Callable[[float], Any]:
    """Waits for bytes of a socket, so many milliseconds."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    if not hasattr(sock, "pending"):
        return poller.poll
    return lambda ms: sock.pending() or poller.poll(ms)
