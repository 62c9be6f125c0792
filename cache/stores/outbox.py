"""Requests that wait to be written: what is asked for in one turn of the loop goes out in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from cache.stores.request import Request

WRITE_BYTES = 1 << 18
"""About the most that is handed to the transport in one turn of the loop."""

SLICE_BYTES = 1 << 16
"""Larger requests are handed on in slices of so many bytes, from where they lie."""


class Outbox:
    """Writes requests in their order, without those of callers that have gone already.

    Args:
        transport: of the connection.
        sent: told each request as it goes.

    Attributes:
        requests: those that wait.
    """

    __slots__ = ("_context", "_flushing", "_loop", "_paused", "_rest", "_sent", "_transport", "requests")

    def __init__(self, transport: Any, sent: Callable[[Request], None]) -> None:
        self._transport, self._sent = transport, sent
        self._loop = asyncio.get_running_loop()
        # a write is of many callers: it keeps no one's context alive
        self._context = Context()
        self.requests: deque[Request] = deque()
        self._rest: deque[memoryview] = deque()
        self._paused = self._flushing = False

    def add(self, request: Request, *, at_once: bool) -> None:
        """Take a request.

        Args:
            at_once: write it now; otherwise together with what else is asked for in this turn of the loop.
        """
        self.requests.append(request)
        if not self._flushing:
            if at_once:
                self._flush()
            else:
                self._flush_soon()

    def is_stuck(self) -> bool:
        """Whether a large request, or a server that does not read, keeps others waiting."""
        return self._paused or bool(self._rest)

    def pause(self) -> None:
        """The transport holds more than it likes: wait."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        if not self._flushing:
            self._flush()

    def clear(self) -> None:
        """Forget everything."""
        self.requests.clear()
        self._rest.clear()

    def _flush_soon(self) -> None:
        self._flushing = True
        self._loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        self._flushing = False
        requests, rest, pieces, size = self.requests, self._rest, [], 0
        while size < WRITE_BYTES and not self._paused:
            if rest:
                size += self._write_slice()
            elif not requests:
                break
            elif not (request := requests.popleft()).answer.done():
                request.call.sent = True
                self._sent(request)
                data, request.data = request.data, b""
                if isinstance(data, bytes) and len(data) <= SLICE_BYTES:
                    pieces.append(data)
                    size += len(data)
                    continue
                self._write(pieces)
                pieces = []
                rest.extend(memoryview(part) for part in ([data] if isinstance(data, bytes) else data))
        self._write(pieces)
        if (requests or rest) and not self._paused:
            self._flush_soon()

    def _write(self, pieces: list[bytes]) -> None:
        if pieces:
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _write_slice(self) -> int:
        """Hand on so much of a large request as the transport may have to copy."""
        view = self._rest.popleft()
        if len(view) > SLICE_BYTES:
            self._rest.appendleft(view[SLICE_BYTES:])
            view = view[:SLICE_BYTES]
        self._transport.write(view)
        return len(view)
