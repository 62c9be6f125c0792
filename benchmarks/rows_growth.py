"""How the cost grows: hits with 10^3 to 10^6 entries in the store, invalidations of tags that cover 1 to 10^6.

Each size has a server of its own, and the rounds of all sizes are interleaved, so that the ratio to the smallest is
one of pairs. The entries are real ones: one is written by the cache, and the server copies it to other names.
"""

from __future__ import annotations

from collections.abc import Iterator

import redis

from benchmarks.contenders import ours
from benchmarks.crew import Bench, Hand, WorkerError
from benchmarks.method import estimate, paired, rotated
from benchmarks.report import Row, row, void
from benchmarks.rows_hits import RATE
from benchmarks.servers import Server

COPY = """
local bytes = redis.call('GET', KEYS[1])
for n = ARGV[2], ARGV[3] do redis.call('SET', ARGV[1] .. n, bytes, 'EX', 3600) end
return 1
"""

CHUNK = 20_000

SIZES = (1_000, 100_000, 1_000_000)

COVERED = (1, 1_000, 1_000_000)


def growth(bench: Bench) -> Iterator[Row]:
    """Hits in ever larger stores, then invalidations in the largest."""
    sizes = SIZES[:2] if bench.quick else SIZES
    servers = {size: Server(bench.core[0] if bench.core else None, "4gb").start() for size in sizes}
    try:
        for size, server in servers.items():
            fill(server, size, "")
        (hand,) = bench.crew([(ours()[0].name, "sampled", {})])
        jobs = {str(size): ("hit", server.url) for size, server in servers.items()}
        yield from _interleaved(bench, hand, "hit", jobs, "hit with {0} entries in the store")
        largest = servers[sizes[-1]]
        tags = {str(count): f"covers{count}" for count in COVERED if count <= sizes[-1]}
        for count, tag in tags.items():
            fill(largest, int(count), tag)
        covered = {count: ("invalidate", f"{largest.url}#{tag}") for count, tag in tags.items()}
        yield from _interleaved(bench, hand, "invalidate", covered, "invalidation of a tag on {0} entries")
    finally:
        for server in servers.values():
            server.stop()


def fill(server: Server, count: int, tag: str) -> None:
    """Put ``count`` entries into a server, with a tag on each unless it is empty."""
    from cache import Cache

    client = redis.Redis.from_url(server.url, socket_timeout=60)
    name = tag or "plain"
    with Cache.from_url(server.url, write_deadline=2) as cache:
        assert cache.set("static", name, {"value": name}, tags=[tag] if tag else [], ttl=3600)
    (written,) = [key for key in client.scan_iter("static:*", count=10_000) if b":copy:" not in key]
    copy = client.register_script(COPY)
    for begin in range(1, count, CHUNK):
        copy([written], [f"static:copy:{name}:", begin, min(count - 1, begin + CHUNK - 1)])
    client.rename(written, f"static:copy:{name}:0")


def _interleaved(bench: Bench, hand: Hand, group: str, jobs: dict[str, tuple[str, str]], title: str) -> Iterator[Row]:
    """Rows for each size but the smallest, as ratios to that."""
    smallest, *others = jobs
    try:
        for slot, (job, url) in jobs.items():
            hand.ask("open", job=job, name="json200", url=url, slot=slot)
        took: dict[str, list[float]] = {slot: [] for slot in jobs}
        calls = 25 if bench.quick else 50
        hand.account()
        for turn in range(bench.rounds(30, 10)):
            for slot in rotated(list(jobs), turn):
                took[slot].append(hand.ask("paced", n=calls, rate=RATE / 2, slot=slot)["p50"])
    except WorkerError as error:
        yield void(f"growth/{group}/all", title, str(error))
        return
    yield row(f"growth/{group}_us/{smallest}", title.format(f"{int(smallest):,}"), estimate(took[smallest]), "µs")
    for slot in others:
        told = f"{title.format(f'{int(slot):,}')}, to {int(smallest):,}"
        us = estimate(took[slot]).value
        yield row(f"growth/{group}/{slot}", told, paired(took[smallest], took[slot]), us=us)
