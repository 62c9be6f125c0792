"""The costliest pattern that is allowed, against the keys that make it so: nobody else waits long for the server."""

from __future__ import annotations

import redis

from cache import Cache
from cache.core.invalidating import SCAN_COUNT
from cache.core.patterns import MOST_STARS

LONGEST_STALL_US = 10_000


def test_the_costliest_pattern_stalls_the_server_for_no_time(glasscache_url: str) -> None:
    """Eight stars over long runs of one letter: each step of the sweep holds the server up for less than 10 ms."""
    with (
        redis.Redis.from_url(glasscache_url) as server,
        Cache.from_url(glasscache_url, read_deadline=2, write_deadline=2) as cache,
    ):
        with server.pipeline(transaction=False) as pipe:
            for n in range(2 * SCAN_COUNT):
                pipe.set(f"prompt:{'a' * 190}{n:010d}", 1)
            pipe.execute()
        before = server.config_get("slowlog*")
        server.config_set("slowlog-log-slower-than", 0)
        server.config_set("slowlog-max-len", 1000)
        longest = []
        try:
            # a busy machine may hold the server up for as long: the best of a few
            for _ in range(5):
                server.slowlog_reset()
                assert cache.invalidate(pattern="prompt:" + "*a" * (MOST_STARS - 1) + "*b", dry_run=True) == 0
                steps = [line["duration"] for line in server.slowlog_get(1000) if line["command"].startswith(b"SCAN")]
                assert len(steps) >= 2
                longest.append(max(steps))
        finally:
            server.config_set("slowlog-log-slower-than", before["slowlog-log-slower-than"])
            server.config_set("slowlog-max-len", before["slowlog-max-len"])
        assert min(longest) < LONGEST_STALL_US, longest
