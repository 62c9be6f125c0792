"""A loopback proxy before a real server: counts round trips, and behaves as badly as a network can."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self
from urllib.parse import urlsplit

from cache.testing.weather import Weather
from cache.testing.wire import RequestParser, Tally

_CHUNK = 1 << 16
_START_S = 10.0


class RoundTripProxy:
    """Listens on a loopback port, in a thread of its own.

    Args:
        upstream: URL of the server, ``unix://`` or ``redis://``.

    Attributes:
        tally: what passed: ``round_trips`` (request flushed, reply awaited), ``commands``, ``greetings`` (handshakes,
            counted apart), ``accepted`` and ``open`` connections.

    Example:
        >>> from cache.testing import EmbeddedServer
        >>> with EmbeddedServer() as server, RoundTripProxy(server.url) as proxy:
        ...     proxy.tally.round_trips
        0
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self.tally = Tally()
        self.port = 0
        self._weather = Weather()
        self._changed = asyncio.Event()
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="glasscache-proxy", daemon=True)
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """The URL to connect to instead of the server's."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise TimeoutError("the proxy did not start")
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_START_S)

    def delay(self, seconds: float, jitter: float = 0.0) -> None:
        """Let every burst of replies come later, by up to ``jitter`` seconds more."""
        self._set(Weather(delay_s=seconds, jitter_s=jitter))

    def cut_after(self, count: int) -> None:
        """Reset each connection after ``count`` further bytes of replies, >= 0."""
        self._set(Weather(cut_after=count))

    def cut_open_after(self, count: int) -> None:
        """Reset each connection that is open now after ``count`` further bytes of replies; new ones are well."""
        self._call(lambda: self._cut_open(count))

    def blackhole(self) -> None:
        """Take requests and lose them."""
        self._set(Weather(deaf=True))

    def hold(self) -> None:
        """Let requests through and keep the replies until the weather changes."""
        self._set(Weather(mute=True))

    def impersonate(self, answer: bytes) -> None:
        """Answer every request with these bytes, as a program that is not Redis would."""
        self._set(Weather(impostor=answer))

    def drip(self, seconds: float) -> None:
        """Let replies come byte by byte, so many seconds apart."""
        self._set(Weather(drip_s=seconds))

    def slice(self, size: int) -> None:
        """Let replies come in pieces of ``size`` bytes, each in a packet of its own."""
        self._set(Weather(slice_to=size))

    def duplicate(self) -> None:
        """Send every burst of replies twice."""
        self._set(Weather(twice=True))

    def forget(self) -> None:
        """Drop the state of every open connection, as a middlebox does: what is sent over it is lost without a word."""
        self._call(self._forget_all)

    def say(self, unasked: bytes) -> None:
        """Send these bytes over every open connection, though nobody asked."""
        self._call(lambda: self._say(unasked))

    def heal(self) -> None:
        """Be a good network again; replies that were held come now."""
        self._set(Weather())

    def reset_connections(self) -> None:
        """Reset every open connection (RST)."""
        self._call(self._reset_all)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _set(self, weather: Weather) -> None:
        self._call(lambda: self._change(weather))

    def _change(self, weather: Weather) -> None:
        self._weather = weather
        for link in self._links:
            link.budget = weather.cut_after
        self._changed.set()
        self._changed = asyncio.Event()

    def _cut_open(self, count: int) -> None:
        for link in self._links:
            link.budget = count

    def _say(self, unasked: bytes) -> None:
        for link in self._links:
            link.say(unasked)

    def _forget_all(self) -> None:
        for link in self._links:
            link.forgotten = True

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    def _call(self, function: Callable[[], None]) -> None:
        """Run in the proxy's thread, and wait until it is done."""
        done = threading.Event()

        def run() -> None:
            function()
            done.set()

        self._loop.call_soon_threadsafe(run)
        if not done.wait(_START_S):
            raise TimeoutError("the proxy does not answer")

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            self._reset_all()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, writer)
        self._links.add(link)
        self.tally.connected(1)
        try:
            link.server_reader, link.server_writer = await self._dial()
            await _first_to_end(link.requests(reader), link.replies())
        except OSError:
            link.reset()
        finally:
            self._links.discard(link)
            self.tally.connected(-1)
            link.close()

    def _dial(self) -> Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        if self._upstream.scheme == "unix":
            return asyncio.open_unix_connection(self._upstream.path)
        return asyncio.open_connection(self._upstream.hostname, self._upstream.port)


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: RoundTripProxy, client: asyncio.StreamWriter) -> None:
        self._proxy, self._client = proxy, client
        self.server_reader: asyncio.StreamReader
        self.server_writer: asyncio.StreamWriter | None = None
        self.budget = proxy._weather.cut_after
        self.forgotten = False
        self._turned = True

    async def requests(self, reader: asyncio.StreamReader) -> None:
        """Client to server."""
        parser = RequestParser()
        while data := await reader.read(_CHUNK):
            weather = self._proxy._weather
            self._proxy.tally.asked(parser.feed(data), turned=self._turned)
            self._turned = False
            if weather.impostor is not None:
                self._client.write(weather.impostor)
                self._turned = True
            elif not (weather.deaf or self.forgotten) and self.server_writer is not None:
                self.server_writer.write(data)

    async def replies(self) -> None:
        """Server to client."""
        while data := await self.server_reader.read(_CHUNK):
            weather = self._proxy._weather
            if weather.delay_s:
                await asyncio.sleep(weather.delay_s + random.random() * weather.jitter_s)
            while self._proxy._weather.mute:
                await self._proxy._changed.wait()
            self._turned = True
            if weather.twice:
                data += data
            if weather.drip_s:
                await self._drip(data)
            elif weather.slice_to:
                await self._in_pieces(data, weather.slice_to)
            elif self.budget is None or len(data) < self.budget:
                self._client.write(data)
                self.budget = None if self.budget is None else self.budget - len(data)
            else:
                self._client.write(data[: self.budget])
                self.reset()
                return

    async def _drip(self, data: bytes) -> None:
        for byte in data:
            self._client.write(bytes([byte]))
            await asyncio.sleep(self._proxy._weather.drip_s)

    async def _in_pieces(self, data: bytes, size: int) -> None:
        for start in range(0, len(data), size):
            self._client.write(data[start : start + size])
            # a turn of the loop: each piece is a send of its own
            await asyncio.sleep(0)

    def say(self, unasked: bytes) -> None:
        """Send these bytes to the client."""
        self._client.write(unasked)

    def reset(self) -> None:
        """End the connection by RST; what was written before still arrives."""
        raw = self._client.get_extra_info("socket")
        if raw is None or self._client.is_closing():
            return
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()

    def close(self) -> None:
        """Let both ends go."""
        for writer in (self._client, self.server_writer):
            if writer is not None:
                writer.close()


async def _first_to_end(*directions: Coroutine[Any, Any, None]) -> None:
    """Carry both directions until one ends."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
