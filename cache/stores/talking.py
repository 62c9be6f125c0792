"""Requests and replies on one open connection: the way of a command through it, within the call's deadline.

The socket does not block: each wait is a poll for what is left of the deadline, however slowly the server's bytes
drip.
"""

from __future__ import annotations

import select
import ssl
from collections.abc import Callable
from types import NoneType
from typing import Any, NamedTuple

import hiredis
import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA

from cache.core.sent import NOT_NOW
from cache.stores.exchange import Exchange
from cache.stores.packing import Packed
from cache.stores.sizes import ANNOUNCING, LONGEST_HEADER, MAX_ELEMENTS, check_announced

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_CLOSED = "Connection closed by server."
_Push = hiredis.PushNotification
_UNSUSPICIOUS = (bytes, NoneType, int)


class Halfway(NamedTuple):
    """How far a request came that was not answered in one piece.

    Args:
        out: bytes of it that went out.
        came: bytes of the reply that came, in the buffer.
        fed: the parser has them, and gave ``reply``.
    """

    out: int
    came: int = 0
    fed: bool = False
    reply: Any = None


class Talking:
    """Asks on a connection that somebody else opens and closes.

    Args:
        max_reply_bytes: longer replies to one request close the connection.

    Attributes:
        is_open: there is a connection.
        busy: a request is under way, or its replies are not all read.
    """

    __slots__ = ("_buffer", "_max_reply", "_poll", "_reader", "_received", "_short", "_sock", "busy", "is_open")

    def __init__(self, max_reply_bytes: int) -> None:
        self._max_reply = max_reply_bytes
        # a header that ends within so many bytes announces less than is allowed
        self._short = len(str(min(MAX_ELEMENTS, max_reply_bytes))) + 1
        self._sock: Any = None
        self._reader: Any = None
        self._buffer = bytearray()
        self._poll: Callable[[float], Any] = _never
        self._received = 0
        self.is_open = self.busy = False

    def ask(self, call: Exchange, request: Packed) -> Any:
        """Send one command; its reply.

        Raises:
            redis.RedisError: no reply, or a refusal; the connection is ``busy`` then, unless it is in order.
        """
        self.busy = call.sent = True
        try:
            self._send(call, request)
            self._receive(call)
            return self._reply(call, self._reader.gets())
        except OSError as error:
            raise _as_of_redis(error) from None

    def ask_at_once(self, request: bytes, ms: float) -> Any:
        """Ask for a list that comes in one piece, and keep no account of the call.

        Args:
            request: one command, short.
            ms: how long to wait for the reply.

        Returns:
            The list; ``NOT_NOW`` when nothing was sent; else how far it came, for ``go_on``.

        Raises:
            redis.RedisError: the connection is lost; it is ``busy`` then.
        """
        poll, sock, reader, buffer, sent, count = self._poll, self._sock, self._reader, self._buffer, 0, 0
        if not self.is_open or poll(0):
            return NOT_NOW
        self.busy, self._received = True, 0
        try:
            sent = sock.send(request)
            if sent == len(request) and poll(ms):
                count = sock.recv_into(buffer)
        except _WOULD_BLOCK:
            return Halfway(sent)
        except OSError as error:
            raise _as_of_redis(error) from None
        if not 0 < buffer.find(b"\r", 1, self._short) < count:
            # nothing came, or a header that has to be looked at first
            return Halfway(sent, count)
        reader.feed(buffer, 0, count)
        reply = reader.gets()
        if type(reply) is not list or reader.has_data():
            return Halfway(sent, count, True, reply)
        self.busy = False
        return reply

    def go_on(self, call: Exchange, request: bytes, halfway: Halfway) -> Any:
        """The reply to what ``ask_at_once`` did not bring to an end.

        Raises:
            redis.RedisError: as ``ask``.
        """
        sent, count, fed, reply = halfway
        call.sent, call.heard = True, count > 0
        try:
            if sent < len(request):
                self._send_part(call, memoryview(request)[sent:])
            if fed:
                self._received = count
                return self._reply(call, reply)
            if count:
                self._take(call, count)
            else:
                self._receive(call)
            return self._reply(call, self._reader.gets())
        except OSError as error:
            raise _as_of_redis(error) from None

    def _reply(self, call: Exchange, reply: Any) -> Any:
        """The reply to one command, which begins with what the parser gave."""
        reader = self._reader
        while reply is NOT_ENOUGH_DATA or type(reply) is _Push:
            if reply is NOT_ENOUGH_DATA:
                self._receive(call)
            reply = reader.gets()
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
        self._take(call, count)

    def _take(self, call: Exchange, count: int) -> None:
        """Feed the parser what has come, unless it announces too much."""
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


def _never(_: float) -> Any:
    return ()
