"""The tables: for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.report import RATIO, Report, Row

HEAD = ("what", "figure", "quartiles", "goal", "")


def figure(row: Row) -> str:
    """A row's figure with its unit, in three digits."""
    if row.void:
        return "void"
    if row.unit == RATIO:
        return f"{row.value:.2f}" if row.value < 100 else f"{row.value:.0f}"
    return f"{number(row.value)} {row.unit}".strip()


def number(value: float) -> str:
    """Three digits, without a tail of zeros where there is none to tell."""
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def quartiles(row: Row) -> str:
    """Where half of the rounds lie; nothing for a figure that was counted."""
    if row.void or row.rounds < 2:
        return ""
    digits = (lambda value: f"{value:.2f}") if row.unit == RATIO else number
    return f"{digits(row.low)}-{digits(row.high)}"


def verdict(row: Row) -> str:
    """How a row stands to its goal."""
    if row.void:
        return row.void
    if row.goal is None:
        return ""
    if not row.missed:
        return "reached"
    if row.goal.floor is None:
        return "missed"
    return "missed, above the floor" if row.value <= row.goal.floor else "below the floor"


def cells(row: Row) -> tuple[str, ...]:
    """A row's columns."""
    return (row.title, figure(row), quartiles(row), str(row.goal or ""), verdict(row))


def text(rows: Iterable[Row]) -> str:
    """A table for a terminal, a blank line between groups."""
    table = [(row.group, cells(row)) for row in rows]
    widths = [max(len(line[n]) for line in [HEAD, *(each for _, each in table)]) for n in range(len(HEAD))]
    lines = [_padded(HEAD, widths), _padded(["-" * width for width in widths], widths)]
    last = table[0][0] if table else ""
    for group, line in table:
        if group != last:
            lines.append("")
        last = group
        lines.append(_padded(line, widths))
    return "\n".join(lines)


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    parts = [
        part.rjust(width) if n in (1, 2) else part.ljust(width)
        for n, (part, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(parts).rstrip()


def markdown(rows: Iterable[Row]) -> str:
    """A table for a page."""
    lines = ["| What | Figure | Quartiles | Goal | |", "|---|---:|---:|---|---|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def summary(report: Report) -> str:
    """One line: how long, how many rows, how many goals."""
    judged = [row for row in report.rows if row.goal is not None and not row.void]
    reached = sum(not row.missed for row in judged)
    voids = sum(bool(row.void) for row in report.rows)
    kind = f"{'quick' if report.quick else 'full'} run, {report.seconds:.0f} s"
    return f"{kind}: {len(report.rows)} rows, {reached} of {len(judged)} goals reached, {voids} void"
