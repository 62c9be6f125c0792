"""The gate: every request's head is looked at before a route is, every answer says how it may be used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from cache.api.access import Access
from cache.api.problems import ProblemError, answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
"""Of every answer that does not say something else itself: no script runs, nobody frames or keeps it."""


class Gate:
    """Stands before the application.

    Args:
        app: what it guards.
        access: who may pass.
    """

    def __init__(self, app: App, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; HEAD is GET without the body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bare, ended = scope["method"] == "HEAD", list[bool]()

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, _with_head(name, value)) for name, value in message.get("headers", ())]
                said = {name.lower() for name, _ in kept}
                message = {**message, "headers": [*kept, *(pair for pair in HEADERS if pair[0] not in said)]}
            elif bare:
                if ended:
                    return
                # a stream has no end of its own
                ended.append(True)
                message = {**message, "body": b"", "more_body": False}
            await send(message)

        try:
            self._access.check(scope["headers"], len(scope["path"]) + len(scope["query_string"]))
        except ProblemError as refusal:
            await answer(refusal)(scope, receive, marked)
            return
        await self._app({**scope, "method": "GET"} if bare else scope, receive, marked)


def _with_head(name: bytes, value: bytes) -> bytes:
    """The methods of a route that takes GET: HEAD is one of them."""
    return b"GET, HEAD" if name.lower() == b"allow" and value == b"GET" else value
