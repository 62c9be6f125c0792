"""Runs the rows, group by group; a group that fails is a void row, not the end of the run."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks import rows_flight, rows_growth, rows_hits, rows_load, rows_local, rows_pieces, rows_process
from benchmarks.crew import Bench
from benchmarks.report import Report, Row, void

Group = Callable[[Bench], Iterator[Row]]

GROUPS: Mapping[str, tuple[Group, ...]] = {
    "hit": (rows_hits.hits, rows_hits.absentees),
    "stored": (rows_hits.stored,),
    "many": (rows_hits.many,),
    "set": (rows_hits.writes,),
    "miss": (rows_hits.misses,),
    "async": (rows_hits.awaited,),
    "load": (rows_load.saturated,),
    "tasks": (rows_load.tasks,),
    "threads": (rows_load.threads,),
    "local": (rows_local.local,),
    "flight": (rows_flight.flight,),
    "loop": (rows_process.loop,),
    "import": (rows_process.imports,),
    "accounting": (rows_process.accounting,),
    "memory": (rows_process.memory,),
    "growth": (rows_growth.growth,),
    "pieces": (rows_pieces.pieces,),
}
"""By name: what measures the rows that begin with it."""


def measure(bench: Bench, names: Sequence[str], told: Callable[[str], None]) -> list[Row]:
    """The rows of some groups.

    Args:
        told: hears how far it is.
    """
    rows: list[Row] = []
    for name in names:
        began = time.perf_counter()
        for group in GROUPS[name]:
            try:
                rows.extend(group(bench))
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                rows.append(void(f"{name}/all", name, f"{type(error).__name__}: {error}"[:120]))
        told(f"{name}: {time.perf_counter() - began:.0f} s")
    return rows


def full(bench: Bench, names: Sequence[str], machine: dict[str, str], told: Callable[[str], None]) -> Report:
    """A whole run."""
    began = time.perf_counter()
    report = Report(machine, bench.quick)
    report.rows = measure(bench, names, told)
    report.seconds = time.perf_counter() - began
    return report
