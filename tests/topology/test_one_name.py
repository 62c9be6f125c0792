"""One name, and a server behind it that is made a replica of one that lags, and then the primary again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from support.cluster import free_ports, until

from cache import MISS, Cache
from cache.stores.embedded import EmbeddedServer

PATIENCE = {"read_deadline": 2, "write_deadline": 2}


def ask(server: EmbeddedServer, *args: Any) -> Any:
    """One command's reply."""
    with redis.Redis(unix_socket_path=server.socket, socket_timeout=5) as client:
        client.response_callbacks.clear()
        return client.execute_command(*args)


def follow(server: EmbeddedServer, primary: EmbeddedServer) -> None:
    """Make it a replica, and wait until it has all."""
    ask(server, "REPLICAOF", "127.0.0.1", primary.port)
    until(lambda: ask(server, "ROLE")[3] == b"connected", "it follows")
    until(lambda: ask(server, "DBSIZE") == ask(primary, "DBSIZE"), "it has all")


@pytest.fixture
def first() -> Iterator[EmbeddedServer]:
    """The server behind the name; it has lost an invalidation, as its former self knew it and its replica did not."""
    ports = free_ports(2)
    swift = ("--repl-diskless-sync-delay", "0")
    with EmbeddedServer("64mb", swift, port=ports[0]) as one, EmbeddedServer("64mb", swift, port=ports[1]) as other:
        with Cache.from_url(one.tcp_url, **PATIENCE) as cache:
            assert cache.set("prompt", "k", "old", tags=["t"])
            follow(other, one)
            ask(other, "REPLICAOF", "NO", "ONE")
            assert cache.invalidate(tags=["t"]) == 1
            assert cache.get("prompt", "k", tags=["t"]) is MISS
        follow(one, other)
        ask(one, "REPLICAOF", "NO", "ONE")
        yield one


def test_without_a_restart_an_operator_has_to_act(first: EmbeddedServer) -> None:
    """The known limit: the same run id with another's data. Making a category invalid ends it, for all at once."""
    with Cache.from_url(first.tcp_url, **PATIENCE) as cache, Cache.from_url(first.tcp_url, **PATIENCE) as other:
        assert other.get("prompt", "k", tags=["t"]) == "old"
        assert cache.invalidate(category="prompt") == 1
        for reader in (cache, other):
            assert reader.get("prompt", "k", tags=["t"]) is MISS
            assert reader.get("prompt", "k") is MISS


def test_a_restart_with_the_same_data_is_noticed(first: EmbeddedServer) -> None:
    """From disk: another run id, so everything is cold."""
    with Cache.from_url(first.tcp_url, **PATIENCE) as cache:
        assert cache.get("prompt", "k") == "old"
        ask(first, "SAVE")
        first.kill()
        first.start()
        assert ask(first, "EXISTS", "prompt:k") == 1
        until(lambda: cache.health()["connected"], "it is there again")
        assert cache.get("prompt", "k", tags=["t"]) is MISS
        assert cache.get("prompt", "k") is MISS
