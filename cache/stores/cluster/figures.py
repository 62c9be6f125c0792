"""What several servers say of themselves, as if they were one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.core.health import parse_info

SUMMED = ("keyspace_hits", "keyspace_misses", "used_memory", "evicted_keys", "maxmemory")
"""Fields of INFO that are added up; the others are the first server's."""


def added_up(replies: Sequence[Any]) -> bytes:
    """One reply to INFO for those of several servers.

    Example:
        >>> added_up([b"used_memory:1", b"used_memory:2"])
        b'used_memory:3'
    """
    infos = [parse_info(reply) for reply in replies]
    whole = dict(infos[0]) if infos else {}
    for name in SUMMED:
        counts = [info[name] for info in infos if info.get(name, "").isdigit()]
        if counts:
            whole[name] = str(sum(map(int, counts)))
    return "\n".join(f"{name}:{value}" for name, value in whole.items()).encode()
