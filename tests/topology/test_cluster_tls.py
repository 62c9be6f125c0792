"""A cluster whose servers are reached by TLS: those that the map names are spoken to as those that the URL names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support import certificates
from support.cluster import Cluster, until
from support.tls import Terminator, context

from cache import AsyncCache, Cache

PATIENCE = {"read_deadline": 2, "write_deadline": 2}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a cluster of primaries, each announced by the port of a TLS terminator before it."""
    tmp_path = tmp_path_factory.mktemp("tls")
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(replicas=0))
        ports = []
        for node in cluster.nodes:
            terminator = stack.enter_context(Terminator(node.server.socket, context(tmp_path)))
            node.ask("CONFIG", "SET", "cluster-announce-port", terminator.port)
            ports.append(terminator.port)
        for node in cluster.nodes:
            until(lambda node=node: {place[2][1] for place in node.ask("CLUSTER", "SLOTS")} == set(ports), "announced")
        authority = tmp_path / "authority.pem"
        authority.write_text(certificates.AUTHORITY)
        yield f"rediss+cluster://localhost:{ports[0]}?ssl_ca_certs={authority}"


def test_all_servers_are_reached_by_tls(url: str) -> None:
    """The blocking cache reads and writes on each of them."""
    with Cache.from_url(url, **PATIENCE) as cache:
        until(lambda: cache.set_many("prompt", {f"k{n}": n for n in range(30)}) == 30, "connected")
        assert cache.get_many("prompt", [f"k{n}" for n in range(30)]) == list(range(30))


@pytest.mark.anyio
async def test_all_servers_are_reached_by_tls_from_a_loop(url: str) -> None:
    """The awaiting one does too."""
    async with AsyncCache.from_url(url, **PATIENCE) as cache:
        give_up = 20
        while await cache.set_many("prompt", {f"k{n}": n for n in range(30)}) != 30:
            give_up -= 1
            assert give_up
        assert await cache.get_many("prompt", [f"k{n}" for n in range(30)]) == list(range(30))


def test_a_server_that_nobody_vouches_for_is_not_spoken_to(url: str) -> None:
    """Without the authority there is no store: callers get their own values."""
    with Cache.from_url(url.partition("?")[0], **PATIENCE) as cache:
        assert cache.get_or_compute("prompt", "k", lambda: 1) == 1
        assert cache.health()["connected"] is False
