"""A cluster whose replicas are far away: a proxy before each, and one on the way of what its primary sends it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self

from support.cluster import Cluster, Node, until

from cache.testing.proxy import RoundTripProxy


class FarReplicas:
    """All replicas of a cluster behind links that may be slowed; near again at the end.

    Args:
        prefix: of the Redis keys that they may be asked for; whoever asks for others is refused, and noted.

    Attributes:
        replicas: their nodes.
        links: between callers and each of the replicas.
        feeds: between each of the primaries and its replica.
    """

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self._cluster, self._prefix, self._stack = cluster, prefix, ExitStack()
        self.replicas = [node for node in cluster.nodes if not node.is_primary]
        self._primaries = cluster.primaries()
        self.links: list[RoundTripProxy] = []
        self.feeds: list[RoundTripProxy] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.links = [stack.enter_context(RoundTripProxy(node.server.url)) for node in self.replicas]
            self.feeds = [stack.enter_context(RoundTripProxy(node.server.url)) for node in self._primaries]
            stack.callback(self._bring_back)
            for node, link in zip(self.replicas, self.links, strict=True):
                node.ask("CONFIG", "SET", "cluster-announce-client-port", link.port)
                node.ask("ACL", "LOG", "RESET")
                node.ask("ACL", "SETUSER", "default", "resetkeys", f"~{self._prefix}*")
            for node, feed in zip(self._primaries, self.feeds, strict=True):
                # callers go on coming by the short way
                node.ask("CONFIG", "SET", "cluster-announce-client-port", node.port)
                node.ask("CONFIG", "SET", "cluster-announce-port", feed.port)
            until(self._are_far, "the replicas are far away")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _are_far(self) -> bool:
        links, feeds = {link.port for link in self.links}, {feed.port for feed in self.feeds}
        told = [places for node in self._cluster.nodes for places in node.ask("CLUSTER", "SLOTS")]
        roles = [node.ask("ROLE") for node in self.replicas]
        return (
            {replica[1] for _, _, _, *replicas in told for replica in replicas} == links
            and {primary[1] for _, _, primary, *_ in told} == {node.port for node in self._primaries}
            and {role[2] for role in roles} == feeds
            and all(role[3] == b"connected" for role in roles)
        )

    def _bring_back(self) -> None:
        for node in self._cluster.nodes:
            node.ask("CONFIG", "SET", "cluster-announce-client-port", 0)
            node.ask("CONFIG", "SET", "cluster-announce-port", 0)
        for node in self.replicas:
            node.ask("ACL", "SETUSER", "default", "allkeys")
        ports = {node.port for node in self._cluster.nodes}
        until(lambda: self._ports() == ports, "the replicas are near again")
        self._cluster.settle()

    def _ports(self) -> set[Any]:
        told = [places for node in self._cluster.nodes for places in node.ask("CLUSTER", "SLOTS")]
        primaries = {node.ask("ROLE")[2] for node in self.replicas}
        return {place[1] for _, _, *places in told for place in places} | primaries

    @property
    def url(self) -> str:
        """Of the cluster."""
        return self._cluster.url

    def asked(self) -> int:
        """How many looks the replicas have answered."""
        return sum(_looks(node) for node in self.replicas)

    def refusals(self) -> list[Any]:
        """What they were asked for that they may not be asked for."""
        return [entry for node in self.replicas for entry in node.ask("ACL", "LOG")]


def _looks(node: Node) -> int:
    for line in node.ask("INFO", "commandstats").decode().splitlines():
        if line.startswith("cmdstat_mget:calls="):
            return int(line.partition("=")[2].partition(",")[0])
    return 0
