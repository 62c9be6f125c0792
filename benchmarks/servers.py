"""What runs beside the clients: Valkey 9, pinned to the client's core, and the OTLP sink, kept away from it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from typing import Any, Self

import redis

from benchmarks.place import ROOT, pin
from cache.stores.embedded import EmbeddedServer


class Server(EmbeddedServer):
    """Valkey 9 by Unix socket and by TCP, on one core.

    Args:
        core: where it is pinned; None leaves it free.
        maxmemory: as Valkey writes it.
    """

    def __init__(self, core: int | None, maxmemory: str = "1gb") -> None:
        super().__init__(maxmemory, port=0)
        self._core = core

    def start(self) -> Self:
        """Start it and pin it."""
        super().start()
        if self._core is not None:
            pin(self.pid, [self._core])
        return self

    def at(self, transport: str) -> str:
        """The URL by ``unix`` or ``tcp``."""
        return self.url if transport == "unix" else self.tcp_url

    def client(self) -> redis.Redis:
        """A plain client, for what is not measured."""
        return redis.Redis.from_url(self.url)


class Sink:
    """The OTLP sink, a process of its own."""

    def __init__(self, where: Iterable[int]) -> None:
        command = [sys.executable, "-m", "benchmarks.sink"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        pin(self._process.pid, where)

    def spans(self, service: str) -> dict[str, int]:
        """How many spans a service has exported, by instrumentation scope."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            counts: dict[str, Any] = json.load(answer)
        found: dict[str, int] = counts.get(service, {})
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)
