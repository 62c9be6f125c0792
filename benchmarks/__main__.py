"""``python -m benchmarks``: measures, prints the table, keeps the run, draws the pictures.

--quick       fewer rounds and values, under two minutes
--only NAMES  some groups of rows, separated by commas
--compare     against benchmarks/baseline.json: exit code 1 when a ratio is worse by more than the spread
--keep        make this run the new baseline
--docs        measure nothing: write the last full run, or the quick one, into docs/performance.md and README.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import docs, pictures, table
from benchmarks.compare import settled
from benchmarks.crew import Bench
from benchmarks.machine import machine
from benchmarks.place import ROOT
from benchmarks.report import Report
from benchmarks.runner import GROUPS, full, measure

RESULTS = ROOT / "benchmarks" / "results"

BASELINE = ROOT / "benchmarks" / "baseline.json"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; leaves the program when it makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast the cache is.")
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--only", default="", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--compare", action="store_true", help="fail when a ratio is worse than the baseline's")
    parser.add_argument("--keep", action="store_true", help="make this run the baseline")
    parser.add_argument("--docs", action="store_true", help="only write the last run into the pages")
    found = parser.parse_args(arguments)
    found.names = [name for name in found.only.split(",") if name] or list(GROUPS)
    if unknown := set(found.names) - GROUPS.keys():
        parser.error(f"--only: there is no {min(unknown)}; there are {', '.join(GROUPS)}")
    return found


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit code."""
    asked = options(arguments)
    if asked.docs:
        whole = RESULTS / "full.json"
        report = Report.read(whole if whole.exists() else RESULTS / "quick.json")
        pictures.draw(report)
        docs.write(report)
        return 0
    if asked.compare and not BASELINE.exists():
        sys.exit(f"{BASELINE.relative_to(ROOT)} is not there: make one with --keep")
    bench = Bench.start(asked.quick)
    try:
        report = full(bench, asked.names, machine(bench.server), _told)
        faults = []
        if asked.compare:
            faults = settled(Report.read(BASELINE), report, lambda names: measure(bench, names, _told))
    finally:
        bench.close()
    print(table.text(report.rows))
    print(table.summary(report))
    report.write(RESULTS / f"{_name(asked)}.json")
    if asked.keep:
        report.write(BASELINE)
    if len(asked.names) == len(GROUPS) and not asked.quick:
        pictures.draw(report)
    for fault in faults:
        print(f"worse: {fault}")
    return 1 if faults else 0


def _name(asked: argparse.Namespace) -> str:
    """The file of a run: a part of the rows never takes the place of all."""
    kind = "quick" if asked.quick else "full"
    return kind if len(asked.names) == len(GROUPS) else f"{kind}-part"


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
