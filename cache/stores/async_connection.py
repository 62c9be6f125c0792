"""Connections for the event loop: the same greeting and bounds, and nothing left behind by a cancelled call."""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import Any

import redis
import redis.asyncio as aredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from cache.stores.connection import arguments
from cache.stores.exchange import CURRENT
from cache.stores.greeting import Greeting
from cache.stores.options import StoreOptions
from cache.stores.resolving import addresses
from cache.stores.sizes import ReplyMeter
from cache.stores.urls import StoreURL


class _MeteredReader:
    """A stream that notes what it hears."""

    __slots__ = ("_reader", "meter")

    def __init__(self, reader: asyncio.StreamReader, meter: ReplyMeter) -> None:
        self._reader, self.meter = reader, meter

    async def read(self, size: int) -> bytes:
        data = await self._reader.read(size)
        call = CURRENT.get()
        if call is not None and data:
            call.heard = True
        self.meter.received(data, len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


class _Bounded:
    """Mixed into redis-py's async connection classes."""

    host: Any
    port: Any
    _address: str
    _reader: Any
    _writer: Any

    def __init__(self, *args: Any, greeting: Greeting, max_reply_bytes: int, **kwargs: Any) -> None:
        self._greeting, self._max_reply = greeting, max_reply_bytes
        self._greeted, self._connecting = True, False
        super().__init__(*args, **kwargs)

    async def _connect(self) -> None:
        self._greeted = False
        if hasattr(self, "path"):
            self._connecting = True
            try:
                await super()._connect()  # type: ignore[misc]
            finally:
                self._connecting = False
        else:
            await self._connect_to_any(await addresses(self.host, self.port))

    async def _connect_to_any(self, found: list[str]) -> None:
        """Try a host's addresses in their order."""
        for address in found[:-1]:
            self._address = address
            with contextlib.suppress(OSError):
                return await super()._connect()  # type: ignore[misc,no-any-return]
        self._address = found[-1]
        return await super()._connect()  # type: ignore[misc,no-any-return]

    def _connection_arguments(self) -> dict[str, Any]:
        """As redis-py's, to an address; a certificate is checked against the name."""
        given = dict(super()._connection_arguments())  # type: ignore[misc]
        if given.get("ssl") is not None:
            given["server_hostname"] = self.host
        return given | {"host": self._address}

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet the server in one flush.

        Once, though redis-py asks twice on a Unix socket: the first time it would take a refused password for a
        server that is not there.
        """
        if self._greeted or self._connecting:
            return
        self._reader = _MeteredReader(self._reader, ReplyMeter(self._max_reply))
        self._parser.on_connect(self)  # type: ignore[attr-defined]
        dialogue = self._greeting.dialogue()
        try:
            commands = next(dialogue)
            while True:
                await super().send_packed_command(self.pack_commands(commands), check_health=False)  # type: ignore[misc,attr-defined]
                commands = dialogue.send([await self._reply() for _ in commands])
        except StopIteration:
            self._greeted = True
        except BaseException:
            await self.disconnect(nowait=True)
            raise

    async def _reply(self) -> Any:
        try:
            return await self.read_response(disable_decoding=True, disconnect_on_error=False)  # type: ignore[attr-defined]
        except (redis.ResponseError, redis.AuthenticationError) as refusal:
            return refusal

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send; from here on the call may have reached the server."""
        call = CURRENT.get()
        if call is not None:
            call.sent = True
        if isinstance(self._reader, _MeteredReader):
            self._reader.meter.restart()
        await super().send_packed_command(command, check_health)  # type: ignore[misc]

    async def can_read(self) -> bool:
        """True when the connection is not clean: also when the loop has not yet seen that the peer closed it."""
        return _has_news(self._writer) or await super().can_read()  # type: ignore[misc]

    async def disconnect(self, nowait: bool = False, *args: Any, **kwargs: Any) -> None:
        """Close; without waiting, also drop what a frozen server has not taken."""
        writer = getattr(self, "_writer", None)
        if nowait and writer is not None:
            writer.transport.abort()
        await super().disconnect(nowait, *args, **kwargs)  # type: ignore[misc]


def _has_news(writer: Any) -> bool:
    if writer is None or _is_tls(writer) or not hasattr(select, "poll"):
        return False
    if writer.is_closing():
        return True
    poller = select.poll()
    poller.register(writer.get_extra_info("socket"), select.POLLIN)
    return bool(poller.poll(0))


class Taken:
    """A connection that redis-py has made and greeted, out of its hands; what is left there is without a use.

    Args:
        connection: idle.

    Attributes:
        transport: reads as soon as it has a protocol of its new owner.
        parse_error: makes redis-py's exception of an error reply.
        poller: tells without reading whether it has news while it is idle; in TLS only its end is news.
        clean: nothing came that nobody asked for.
    """

    __slots__ = ("_writer", "clean", "parse_error", "poller", "transport")

    def __init__(self, connection: Any) -> None:
        reader, writer = connection._reader, connection._writer
        connection._reader = connection._writer = None
        # kept: a writer that is collected closes its transport
        self._writer, self.transport = writer, writer.transport
        self.parse_error = connection._parser.parse_error
        self.poller: select.poll | None = None
        if hasattr(select, "poll"):
            self.poller = select.poll()
            self.poller.register(writer.get_extra_info("socket"), _NEWS_OF_TLS if _is_tls(writer) else select.POLLIN)
        self.clean = not (reader.at_eof() or reader._buffer or writer.is_closing())


_NEWS_OF_TLS = getattr(select, "POLLRDHUP", 0)


def _is_tls(writer: Any) -> bool:
    return writer.get_extra_info("ssl_object") is not None


class TCPConnection(_Bounded, aredis.Connection):
    """redis://"""


class TLSConnection(_Bounded, aredis.SSLConnection):
    """rediss://, certificate and host name always checked."""


class UnixConnection(_Bounded, aredis.UnixDomainSocketConnection):
    """unix://"""


CLASSES: dict[str, Any] = {
    "redis": TCPConnection,
    "rediss": TLSConnection,
    "unix": UnixConnection,
}


def new_client(
    url: StoreURL, options: StoreOptions, greeting: Greeting, *, decode: bool, timeout_s: float | None
) -> aredis.Redis:
    """A redis.asyncio client over these connections; its own retries and chatter are off.

    Args:
        timeout_s: of each socket operation in seconds; None where the caller bounds the whole call.
    """
    pool = aredis.ConnectionPool(
        connection_class=CLASSES[url.scheme],
        # some more than may be in use: those that are ending are counted too
        max_connections=2 * options.max_connections + 4,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        socket_timeout=timeout_s,
        decode_responses=decode,
        retry=Retry(NoBackoff(), 0),
        **arguments(url, options, greeting),
    )
    return aredis.Redis(connection_pool=pool)
