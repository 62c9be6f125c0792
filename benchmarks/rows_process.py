"""What is measured in a process of its own: the event loop, the import, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks import local_tier, programs
from benchmarks.crew import Bench
from benchmarks.method import estimate
from benchmarks.place import ROOT
from benchmarks.programs import ProgramError
from benchmarks.report import Row, row, single, void

IMPORT = """
import json, sys, time
began = time.perf_counter()
import {package}
took = (time.perf_counter() - began) * 1000
sdk = sum(name.split(".")[:2] == ["opentelemetry", "sdk"] for name in sys.modules)
print(json.dumps([took, sdk]))
"""


def loop(bench: Bench) -> Iterator[Row]:
    """How long the event loop was blocked, by operation and kind of value; the server is elsewhere than the loop."""
    repeats = bench.rounds(15, 5)
    options = {"state": "sampled", "sink": bench.sink.url, "where": bench.elsewhere}
    try:
        found = programs.run("loop_watch", bench.server.url, repeats, **options)
    except ProgramError as error:
        yield void("loop/all", "event loop blocked", str(error))
        return
    worst = max(found, key=found.__getitem__)
    yield single("loop/worst", f"event loop blocked at most, 1 MiB ({worst})", found[worst], "ms", by_operation=found)


def imports(bench: Bench) -> Iterator[Row]:
    """Fresh interpreters: milliseconds of ``import cache``, and what of the SDK is loaded by it."""
    count = bench.rounds(12, 3)
    ours, redis = (_imported(package, count) for package in ("cache", "redis.asyncio"))
    title = "import cache"
    theirs = estimate([took for took, _ in redis]).value
    yield row("import/cache", title, estimate([took for took, _ in ours]), "ms", redis_ms=theirs)
    sdk = ours[0][1]
    yield single("import/sdk", "modules of the SDK that it loads", sdk, "", by_redis_alone=redis[0][1])


def _imported(package: str, count: int) -> list[tuple[float, int]]:
    command = [sys.executable, "-c", IMPORT.format(package=package)]
    found = []
    for _ in range(count):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found.append(tuple(json.loads(done.stdout)))
    return found


def accounting(bench: Bench) -> Iterator[Row]:
    """Series and memory of the accounting over many operations in 20 categories."""
    wanted = 100_000 if bench.quick else 10_000_000
    options = {"state": "unsampled", "sink": bench.sink.url, "where": bench.core}
    try:
        found = programs.run("accounting", wanted, 6 if bench.quick else 45, **options)
    except ProgramError as error:
        yield void("accounting/all", "accounting", str(error))
        return
    told = f"after {found['operations']:,} operations in 20 categories"
    detail = {key: found[key] for key in ("operations", "us", "series", "kib")}
    yield single("accounting/series", f"series that came later, {told}", found["series_grown"], "", **detail)
    yield single("accounting/memory", f"memory that came later, {told}", found["kib_grown"], "KiB", **detail)


def memory(bench: Bench) -> Iterator[Row]:
    """The local tier's memory against its bound, and its overhead a small entry; none where there is none yet."""
    if not local_tier.there():
        return
    wanted = 100_000 if bench.quick else 1_000_000
    kinds = (("bound", "memory of the local tier to its bound", "times"), ("overhead", "overhead a small entry", "B"))
    for kind, title, unit in kinds:
        name = f"memory/local/{kind}"
        try:
            found = programs.run("local_memory", bench.server.url, kind, wanted, where=bench.core)
        except ProgramError as error:
            yield void(name, title, str(error))
            continue
        yield single(name, f"{title}, {found['entries']:,} entries", found["figure"], unit, bytes=found["bytes"])
