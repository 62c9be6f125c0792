"""What is measured in a process of its own: the event loop, the import, memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping

from benchmarks import local_tier, programs
from benchmarks.crew import Bench
from benchmarks.method import estimate
from benchmarks.place import ROOT
from benchmarks.programs import ProgramError
from benchmarks.report import Row, row, single, void

IMPORT = """
import json, sys, time
began = time.perf_counter()
{statement}
took = (time.perf_counter() - began) * 1000
sdk = sum(name.split(".")[:2] == ["opentelemetry", "sdk"] for name in sys.modules)
print(json.dumps([took, sdk]))
"""

IMPORTS = {
    "cache": ("import cache", "import cache"),
    "names": ("from cache import MISS, AsyncCache, Cache, Policy", "from cache import MISS, AsyncCache, Cache, Policy"),
    "opened": (
        "from cache import Cache; Cache.from_url('{url}').get('prompt', 'a')",
        "the same, with drivers: a cache opened, its first call",
    ),
    "redis": ("import redis.asyncio", "import redis.asyncio"),
}
"""Statements that begin a program, and how the table calls them."""


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
    """Fresh interpreters over compiled modules: milliseconds of what begins a program, and what of the SDK it loads."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in IMPORTS}
    with tempfile.TemporaryDirectory() as compiled:
        variables = programs.environment({"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""})
        for turn in range(bench.rounds(12, 3) + 1):
            for name, (statement, _) in IMPORTS.items():
                measured = _begun(statement.format(url=bench.server.url), variables)
                if turn:
                    # the first turn compiled what the others load, as an installer does
                    found[name].append(measured)
    times = {name: estimate([took for took, _ in values]) for name, values in found.items()}
    for name in ("cache", "names", "opened"):
        yield row(f"import/{name}", IMPORTS[name][1], times[name], "ms", redis_ms=times["redis"].value)
    sdk = {name: values[0][1] for name, values in found.items()}
    yield single("import/sdk", "modules of the SDK that the names load", sdk["names"], "", by_redis_alone=sdk["redis"])


def _begun(statement: str, variables: Mapping[str, str]) -> tuple[float, int]:
    command = [sys.executable, "-c", IMPORT.format(statement=statement)]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    took, sdk = json.loads(done.stdout)
    return took, sdk


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
