"""Measures round trips and an embedded server's start, and writes them into ``docs/reliability.md``.

The faults themselves are played by ``make faults``, which runs this too. With ``--print`` nothing is written.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cache import Cache  # noqa: E402
from cache.testing import EmbeddedServer, RoundTripProxy  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"

Figures = dict[str, str]


def replaced(text: str, figures: Mapping[str, str]) -> str:
    """A page with new figures between their markers.

    Raises:
        ValueError: a figure has no marker.
    """
    for name, figure in figures.items():
        place = re.compile(rf"(<!-- figure:{name} -->).*?(<!-- /figure -->)", re.DOTALL)
        text, count = place.subn(lambda match, figure=figure: match[1] + figure + match[2], text)
        if not count:
            raise ValueError(f"no marker for the figure {name}")
    return text


def shown(seconds: float) -> str:
    """Seconds as milliseconds, or as microseconds below one."""
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"


def timed(call: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def round_trips() -> Figures:
    """Requests flushed and replies awaited, for each operation, as a proxy counts them."""
    counted: list[tuple[str, int]] = []
    keys = [f"k{n}" for n in range(50)]
    with EmbeddedServer() as server, RoundTripProxy(server.url) as proxy:
        with Cache.from_url(proxy.url, read_deadline=2, write_deadline=2) as cache:

            def count(label: str, call: Callable[[], Any]) -> None:
                proxy.tally.clear()
                call()
                counted.append((label, proxy.tally.round_trips))

            # a server that lacks a script costs one round trip more, once
            cache.get_or_compute("static", "warm", lambda: 1, tags=["warm"])
            cache.invalidate(tags=["warm"])
            cache.delete("static", "warm")
            count("`get_or_compute`, first miss of a category", lambda: cache.get_or_compute("prompt", "a", lambda: 1))
            count("`get_or_compute`, miss", lambda: cache.get_or_compute("prompt", "b", lambda: 1))
            count("`get_or_compute`, hit", lambda: cache.get_or_compute("prompt", "b", lambda: 1))
            count("`get`, hit", lambda: cache.get("prompt", "b"))
            count("`get`, miss", lambda: cache.get("prompt", "c"))
            count("`set`", lambda: cache.set("prompt", "b", 2))
            count("`set_many` of 50", lambda: cache.set_many("prompt", dict.fromkeys(keys, 1)))
            count("`get_many` of 50", lambda: cache.get_many("prompt", keys))
            count("`get_or_compute_many` of 50, hits", lambda: cache.get_or_compute_many("prompt", keys, list))
            count("`explain`", lambda: cache.explain("prompt", "b"))
            count("`delete`", lambda: cache.delete("prompt", "b"))
            count("`invalidate`, any number of tags", lambda: cache.invalidate(tags=["task:t", "task:u"]))
            count("`invalidate`, a category", lambda: cache.invalidate(category="prompt"))
            cache.set("prompt", "tagged", 1, tags=["red"])
            count("`get`, hit with a tag that the call does not name", lambda: cache.get("prompt", "tagged"))
    rows = [f"| {label} | {trips} |" for label, trips in counted]
    return {"round-trips": "\n\n" + "\n".join(["| Operation | Round trips |", "|---|---|", *rows]) + "\n\n"}


def started() -> Figures:
    """How long an embedded server takes until it answers: the median of five."""
    took = []
    for _ in range(5):
        server = EmbeddedServer()
        took.append(timed(server.start))
        server.stop()
    return {"start": shown(statistics.median(took))}


def machine() -> Figures:
    """Where it was measured."""
    with EmbeddedServer() as server, Cache.from_url(server.url) as cache:
        cache.get("prompt", "k")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"machine": f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores} cores"}


MEASUREMENTS = (machine, started, round_trips)


def main(arguments: list[str]) -> int:
    """Measure all of it; write or print the figures."""
    figures: Figures = {}
    for measure in MEASUREMENTS:
        figures |= measure()
    for name, figure in figures.items():
        print(f"{name}: {figure.strip()}")
    if "--print" not in arguments:
        PAGE.write_text(replaced(PAGE.read_text(), figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
