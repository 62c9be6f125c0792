"""Server-sent events: the page's frames, as they come.

Source: the HTML standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import Response

from cache.api.live import Live

BEAT_S = 10.0
"""After so long without a frame a line that says nothing keeps proxies from thinking that nobody is there."""

AGAIN_MS = 2000
"""After which a page that lost its stream asks for another one."""

Message = MutableMapping[str, Any]


class Stream(Response):
    """Every frame from now on until the end, or until nobody listens.

    Args:
        live: whose frames.
        beat_s: the longest silence, seconds.
    """

    media_type = "text/event-stream"

    def __init__(self, live: Live, beat_s: float = BEAT_S) -> None:
        # nginx would keep the events until there are many
        super().__init__(headers={"x-accel-buffering": "no"}, media_type=self.media_type)
        self._live, self._beat_s = live, beat_s
        del self.headers["content-length"]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one listener."""
        async with self._live.entered():
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            listens = asyncio.create_task(_until_gone(receive))
            try:
                await self._frames(send, listens)
            finally:
                listens.cancel()
            if not listens.done() or listens.cancelled():
                await send(_body(b"event: end\ndata: {}\n\n", more=False))

    async def _frames(self, send: Callable[[Message], Awaitable[None]], listens: asyncio.Task[None]) -> None:
        await send(_body(f"retry: {AGAIN_MS}\n\n".encode()))
        shown = 0
        while not listens.done() and not self._live.ended:
            number = self._live.number
            if number != shown:
                shown = number
                await send(_body(b"id: %d\ndata: %b\n\n" % (number, self._live.frame)))
                continue
            turn = asyncio.ensure_future(self._live.turned(self._beat_s))
            await asyncio.wait({turn, listens}, return_when=asyncio.FIRST_COMPLETED)
            turn.cancel()
            if self._live.number == shown and not self._live.ended and not listens.done():
                await send(_body(b": beat\n\n"))


async def _until_gone(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
