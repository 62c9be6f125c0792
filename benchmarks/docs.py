"""Writes a kept run between the markers of ``docs/performance.md`` and of the README."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks import table
from benchmarks.place import ROOT
from benchmarks.report import Report, Row

PAGE, README = ROOT / "docs" / "performance.md", ROOT / "README.md"

PARTS: Mapping[str, tuple[str, ...]] = {
    "hits": ("hit/*/base", "hit/*/glasscache/*", "hit/*/glasscache-plain/*", "stored/*"),
    "peers": ("hit/json200/unix/*", "hit/json2k/unix/*", "hit/embedding/unix/*", "hit/*"),
    "calls": ("many/*", "set/*", "miss/*", "async/*"),
    "load": ("load/*",),
    "crowds": ("tasks/*", "threads/*"),
    "local": ("local/*", "memory/*"),
    "flights": ("flight/*",),
    "process": ("loop/*", "import/*", "accounting/*"),
    "growth": ("growth/*",),
    "pieces": ("pieces/*",),
}
"""By marker: the patterns of the rows that stand there."""

SIX = (
    ("hit/json200/unix/glasscache/sampled", "a hit, traced, counted, fenced and decoded"),
    ("hit/json200/unix/glasscache/unsampled", "the same, its trace not sampled"),
    ("many/json200/unix/glasscache/sampled", "a batch of 50 against a bare `MGET` of 50"),
    ("local/hit/sampled", "a hit in the local tier, traced"),
    ("tasks/json200/throughput/glasscache/unsampled", "64 tasks of an event loop, throughput (more is better)"),
    ("threads/json200/throughput/glasscache/unsampled", "16 threads, throughput (more is better)"),
)
"""The lines of the README."""


def replaced(text: str, parts: Mapping[str, str]) -> str:
    """A page with new parts between their markers.

    Raises:
        ValueError: a part has no marker.
    """
    for name, part in parts.items():
        place = re.compile(rf"(<!-- bench:{name} -->\n).*?(<!-- /bench -->)", re.DOTALL)
        text, count = place.subn(lambda match, part=part: f"{match[1]}\n{part}\n\n{match[2]}", text)  # type: ignore[misc]
        if not count:
            raise ValueError(f"no marker for {name}")
    return text


def chosen(report: Report, part: str) -> list[Row]:
    """The rows of one part, in the order of the run."""
    rows = [row for row in report.rows if any(fnmatchcase(row.name, pattern) for pattern in PARTS[part])]
    if part == "peers":
        # the states and the plain path have a table of their own
        rows = [row for row in rows if "/tcp/" not in row.name and "-plain/" not in row.name and not _elsewhere(row)]
    return rows


def _elsewhere(row: Row) -> bool:
    return row.name.endswith(("/glasscache/unsampled", "/glasscache/absent"))


def parts(report: Report) -> dict[str, str]:
    """Everything that the page gets."""
    tables = {
        name: table.markdown(rows) if (rows := chosen(report, name)) else "Not measured in this run." for name in PARTS
    }
    machine = "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in report.machine.items())])
    missed = [row for row in report.rows if row.void or row.missed]
    return {
        **tables,
        "machine": machine,
        "summary": table.summary(report),
        "missed": table.markdown(missed) if missed else "None.",
    }


def six(report: Report) -> str:
    """The lines that matter; one that was not measured says so."""
    rows = {row.name: row for row in report.rows}
    lines = ["| bare redis-py = 1 | |", "|---|---:|"]
    for name, title in SIX:
        lines.append(f"| {title} | {table.figure(rows[name]) if name in rows else 'not measured'} |")
    return "\n".join(lines)


def write(report: Report, page: Path = PAGE, readme: Path = README) -> None:
    """Write both pages.

    Raises:
        ValueError: a marker is missing.
    """
    page.write_text(replaced(page.read_text(), parts(report)))
    readme.write_text(replaced(readme.read_text(), {"six": six(report)}))
