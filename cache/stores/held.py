"""One connection that is held open: redis-py makes and greets it, the way of a command through it is ours.

The socket does not block: each wait is a poll for what is left of the call's deadline, however slowly the
server's bytes drip. Whatever goes wrong, the connection is closed, so that no late reply meets another caller.
"""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import time
from collections.abc import Callable
from types import NoneType
from typing import Any

import hiredis
import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.observability.attributes import ConnectionState, get_pool_name
from redis.observability.recorder import record_connection_count, record_connection_create_time

from cache.stores.exchange import Exchange
from cache.stores.packing import Packed
from cache.stores.sizes import ANNOUNCING, LONGEST_HEADER, MAX_ELEMENTS, check_announced

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_CLOSED = "Connection closed by server."
_Push = hiredis.PushNotification
_UNSUSPICIOUS = (bytes, NoneType, int)


class Held:
    """A place for one connection; used by one caller at a time.

    Args:
        pool: redis-py's: which connections, and the name that its metrics are told.
        max_reply_bytes: longer replies to one request close the connection.

    Attributes:
        is_open: there is a connection.
        busy: a request is under way, or its replies are not all read.
    """

    __slots__ = (
        "__weakref__", "_buffer", "_connection", "_counted", "_max_reply", "_poll", "_pool", "_reader", "_received",
        "_short", "_sock", "busy", "is_open",
    )  # fmt: skip

    def __init__(self, pool: redis.ConnectionPool, max_reply_bytes: int) -> None:
        self._pool, self._max_reply = pool, max_reply_bytes
        # a header that ends within so many bytes announces less than is allowed
        self._short = len(str(min(MAX_ELEMENTS, max_reply_bytes))) + 1
        self._connection: Any = None
        self._sock: Any = None
        self._reader: Any = None
        self._buffer = bytearray()
        self._poll: Callable[[float], Any] = _never
        self._received = self._counted = 0
        self.is_open = self.busy = False

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

    def ask(self, call: Exchange, request: Packed) -> Any:
        """Send one command; its reply.

        Raises:
            redis.RedisError: no reply, or a refusal; the connection is ``busy`` then, unless it is in order.
        """
        self.busy = call.sent = True
        reader = self._reader
        try:
            self._send(call, request)
            self._receive(call)
            reply = reader.gets()
            while reply is NOT_ENOUGH_DATA or type(reply) is _Push:
                if reply is NOT_ENOUGH_DATA:
                    self._receive(call)
                reply = reader.gets()
        except OSError as error:
            raise _as_of_redis(error) from None
        if type(reply) not in _UNSUSPICIOUS:
            _raise_if_lost(reply)
        self.busy = reader.has_data() and not self._only_news()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def ask_all(self, call: Exchange, request: Packed, count: int) -> list[Any]:
        """Send commands in one request; their replies in order, refusals as exceptions in their places.

        Raises:
            redis.RedisError: not all replies came.
        """
        self.begin(call, request)
        return self.finish(call, count)

    def begin(self, call: Exchange, request: Packed) -> None:
        """Send commands; ``finish`` reads their replies, and meanwhile others may be sent elsewhere.

        Raises:
            redis.RedisError: they could not be sent.
        """
        self.busy = call.sent = True
        try:
            self._send(call, request)
        except OSError as error:
            raise _as_of_redis(error) from None

    def finish(self, call: Exchange, count: int) -> list[Any]:
        """The replies to what was sent, in order, refusals as exceptions in their places.

        Raises:
            redis.RedisError: not all replies came.
        """
        replies: list[Any] = []
        try:
            while len(replies) < count:
                reply = self._reader.gets()
                if reply is NOT_ENOUGH_DATA:
                    self._receive(call)
                elif type(reply) is not _Push:
                    _raise_if_lost(reply)
                    replies.append(reply)
        except OSError as error:
            raise _as_of_redis(error) from None
        self.busy = self._reader.has_data() and not self._only_news()
        return replies

    def _send(self, call: Exchange, request: Packed) -> None:
        self._received = 0
        if isinstance(request, list):
            for part in request:
                self._send_part(call, part)
            return
        try:
            sent = self._sock.send(request)
        except _WOULD_BLOCK:
            sent = 0
        if sent < len(request):
            self._send_part(call, memoryview(request)[sent:])

    def _send_part(self, call: Exchange, part: bytes | memoryview) -> None:
        """Send all of it, waiting while the server does not take it."""
        rest, room = memoryview(part), select.poll()
        while rest:
            wanted = select.POLLOUT
            try:
                rest = rest[self._sock.send(rest) :]
                continue
            except ssl.SSLWantReadError:
                wanted = select.POLLIN
            except _WOULD_BLOCK:
                pass
            room.register(self._sock, wanted)
            if not room.poll(1000 * call.socket_timeout()):
                raise TimeoutError

    def _receive(self, call: Exchange) -> None:
        """Feed the parser what comes next."""
        # as _recv, without another call: this is on the way of every reply
        left, count = call.left(), 0
        if left <= 0 or not self._poll(1000 * left):
            raise TimeoutError
        try:
            count = self._sock.recv_into(self._buffer)
        except _WOULD_BLOCK:
            count = self._recv(call, self._buffer)
        if not count:
            raise redis.ConnectionError(_CLOSED)
        call.heard = True
        if not self._received and not 0 < self._buffer.find(b"\r", 1, self._short) < count:
            count = self._check_header(call, count)
        self._received += count
        if self._received > self._max_reply:
            raise redis.InvalidResponse("a reply is too large")
        self._reader.feed(self._buffer, 0, count)

    def _recv(self, call: Exchange, buffer: bytearray | memoryview) -> int:
        while True:
            left = call.left()
            if left <= 0 or not self._poll(1000 * left):
                raise TimeoutError
            try:
                count: int = self._sock.recv_into(buffer)
            except _WOULD_BLOCK:
                continue
            if not count:
                raise redis.ConnectionError(_CLOSED)
            call.heard = True
            return count

    def _check_header(self, call: Exchange, count: int) -> int:
        """Look at a long first header before the parser makes room for what it announces; bytes in the buffer."""
        while self._buffer[0] in ANNOUNCING and count < LONGEST_HEADER and self._buffer.find(b"\r", 0, count) < 0:
            count += self._recv(call, memoryview(self._buffer)[count:])
        check_announced(bytes(self._buffer[: min(count, LONGEST_HEADER)]), self._max_reply)
        return count

    def _only_news_came(self) -> bool:
        """What came while nobody asked are messages that the server pushes, and the connection is in order."""
        try:
            count = self._sock.recv_into(self._buffer)
        except _WOULD_BLOCK:
            # TLS talks among itself
            return True
        except OSError:
            return False
        self._reader.feed(self._buffer, 0, count)
        return bool(count) and self._only_news() and not self._poll(0)

    def _only_news(self) -> bool:
        """Skip pushed messages; whether nothing else is there."""
        try:
            reply = self._reader.gets()
            while type(reply) is _Push:
                reply = self._reader.gets()
        except redis.RedisError:
            return False
        return reply is NOT_ENOUGH_DATA and not self._reader.has_data()


def _never(_: float) -> Any:
    return ()


def _poll(sock: Any) -> Callable[[float], Any]:
    """Waits for bytes of a socket, so many milliseconds."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    if not hasattr(sock, "pending"):
        return poller.poll
    return lambda ms: sock.pending() or poller.poll(ms)


def _raise_if_lost(reply: Any) -> None:
    """Source: redis-py 8.1, ``_HiredisParser.read_response``: such an error ends the connection."""
    if type(reply) is list:
        reply = reply[0] if reply else None
    if isinstance(reply, redis.ConnectionError):
        raise reply


def _as_of_redis(error: OSError) -> redis.RedisError:
    """The error that redis-py makes of the system's."""
    if isinstance(error, TimeoutError):
        return redis.TimeoutError("Timeout reading from socket")
    return redis.ConnectionError(f"Error while reading from socket: {error.args}")
