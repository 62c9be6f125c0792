"""What the pieces of a hit cost, in bursts with pauses, so that the exporter's thread works beside them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contenders import BASE
from benchmarks.crew import Bench, WorkerError
from benchmarks.method import estimate
from benchmarks.pieces import PIECES
from benchmarks.report import Row, row, void

WANTED = (
    ("bare", BASE.name, "hit", "GET by redis-py"),
    ("unsampled", BASE.name, "hit", "GET by redis-py under the Redis instrumentation, not sampled"),
    ("sampled", BASE.name, "hit", "GET by redis-py under the Redis instrumentation, sampled"),
    ("absent", PIECES.name, "socket", "GET by a socket and hiredis alone"),
    ("absent", PIECES.name, "naming", "key of a tool call: canonical form, SHA-256, name"),
    ("absent", PIECES.name, "decoding", "decoding 200 B of JSON"),
    ("absent", PIECES.name, "recording", "accounting of one hit, no provider"),
    ("unsampled", PIECES.name, "recording", "accounting of one hit, not sampled"),
    ("sampled", PIECES.name, "recording", "accounting of one hit, sampled"),
)
"""State, contender, job, title."""


def pieces(bench: Bench) -> Iterator[Row]:
    """One row a piece; all by Unix socket, with 200 B of JSON; then what is paid every 15 s, whatever the load."""
    hands = bench.crew([(name, state, {}) for state, name, _, _ in WANTED])
    for hand, (state, name, job, title) in zip(hands, WANTED, strict=True):
        place = f"pieces/{job}/{name}/{state}"
        try:
            hand.ask("open", job=job, name="json200", url=bench.server.url)
            hand.account()
            found = hand.ask("bursts", count=bench.rounds(200, 30), size=10, pause_s=0.01)
        except WorkerError as error:
            yield void(place, title, str(error))
            continue
        dropped = hand.account()["dropped"]
        yield row(place, title, estimate(found["took"]), "µs", void=f"{dropped} were dropped" if dropped else "")
    collected = estimate(hands[-1].ask("collect", count=bench.rounds(30, 5))["took"])
    yield row("pieces/collect", "collecting and exporting all metrics, every 15 s (CPU)", collected, "ms")
