"""Where a fault happens: a server, perhaps a proxy before it, and a connection that may do everything to it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cache.testing import EmbeddedServer, RoundTripProxy
from faults.truth import Truth


@dataclass(slots=True)
class Place:
    """What a fault may lay hands on.

    Args:
        server: with a TCP port and a Unix socket; the callers use the port.
        folder: for files.
        short: the form of CI: less of everything.
        more: figures of the fault's own, by name.
        url: how the callers reach the store.
    """

    server: EmbeddedServer
    truth: Truth
    folder: Path
    short: bool = False
    proxy: RoundTripProxy | None = None
    more: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    _admin: redis.Redis | None = None

    def __post_init__(self) -> None:
        self.url = self.url or (self.proxy.url if self.proxy is not None else self.server.tcp_url)

    @property
    def admin(self) -> redis.Redis:
        """A client over the Unix socket; a new one after the server has died."""
        if self._admin is None:
            # without retries, which would hide LOADING
            self._admin = redis.Redis(
                unix_socket_path=self.server.socket, socket_timeout=30, retry=Retry(NoBackoff(), 0)
            )
        return self._admin

    @property
    def network(self) -> RoundTripProxy:
        """The proxy of a row that has one."""
        assert self.proxy is not None, "the row asks for no proxy"
        return self.proxy

    def drop_callers(self) -> None:
        """Close every connection of the callers."""
        self.admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def firewall(self, *rule: str, add: bool = True) -> None:
        """Put a rule of iptables in force, or lift it; the row runs in a network of its own."""
        subprocess.run(["iptables", "-A" if add else "-D", *rule], check=True)

    def close(self) -> None:
        """Let the admin's connection go."""
        if self._admin is not None:
            self._admin.close()


def beside(act: Callable[[], Any]) -> threading.Thread:
    """Begin something that blocks, in a thread; its errors are its own."""

    def run() -> None:
        try:
            act()
        except redis.RedisError:
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
