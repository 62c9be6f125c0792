"""HTTP/1.1 as uvicorn speaks it, whose own refusals are problems too, and which waits for nobody for long."""

from __future__ import annotations

import asyncio
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cache.api.access import MOST_HEAD
from cache.api.problems import MEDIA_TYPE, problem

MOST_CONNECTIONS = 512
"""Connections of one worker; further ones are told to come back."""

REQUEST_S = 10.0
"""How long a request may take to arrive, head and body, from its connection or its first byte on."""


UNREAD_S = 10.0
"""How long a part of an answer may wait for its reader, who is cut off then."""


class ProblemProtocol(H11Protocol):
    """What is no HTTP, has too large a head or dawdles is refused here, in the application's language."""

    most_connections = MOST_CONNECTIONS
    request_s = REQUEST_S
    unread_s = UNREAD_S
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(503, "overloaded", f"more than {self.most_connections} connections; try again later")
            return
        self._late = self.loop.call_later(self.request_s, self._too_late)

    def data_received(self, data: bytes) -> None:
        """Read on; from the first byte of a request until it is whole, its time runs."""
        super().data_received(data)
        self._mind_the_time()

    def on_response_complete(self) -> None:
        """A part of the next request may be there already."""
        super().on_response_complete()
        self._mind_the_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._in_time()
        self._read_on()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The other end does not read: from here on its time runs."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        self._read_on()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer ``bad_request`` or ``head_too_large``; the parser's own text stays in the log."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            self._refuse(431, "head_too_large", f"the request's head is larger than {MOST_HEAD} bytes")
        else:
            self._refuse(400, "bad_request", "the request is no valid HTTP/1.1")

    def _mind_the_time(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY or (state is h11.IDLE and self.conn.trailing_data[0]):
            if self._late is None and not self.transport.is_closing():
                self._late = self.loop.call_later(self.request_s, self._too_late)
        elif state is not h11.IDLE or self.cycle is not None:
            self._in_time()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _too_late(self) -> None:
        self._late = None
        began = self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]
        if not began:
            # it was opened in reserve: nobody waits for an answer
            self.transport.close()
            return
        self._refuse(408, "request_timeout", f"the request did not arrive within {self.request_s:g} s")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer with a problem, unless an answer has begun, and end the connection."""
        if self.transport.is_closing():
            return
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            # the request has its answer, or a part of it: the rest of its body is what is wrong
            self.transport.close()
            return
        if self.cycle is not None:
            # what the application would still say finds nobody
            self.cycle.disconnected = True
        body = problem(status, code, detail)
        data = body.model_dump_json().encode()
        headers = [
            ("content-type", MEDIA_TYPE),
            ("content-length", str(len(data))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=status, headers=headers, reason=body.title.encode()),
            h11.Data(data=data),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
