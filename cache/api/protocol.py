"""HTTP/1.1 as uvicorn speaks it, whose own refusals are problems too."""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cache.api.problems import MEDIA_TYPE, problem


class ProblemProtocol(H11Protocol):
    """What is no HTTP, or has too large a head, never reaches the application: it is refused here, in its language."""

    def send_400_response(self, msg: str) -> None:
        """Answer ``bad_request`` and end the connection; the parser's own text stays in the log."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            # the request has its answer, or a part of it: the rest of its body is what is wrong
            self.transport.close()
            return
        body = problem(400, "bad_request", "the request is no valid HTTP/1.1, or its head is too large")
        data = body.model_dump_json().encode()
        headers = [
            ("content-type", MEDIA_TYPE),
            ("content-length", str(len(data))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=body.title.encode()),
            h11.Data(data=data),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
