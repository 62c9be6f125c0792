"""The pieces that a hit is made of, each alone: what the sum is spent on."""

from __future__ import annotations

import socket
from typing import Any

import hiredis
import orjson

from benchmarks.cases import TTL_S, Case
from benchmarks.contenders import BASE, Contender, Job, place


def raw_socket(url: str, case: Case) -> Job:
    """GET over a Unix socket with hiredis and nothing else: what the machine and the server take."""
    BASE.jobs["hit"](url, case)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(url.removeprefix("unix://"))
    reader, command = hiredis.Reader(), b"*2\r\n$3\r\nGET\r\n$8\r\nbase:hit\r\n"

    def call() -> Any:
        sock.sendall(command)
        while True:
            reader.feed(sock.recv(65_536))
            if (got := reader.gets()) is not False:
                return got

    return Job(call, lambda got: got == case.raw)


def naming(url: str, case: Case) -> Job:
    """The key's name and its SHA-256."""
    from cache.core.addresses import Addresses
    from cache.core.policies import PolicyTable

    policy, (category, key) = PolicyTable()["tool"], place(case)
    addresses = Addresses("", category, policy.prefix, policy.suffix)
    return Job(lambda: addresses.of(key), bool)


def decoding(url: str, case: Case) -> Job:
    """The value from its bytes."""
    return Job(lambda: orjson.loads(case.raw), case.same)


def recording(url: str, case: Case) -> Job:
    """Span, counters and histograms of one hit, without any command."""
    from cache.metrics import get_metrics
    from telemetry.vocabulary import Operation, Outcome, Tier

    recorder, digest = get_metrics().recorder, "0123456789abcdef"
    recorder.register_category("tool", TTL_S)

    def call() -> bool:
        with recorder.operation("tool", Operation.GET, digest=digest) as event:
            event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0, cost_s=0.01)
        return True

    return Job(call, bool)


PIECES = Contender(
    "pieces",
    "a piece",
    {"socket": raw_socket, "naming": naming, "decoding": decoding, "recording": recording},
    setup="ours",
)
