"""The fixtures of the stores' tests, with Redis instead of Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stores.conftest import admin, open_driver, proxy, server
from support.debian_redis import DebianRedis

__all__ = ["admin", "open_driver", "own_server", "proxy", "server", "session_server"]


@pytest.fixture(scope="session")
def session_server() -> Iterator[DebianRedis]:
    """One for all tests."""
    with DebianRedis(port=0) as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[DebianRedis]:
    """A server whose configuration this test may spoil."""
    with DebianRedis(port=0) as server:
        yield server
