"""A cluster whose servers are reached by TLS: those that the map names are spoken to as those that the URL names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support import certificates
from support.cluster import Cluster, Node, until
from support.tls import Terminator, context

from cache import AsyncCache, Cache

PATIENCE = {"read_deadline": 2, "write_deadline": 2}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, session_cluster: Cluster) -> Iterator[str]:
    """Of the shared cluster, each server announced to callers by the port of a TLS terminator before it."""
    tmp_path, nodes = tmp_path_factory.mktemp("tls"), session_cluster.nodes
    session_cluster.flush()
    with ExitStack() as stack:
        before = [stack.enter_context(Terminator(node.server.socket, context(tmp_path))) for node in nodes]
        stack.callback(announce, session_cluster, [0] * len(nodes))
        ports = [terminator.port for terminator in before]
        announce(session_cluster, ports)
        authority = tmp_path / "authority.pem"
        authority.write_text(certificates.AUTHORITY)
        yield f"rediss+cluster://localhost:{ports[0]}?ssl_ca_certs={authority}"


def announce(cluster: Cluster, ports: list[int]) -> None:
    """Let callers come by these ports, 0 for their own, and wait until all say so."""
    expected = {port or node.port for node, port in zip(cluster.nodes, ports, strict=True)}
    for node, port in zip(cluster.nodes, ports, strict=True):
        node.ask("CONFIG", "SET", "cluster-announce-client-port", port)

    def told(node: Node) -> set[int]:
        return {place[1] for _, _, *places in node.ask("CLUSTER", "SLOTS") for place in places}

    until(lambda: all(told(node) == expected for node in cluster.nodes), "announced")


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
