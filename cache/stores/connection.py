"""Connections that never wait beyond the deadline of the call they serve, whatever they are doing.

redis-py sets one time-out per socket operation; here each receive, send and connect gets what is
left of the whole call. A reply that comes late meets a closed connection.
"""

from __future__ import annotations

import codecs
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from cache.stores.exchange import CURRENT, Exchange
from cache.stores.greeting import Greeting
from cache.stores.options import StoreOptions
from cache.stores.resolving import is_address
from cache.stores.sizes import ReplyMeter
from cache.stores.urls import StoreURL

# getaddrinfo imports it at its first call: a child that is forked meanwhile would wait for that import for ever
codecs.lookup("idna")


class _BoundSocket:
    """A socket whose operations end with the deadline of the call they serve."""

    __slots__ = ("_ceiling_s", "_exchange", "_meter", "raw")

    def __init__(self, sock: socket.socket, ceiling_s: float, meter: ReplyMeter, exchange: Exchange | None) -> None:
        self.raw, self._ceiling_s, self._meter, self._exchange = sock, ceiling_s, meter, exchange

    def _call(self) -> Exchange | None:
        return self._exchange or CURRENT.get()

    def _bind(self) -> None:
        call = self._call()
        self.raw.settimeout(self._ceiling_s if call is None else call.socket_timeout())

    def recv_into(self, buffer: Any, *args: Any) -> int:
        self._bind()
        count = self.raw.recv_into(buffer, *args)
        call = self._call()
        if call is not None and count:
            call.heard = True
        self._meter.received(buffer, count)
        return count

    def recv(self, *args: Any) -> bytes:
        self._bind()
        return self.raw.recv(*args)

    def sendall(self, *args: Any) -> None:
        self._bind()
        self._meter.restart()
        self.raw.sendall(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


class _Bounded:
    """Mixed into redis-py's connection classes.

    Args:
        greeting: said on each new connection.
        ceiling_s: seconds that an operation outside of a call may take.
        max_reply_bytes: a longer reply closes the connection.

    Attributes:
        exchange: the call that connects; None: the one that is current.
    """

    exchange: Exchange | None = None
    socket_connect_timeout: Any

    def __init__(self, *args: Any, greeting: Greeting, ceiling_s: float, max_reply_bytes: int, **kwargs: Any) -> None:
        self._greeting, self._ceiling_s, self._max_reply = greeting, ceiling_s, max_reply_bytes
        super().__init__(*args, **kwargs)

    def _connect(self) -> Any:
        call = self.exchange or CURRENT.get()
        self.socket_connect_timeout = left = self._ceiling_s if call is None else call.socket_timeout()
        connect = super()._connect  # type: ignore[misc]
        quick = hasattr(self, "path") or (is_address(getattr(self, "host", "")) and not hasattr(self, "ca_certs"))
        sock = connect() if quick else _beside(connect, left)
        return _BoundSocket(sock, self._ceiling_s, ReplyMeter(self._max_reply), self.exchange)

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet the server in one flush."""
        self._parser.on_connect(self)  # type: ignore[attr-defined]
        dialogue = self._greeting.dialogue()
        try:
            commands = next(dialogue)
            while True:
                super().send_packed_command(self.pack_commands(commands), check_health=False)  # type: ignore[misc,attr-defined]
                commands = dialogue.send([self._reply() for _ in commands])
        except StopIteration:
            return
        except BaseException:
            self.disconnect()  # type: ignore[attr-defined]
            raise

    def _reply(self) -> Any:
        try:
            return self.read_response(disable_decoding=True, disconnect_on_error=False)  # type: ignore[attr-defined]
        except (redis.ResponseError, redis.AuthenticationError) as refusal:
            return refusal

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send; from here on the call may have reached the server."""
        call = CURRENT.get()
        if call is not None:
            call.sent = True
        super().send_packed_command(command, check_health)  # type: ignore[misc]


def _beside(connect: Callable[[], Any], seconds: float) -> Any:
    """Connect in a thread of its own: nothing else bounds a name server or a TLS partner that does not answer.

    Raises:
        TimeoutError: not within ``seconds``; a socket that comes later is closed.
        Exception: whatever ``connect`` raised.
    """
    result: Future[Any] = Future()

    def run() -> None:
        try:
            sock = connect()
        except BaseException as error:
            if result.set_running_or_notify_cancel():
                result.set_exception(error)
            return
        if result.set_running_or_notify_cancel():
            result.set_result(sock)
        else:
            sock.close()

    threading.Thread(target=run, daemon=True, name="glasscache-connect").start()
    try:
        return result.result(seconds)
    except FutureTimeoutError:
        if not result.cancel() and result.done() and result.exception() is None:
            result.result().close()
        raise TimeoutError("the connection was not made in time") from None


class TCPConnection(_Bounded, redis.Connection):
    """redis://"""


class TLSConnection(_Bounded, redis.SSLConnection):
    """rediss://, certificate and host name always checked."""


class UnixConnection(_Bounded, redis.UnixDomainSocketConnection):
    """unix://"""

    # redis-py 8.1 reads it to count a connection that was not made in time, and fails
    port = None


CLASSES: dict[str, Any] = {
    "redis": TCPConnection,
    "rediss": TLSConnection,
    "unix": UnixConnection,
}


def arguments(url: StoreURL, options: StoreOptions, greeting: Greeting) -> dict[str, Any]:
    """Connection arguments that both drivers share."""
    shared: dict[str, Any] = {
        "db": url.db,
        "greeting": greeting,
        "max_reply_bytes": options.max_reply_bytes,
        "socket_connect_timeout": options.ceiling_s,
        "protocol": 3,
        "driver_info": None,
        "health_check_interval": 0,
        "encoding_errors": "surrogateescape",
    }
    if url.scheme == "unix":
        return shared | {"path": url.path}
    shared |= {"host": url.host, "port": url.port, "socket_keepalive": True}
    if url.scheme == "rediss":
        shared |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            **dict(url.tls),
        }
    return shared


def new_client(url: StoreURL, options: StoreOptions, greeting: Greeting, *, decode: bool) -> redis.Redis:
    """A redis-py client over bounded connections; its own retries and chatter are off."""
    pool = redis.ConnectionPool(
        connection_class=CLASSES[url.scheme],
        max_connections=2 * options.max_connections,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        ceiling_s=options.ceiling_s,
        socket_timeout=options.ceiling_s,
        decode_responses=decode,
        retry=Retry(NoBackoff(), 0),
        **arguments(url, options, greeting),
    )
    return redis.Redis(connection_pool=pool)
