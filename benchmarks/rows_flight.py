"""1,000 callers on one expired key, in four processes: computations, commands, and how long after its end they wait."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.crew import Bench
from benchmarks.flight_caller import CATEGORY, POLICY
from benchmarks.method import quantile
from benchmarks.programs import ProgramError, answer, start
from benchmarks.report import Row, single, void

PROCESSES, CALLERS = 4, 250

GREETING = frozenset({"hello", "auth", "select", "client", "info", "config", "ping", "command"})
"""Commands of new connections and of the measurement itself."""


def flight(bench: Bench) -> Iterator[Row]:
    """By tasks, and once by threads in a full run; the middle one of three runs by the waiting."""
    for how in ("tasks",) if bench.quick else ("tasks", "threads"):
        try:
            count = bench.rounds(3, 1) if how == "tasks" else 1
            runs = sorted((_once(bench, how) for _ in range(count)), key=lambda found: found["waiting"])
        except ProgramError as error:
            yield void(f"flight/{how}/computations", f"1,000 callers ({how})", str(error))
            continue
        found = runs[len(runs) // 2]
        worst = max(run["computations"] for run in runs)
        told = f"1,000 callers in 4 processes ({how})"
        yield single(f"flight/{how}/computations", f"{told}: computations", worst, "")
        most = max(run["flight"] for run in runs)
        title = f"{told}: commands beside one lookup a caller"
        yield single(f"flight/{how}/commands", title, most, "", by_command=found["commands"])
        yield single(f"flight/{how}/waiting", f"{told}: p99 after the computation's end", found["waiting"], "ms")


def _once(bench: Bench, how: str) -> dict[str, Any]:
    from cache import Cache

    client = bench.server.client()
    with Cache.from_url(bench.server.url, policies=[POLICY]) as cache:
        cache.set(CATEGORY, "key", 0, ttl=0.05)
        time.sleep(0.1)
        assert str(cache.lookup(CATEGORY, "key").miss_reason) == "expired"
    arguments = [bench.server.url, how, CALLERS]
    crowd = [start("flight_caller", arguments, where=bench.every) for _ in range(PROCESSES)]
    for process in crowd:
        assert process.stdout is not None
        process.stdout.readline()
    client.config_resetstat()
    moment = time.monotonic() + 0.3
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write(f"{moment}\n")
        process.stdin.flush()
    answers = [answer(process) for process in crowd]
    commands = Counter({name: count for name, count in _commands(client).items() if name not in GREETING})
    lookups = min(commands["mget"], PROCESSES * CALLERS)
    ends = [end for each in answers for _, end in each["computed"]]
    came = [moment_ for each in answers for moment_ in each["came"]]
    waits = [max(0.0, when - min(ends)) * 1000 for when in came]
    return {
        "computations": len(ends),
        "commands": dict(commands),
        "flight": commands.total() - lookups,
        "waiting": quantile(waits, 0.99),
    }


def _commands(client: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, figures in client.info("commandstats").items():
        counts[name.removeprefix("cmdstat_").partition("|")[0]] += figures["calls"]
    return counts
