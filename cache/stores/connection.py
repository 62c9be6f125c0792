"""Connections that never wait beyond the deadline of the call they serve, whatever they are doing.

redis-py sets one time-out per socket operation; here each receive, send and connect gets what is
left of the whole call. A new connection also asks the server for its run id, once.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cache.clock import Deadline
from cache.stores.urls import StoreURL

CEILING_S = 2.0
"""Seconds that any socket operation may take outside of a deadline: the specification's ceiling."""

LARGEST_REPLY = 256 << 20
"""Bytes of one reply; a larger one closes the connection."""


class Deadlines(threading.local):
    """The deadline of the call that this thread is making, and whether the server was heard meanwhile."""

    current: Deadline | None = None
    heard: bool = False

    def remaining(self) -> float:
        """Seconds left for a socket operation.

        Raises:
            TimeoutError: none.
        """
        if self.current is None:
            return CEILING_S
        left = self.current.remaining()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return min(left, CEILING_S)


class _BoundSocket:
    """A socket whose operations end with the deadline."""

    def __init__(self, sock: socket.socket, deadlines: Deadlines) -> None:
        self._sock, self._deadlines = sock, deadlines
        self._received = 0

    def recv_into(self, buffer: Any, *args: Any) -> int:
        self._sock.settimeout(self._deadlines.remaining())
        count = self._sock.recv_into(buffer, *args)
        self._deadlines.heard = True
        self._received += count
        if self._received > LARGEST_REPLY:
            raise redis.InvalidResponse("a reply is too large")
        return count

    def recv(self, *args: Any) -> bytes:
        self._sock.settimeout(self._deadlines.remaining())
        return self._sock.recv(*args)

    def sendall(self, *args: Any) -> None:
        self._received = 0
        self._sock.settimeout(self._deadlines.remaining())
        self._sock.sendall(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Bounded:
    """Mixed into redis-py's connection classes.

    Args:
        deadlines: where the call's deadline stands.
        identity: told the server's run id at each new connection.
    """

    def __init__(self, *args: Any, deadlines: Deadlines, identity: Identity, **kwargs: Any) -> None:
        self._deadlines, self._identity = deadlines, identity
        super().__init__(*args, **kwargs)

    def _connect(self) -> Any:
        self.socket_connect_timeout = left = self._deadlines.remaining()
        connect = super()._connect  # type: ignore[misc]
        named = hasattr(self, "path") or _is_address(getattr(self, "host", ""))
        return _BoundSocket(connect() if named else _beside(connect, left), self._deadlines)

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        self.send_command("INFO", "server", check_health=False)  # type: ignore[attr-defined]
        try:
            reply = self.read_response(disable_decoding=True)  # type: ignore[attr-defined]
        except redis.ResponseError:
            reply = b""
        self._identity.learn(reply)


class Identity:
    """Which server is at the other end: eight bytes of its run id's SHA-256; empty when it may not be asked."""

    def __init__(self) -> None:
        self.value = b""

    def learn(self, info: Any) -> None:
        """Take the run id out of a reply to ``INFO server``."""
        data = info if isinstance(info, bytes) else str(info).encode()
        for line in data.splitlines():
            if line.startswith(b"run_id:"):
                self.value = hashlib.sha256(line[7:].strip()).digest()[:8]
                return
        self.value = b""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _beside(connect: Callable[[], Any], seconds: float) -> Any:
    """Connect in a thread of its own: nothing else can bound a name server that does not answer.

    Raises:
        TimeoutError: not within ``seconds``; a socket that comes later is closed.
        Exception: whatever ``connect`` raised.
    """
    result: Future[Any] = Future()

    def run() -> None:
        try:
            sock = connect()
        except BaseException as error:
            result.set_exception(error)
            return
        if not result.set_running_or_notify_cancel():
            sock.close()
            return
        result.set_result(sock)

    threading.Thread(target=run, daemon=True, name="glasscache-connect").start()
    try:
        return result.result(seconds)
    except FutureTimeoutError:
        if not result.cancel():
            result.result(0).close()
        raise TimeoutError("the connection was not made in time") from None


class TCPConnection(_Bounded, redis.Connection):
    """redis://"""


class TLSConnection(_Bounded, redis.SSLConnection):
    """rediss://, certificate and host name always checked."""


class UnixConnection(_Bounded, redis.UnixDomainSocketConnection):
    """unix://"""


def options(url: StoreURL) -> dict[str, Any]:
    """Connection arguments that both drivers share: retries off, RESP2, no chatter at connect."""
    shared: dict[str, Any] = {
        "db": url.db,
        "username": url.username,
        "password": url.password,
        "socket_timeout": CEILING_S,
        "socket_connect_timeout": CEILING_S,
        "protocol": 2,
        "driver_info": None,
        "health_check_interval": 0,
        "encoding_errors": "surrogateescape",
    }
    if url.scheme == "unix":
        return shared | {"path": url.path}
    shared |= {"host": url.host, "port": url.port, "socket_keepalive": True}
    if url.scheme == "rediss":
        shared |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **dict(url.tls)}
    return shared


def no_retry() -> Retry:
    """redis-py's own retries, off: the store retries by its own rule."""
    return Retry(NoBackoff(), 0)
