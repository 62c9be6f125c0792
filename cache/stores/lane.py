"""One connection that many tasks of an event loop share.

What is asked for in one turn of the loop goes out in one write; replies are handed out in the order
of the requests. A caller that gives up leaves its place, whose reply is read and thrown away.

    submit -> outbox --write--> waiting --reply--> answer
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import Any

import hiredis
import redis

from cache.errors import StoreError
from cache.stores.alarm import NEVER, Alarm
from cache.stores.async_connection import Taken
from cache.stores.async_packing import is_large
from cache.stores.exchange import Exchange
from cache.stores.guard import is_silent
from cache.stores.outbox import Outbox
from cache.stores.packing import Packed
from cache.stores.request import Request
from cache.stores.sizes import ReplyMeter
from telemetry.vocabulary import ErrorType

READ_BYTES = 1 << 16
"""Most that is read and parsed at a time: what else the loop has to do comes in between."""

CROWD_BYTES = 1 << 16
"""So many bytes of a reply that is not complete yet: others had better take another way."""

_CLOSE_S = 0.0001
_INCOMPLETE = object()


class Lane(asyncio.BufferedProtocol):
    """Carries requests over a connection that redis-py has made and greeted.

    Args:
        taken: the connection.
        max_reply_bytes: a longer reply ends the lane, to within one read.
        room: how many requests may be under way, those of callers that gave up included.
        on_end: called once, when the lane is closed.

    Attributes:
        open: new requests may join.
        crowded: a large reply is coming in, or requests do not get out.
    """

    def __init__(self, taken: Taken, max_reply_bytes: int, room: int, on_end: Callable[[Lane], None]) -> None:
        loop = asyncio.get_running_loop()
        self._now, self._future = loop.time, loop.create_future
        self._reader: Any = hiredis.Reader(
            protocolError=redis.InvalidResponse, replyError=taken.parse_error, notEnoughData=_INCOMPLETE
        )
        self._meter, self._room, self._on_end = ReplyMeter(max_reply_bytes), room, on_end
        self._buffer = bytearray(READ_BYTES)
        # TLS fills it in slices: a slice of the array itself would be a copy
        self._view = memoryview(self._buffer)
        self._taken, self._transport, self._poller = taken, taken.transport, taken.poller
        self._waiting: deque[Request] = deque()
        self._outbox = Outbox(self._transport, self._waiting.append)
        self._alarm = Alarm(self._deadlines)
        self._heard = self._burst = 0
        self.crowded, self.open, self._ended = False, True, False
        self._transport.set_protocol(self)
        self._transport.resume_reading()
        if not taken.clean:
            self.end()

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not self._waiting and not self._outbox.requests

    def is_usable(self) -> bool:
        """Whether a request may join; a connection that the server closed while it was idle is noticed here.

        Raises:
            StoreError: too many are under way.
        """
        taken = len(self._waiting) + len(self._outbox.requests)
        if not taken and self.open and self._poller is not None and self._poller.poll(0):
            self.end()
        elif taken >= self._room:
            raise StoreError(ErrorType.POOL_EXHAUSTED, "too many wait", sent_nothing=True)
        return self.open

    def submit(self, call: Exchange, data: Packed, count: int | None) -> asyncio.Future[Any]:
        """Ask.

        Args:
            data: packed commands.
            count: how many of them make a pipeline; None for a single command.

        Returns:
            What gets the reply, the list of replies, or the error as its result.
        """
        answer = self._future()
        until = self._now() + call.left()
        request = Request(answer, call, until, data, count, self._heard)
        if not self.open:
            request.fail(redis.ConnectionError("the connection has ended"), self._heard, bystander=True)
            return answer
        if is_large(data):
            self.crowded = True
        if until < self._alarm.at:
            self._alarm.ring_by(until)
        # whoever comes alone need not wait for the turn's end
        self._outbox.add(request, at_once=not self._waiting and self._burst <= 1)
        return answer

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport puts what it reads."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Some bytes came."""
        self._heard += 1
        try:
            self._meter.received(self._buffer, nbytes)
            self._reader.feed(self._buffer, 0, nbytes)
            self._hand_out()
        except Exception as error:
            self.end(error)

    def _hand_out(self) -> None:
        reader, waiting, before, more = self._reader, self._waiting, len(self._waiting), None
        while (reply := reader.gets()) is not _INCOMPLETE:
            if reply.__class__ is not hiredis.PushNotification:
                if not waiting:
                    raise redis.InvalidResponse("a reply that nobody asked for")
                request = waiting[0]
                if isinstance(reply, Exception):
                    self._refused(request, reply)
                if request.replied(reply):
                    waiting.popleft()
            more = reader.has_data()
            if not more:
                break
        if more is not None:
            self._meter.restart(reader.len() if more else 0)
        self._burst = before - len(waiting) or self._burst
        self.crowded = self._outbox.is_stuck() or self._meter.pending > CROWD_BYTES
        if not self.open and self.idle:
            self.end()

    def _refused(self, request: Request, error: Exception) -> None:
        request.call.heard = True
        if isinstance(error, redis.ConnectionError):
            # loading, no authentication: another connection is to be tried, as redis-py does
            self.retire()

    def retire(self) -> None:
        """Take no new requests; close when the last reply is there."""
        self.open = False
        if self.idle:
            self.end()

    def end(self, error: Exception | None = None) -> None:
        """Close now.

        Args:
            error: what the head of the line is told; all others, or all when it is None, are bystanders.
        """
        if self._ended:
            return
        self._ended, self.open = True, False
        self._alarm.stop()
        self._transport.abort()
        head = self._waiting[0] if self._waiting else None
        for request in chain(self._waiting, self._outbox.requests):
            if not request.answer.done():
                told = error if request is head else None
                lost = redis.ConnectionError("the connection has ended")
                request.fail(told or lost, self._heard, bystander=told is None)
        self._waiting.clear()
        self._outbox.clear()
        self._on_end(self)

    def pending(self) -> list[asyncio.Future[Any]]:
        """What callers still wait for."""
        return [request.answer for request in chain(self._waiting, self._outbox.requests) if not request.answer.done()]

    def _deadlines(self, now: float) -> float:
        """Tell those whose deadline has passed; a whole one without a byte ends the connection. The next deadline."""
        earliest, silent = NEVER, False
        for request in chain(self._waiting, self._outbox.requests):
            if request.answer.done():
                continue
            if request.until > now + _CLOSE_S:
                earliest = min(earliest, request.until)
                continue
            # what never went out, behind a large request or in a loop that was held up, proves nothing
            waited = request.call.sent
            request.fail(TimeoutError("the deadline has passed"), self._heard, bystander=not waited)
            silent = silent or (waited and is_silent(request.call))
        if silent:
            self.end()
            return NEVER
        return earliest

    def pause_writing(self) -> None:
        """The transport holds more than it likes: wait."""
        self._outbox.pause()
        self.crowded = True

    def resume_writing(self) -> None:
        """Go on."""
        self._outbox.resume()
        self.crowded = self._outbox.is_stuck() or self._meter.pending > CROWD_BYTES

    def eof_received(self) -> None:
        """The server closed the connection."""
        self.end(redis.ConnectionError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection broke, or has been closed."""
        self.end(redis.ConnectionError("the connection broke"))
