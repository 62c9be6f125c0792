"""A real server that these tests may flush and kill, and members of a fleet on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from support.fleet import Join, Member

from cache.testing import EmbeddedServer


@pytest.fixture(scope="session")
def fleet_server() -> Iterator[EmbeddedServer]:
    """A server for these tests alone."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def admin(fleet_server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A client of the server, which is awake and empty."""
    fleet_server.start()
    with redis.Redis(unix_socket_path=fleet_server.socket) as client:
        client.flushall()
        yield client


@pytest.fixture
def join(fleet_server: EmbeddedServer, admin: redis.Redis) -> Iterator[Join]:
    """Makes a member."""
    members: list[Member] = []

    def make() -> Member:
        members.append(Member(fleet_server.url))
        return members[-1]

    yield make
    for member in members:
        member.store.close()
