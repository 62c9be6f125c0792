"""A primary with two replicas and three sentinels on loopback, from the embedded program; ended with the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import redis
from support.cluster import free_ports, start_all, until

from cache.stores.embedded import EmbeddedServer

SERVICE = "glass"

DOWN_S = 0.5
"""After so long without an answer a sentinel takes the primary for dead."""


QUICK = ("info-period", 500, "ping-period", 200, "publish-period", 200, "ask-period", 200)
"""How often sentinels look about, in milliseconds: by default every 10, 1, 2 and 1 s. What is measured is the cache."""


class SentinelServer(EmbeddedServer):
    """A sentinel: the same program, told so by a file that it keeps its memory in."""

    def __init__(self, port: int, primary: int) -> None:
        super().__init__(port=port)
        self._primary, self.password = primary, ""

    def _command(self, program: str) -> list[str]:
        lines = (
            f"port {self.port}", "bind 127.0.0.1", f"unixsocket {self.socket}", f"dir {self._directory}",
            "logfile server.log",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._primary} 2",
            f"sentinel down-after-milliseconds {SERVICE} {int(DOWN_S * 1000)}",
            f"sentinel failover-timeout {SERVICE} 2000",
        )  # fmt: skip
        conf = Path(self._directory, "sentinel.conf")
        conf.write_text("\n".join(lines) + "\n")
        return [program, str(conf), "--sentinel"]


class Guarded:
    """One primary, its replicas, three sentinels.

    Args:
        password: of the sentinels alone.
    """

    def __init__(self, replicas: int = 2, password: str = "") -> None:
        self._password = password
        ports, self._replicas = free_ports(4 + replicas), str(replicas).encode()
        first = str(ports[0])
        swift = ("--repl-diskless-sync-delay", "0")
        follow = ("--replicaof", f"127.0.0.1 {first}")
        self.servers = [EmbeddedServer("64mb", swift, port=ports[0])]
        self.servers += [EmbeddedServer("64mb", (*swift, *follow), port=port) for port in ports[1 : 1 + replicas]]
        self.sentinels = [SentinelServer(port, ports[0]) for port in ports[1 + replicas :]]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def __enter__(self) -> Self:
        try:
            start_all([*self.servers, *self.sentinels])
            for sentinel in self.sentinels:
                self.ask(sentinel, "SENTINEL", "DEBUG", *QUICK)
                if self._password:
                    self.ask(sentinel, "SENTINEL", "CONFIG", "SET", "sentinel-pass", self._password)
                    self.ask(sentinel, "ACL", "SETUSER", "default", "resetpass", f">{self._password}")
                    sentinel.password = self._password
            self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in (*self.sentinels, *self.servers):
            server.stop()

    def settle(self) -> None:
        """Wait until the sentinels agree, know each other and both replicas, and these are in step."""
        until(self._is_well, "the sentinels agree", 30)

    def _is_well(self) -> bool:
        told = [self.ask(sentinel, "SENTINEL", "MASTER", SERVICE) for sentinel in self.sentinels]
        primary = self.primary()
        followers = [self.ask(server, "ROLE") for server in self.servers if server is not primary]
        return (
            len({one[b"port"] for one in told}) == 1
            and all(one[b"flags"] == b"master" for one in told)
            and all(one[b"num-other-sentinels"] == b"2" and one[b"num-slaves"] == self._replicas for one in told)
            and all(role[0] == b"slave" and role[2] == primary.port and role[3] == b"connected" for role in followers)
        )

    def primary(self) -> EmbeddedServer:
        """The primary that the first sentinel names."""
        port = int(self.ask(self.sentinels[0], "SENTINEL", "MASTER", SERVICE)[b"port"])
        return next(server for server in self.servers if server.port == port)

    def until_another(self, former: EmbeddedServer) -> EmbeddedServer:
        """Wait for a failover; who the primary is then."""

        def another() -> EmbeddedServer | None:
            names = {int(self.ask(one, "SENTINEL", "MASTER", SERVICE)[b"port"]) for one in self.sentinels}
            now = self.primary()
            is_primary = now is not former and self.ask(now, "ROLE")[0] == b"master"
            return now if is_primary and len(names) == 1 else None

        found: EmbeddedServer = until(another, "a failover", 30)
        return found

    def hand_over(self, former: EmbeddedServer) -> EmbeddedServer:
        """Ask for a failover, again where it came to nothing; who the primary is then."""

        def asked() -> bool:
            if self.primary() is former:
                self.ask(self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)
            return self.primary() is not former

        until(asked, "a failover that was asked for", 30)
        return self.until_another(former)

    @staticmethod
    def ask(server: EmbeddedServer, *args: Any) -> Any:
        """One command's reply, over a connection of its own."""
        secret = getattr(server, "password", "") or None
        with redis.Redis(unix_socket_path=server.socket, password=secret, socket_timeout=5, protocol=3) as client:
            client.response_callbacks.clear()
            return client.execute_command(*args)
