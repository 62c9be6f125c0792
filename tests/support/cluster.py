"""A cluster of three primaries and three replicas on loopback, from the embedded program; ended with the test."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Self

import redis

from cache.stores.embedded import EmbeddedServer

NODE_TIMEOUT_S = 0.6
"""After so long without an answer a node is taken for dead by the others."""

PRIMARIES = 3
SLOTS = 16384


def start_all(servers: Iterable[EmbeddedServer]) -> None:
    """Start servers beside each other.

    Raises:
        EmbeddedServerError: one of them did not start.
    """
    with ThreadPoolExecutor() as pool:
        list(pool.map(EmbeddedServer.start, servers))


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def until(true: Callable[[], Any], what: str, within_s: float = 15.0) -> Any:
    """Ask again and again until it is so; what was answered."""
    give_up = time.monotonic() + within_s
    while True:
        try:
            answer = true()
        except redis.RedisError:
            answer = None
        if answer:
            return answer
        assert time.monotonic() < give_up, f"not within {within_s} s: {what}"
        time.sleep(0.01)


class Node:
    """One server of a cluster, and a client of its own to administer it."""

    def __init__(self, port: int, bus: int, options: tuple[str, ...]) -> None:
        self.bus = bus
        timeout = str(int(NODE_TIMEOUT_S * 1000))
        cluster = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", timeout)
        swift = ("--repl-diskless-sync-delay", "0", "--enable-debug-command", "local")
        self.server = EmbeddedServer("64mb", (*cluster, *swift, *options), port=port)

    @property
    def port(self) -> int:
        return self.server.port

    def ask(self, *args: Any) -> Any:
        """One command's reply, over a connection of its own."""
        with redis.Redis(unix_socket_path=self.server.socket, socket_timeout=5) as client:
            client.response_callbacks.clear()
            return client.execute_command(*args)

    @property
    def id(self) -> str:
        return str(self.ask("CLUSTER", "MYID").decode())

    @property
    def is_primary(self) -> bool:
        return bool(self.ask("ROLE")[0] == b"master")

    def info(self) -> dict[str, str]:
        """What it says of the cluster."""
        lines = self.ask("CLUSTER", "INFO").decode().split()
        return dict(line.split(":", 1) for line in lines)


class Cluster:
    """Three primaries, each with as many replicas as asked for.

    Args:
        replicas: of each primary.
        options: of each server.
    """

    def __init__(self, replicas: int = 1, options: tuple[str, ...] = ()) -> None:
        count = PRIMARIES * (1 + replicas)
        ports = free_ports(2 * count)
        self.nodes = [Node(port, bus, options) for port, bus in zip(ports[:count], ports[count:], strict=True)]
        self._replicas = replicas

    @property
    def url(self) -> str:
        """All first primaries, as a setting names them."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:PRIMARIES])

    def __enter__(self) -> Self:
        try:
            start_all(node.server for node in self.nodes)
            self._join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.server.stop()

    def _join(self) -> None:
        first, share = self.nodes[0], -(-SLOTS // PRIMARIES)
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < PRIMARIES:
                last = min(SLOTS, (number + 1) * share) - 1
                node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            if node is not first:
                node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus)
        known = str(len(self.nodes))
        for node in self.nodes:
            until(lambda node=node: node.info()["cluster_known_nodes"] == known, "all nodes know each other")
        for number, node in enumerate(self.nodes[PRIMARIES:]):
            primary = self.nodes[number % PRIMARIES].id
            until(
                lambda node=node, primary=primary: node.ask("CLUSTER", "REPLICATE", primary), "a replica of a primary"
            )
        self.settle()

    def revive(self) -> None:
        """Thaw what is frozen, start what was killed, wait until all is well."""
        for node in self.nodes:
            if node.server.pid:
                node.server.thaw()
            else:
                node.server.start()
        self.settle()

    def settle(self) -> None:
        """Wait until every node that lives agrees that all is well, and all replicas are in step."""
        alive = [node for node in self.nodes if node.server.pid]
        until(lambda: all(map(self._is_well, alive)) and self._agree(alive), "the cluster is well")

    def _agree(self, alive: list[Node]) -> bool:
        """Whether just as many as should be take themselves for primaries, and all name the same ones."""
        maps = {tuple((first, last, primary[1]) for first, last, primary, *_ in self._slots(node)) for node in alive}
        return len(maps) == 1 and sum(node.is_primary for node in alive) == PRIMARIES

    def _slots(self, node: Node) -> list[Any]:
        return sorted(node.ask("CLUSTER", "SLOTS"))

    def _is_well(self, node: Node) -> bool:
        info = node.info()
        if info["cluster_state"] != "ok" or info["cluster_slots_ok"] != str(SLOTS):
            return False
        role = node.ask("ROLE")
        if role[0] == b"master":
            return True
        return bool(role[3] == b"connected")

    def flush(self) -> None:
        """Forget all data."""
        for node in self.primaries():
            node.ask("FLUSHALL")
            node.ask("SCRIPT", "FLUSH")

    def primaries(self) -> list[Node]:
        """The nodes that are primaries now, of those that live."""
        return [node for node in self.nodes if node.server.pid and node.is_primary]

    def owner(self, key: str) -> Node:
        """The primary that a key belongs to, as any living primary says."""
        slot = self.slot(key)
        for start, end, primary, *_ in self.primaries()[0].ask("CLUSTER", "SLOTS"):
            if start <= slot <= end:
                return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError("nobody has that slot")

    def replica_of(self, primary: Node) -> Node:
        """A replica of a primary."""
        name = primary.id
        for node in self.nodes:
            if node.server.pid and not node.is_primary:
                lines = node.ask("CLUSTER", "NODES").decode().splitlines()
                mine = next(line for line in lines if "myself" in line)
                if mine.split()[3] == name:
                    return node
        raise AssertionError("it has no replica")

    def slot(self, key: str) -> int:
        """The slot of a key."""
        return int(redis.crc.key_slot(key.encode()))

    def begin_move(self, slot: int, source: Node, target: Node) -> None:
        """Open a slot for being moved."""
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(self, slot: int, source: Node, target: Node) -> int:
        """Move the keys that are in a slot; how many they were."""
        moved = 0
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys)
            moved += len(keys)
        return moved

    def end_move(self, slot: int, target: Node) -> None:
        """Say whose the slot is now."""
        name = target.id
        target.ask("CLUSTER", "SETSLOT", slot, "NODE", name)
        for node in self.primaries():
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", name)
