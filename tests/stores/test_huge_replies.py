"""A reply of 512 MiB, the longest string that a server keeps: refused while it comes, within the bound of memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.faces import Stage, play

from cache import MISS
from cache.stores.options import StoreOptions
from cache.testing import EmbeddedServer

MIB = 1 << 20
SIZE = 512 * MIB
BOUND = StoreOptions().max_reply_bytes


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """One with a huge string under a key of ours, which it made itself."""
    with EmbeddedServer(maxmemory="6gb") as running, redis.Redis(unix_socket_path=running.socket) as admin:
        admin.setrange("prompt:huge", SIZE - 1, b"\0")
        assert admin.strlen("prompt:huge") == SIZE
        yield running


def begin() -> int:
    """Set the mark of the most that was resident back; bytes now. Source: proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")
    return most_resident()


def most_resident() -> int:
    """Bytes, the most since the mark was last set back."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
def test_a_reply_of_512_mib_is_refused_within_the_bound(kind: str, fast: bool, server: EmbeddedServer) -> None:
    """Counted as an error, not raised; what is asked for next is answered, and memory grew by the bound at most."""
    stage = Stage(kind, server.url, fast_path=fast)

    async def run(stage: Stage) -> None:
        assert await stage.cache.set("prompt", "small", "value")
        before = begin()
        assert await stage.cache.get("prompt", "huge") is MISS
        assert await stage.cache.get_or_compute("prompt", "huge", lambda: "computed") == "computed"
        grown.append(most_resident() - before)
        give_up = time.monotonic() + 30
        while await stage.cache.get("prompt", "small") != "value":
            assert time.monotonic() < give_up

    grown: list[int] = []
    play(run, stage)
    # what has come, and the copy that a buffer makes when it grows: less than the reply
    assert grown[0] < 2.5 * BOUND < SIZE
    assert stage.telemetry.value("cache.errors") >= 2
