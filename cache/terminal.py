"""What the commands show on a terminal: plain tables, colours only where there is a terminal to show them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

PROMISED = (
    ("context retrieval", "context", 0.050, 0.002),
    ("read_file, same path", "execute_tool read_file", 0.010, 0.001),
    ("semantic embedding", "embedding", 0.200, 0.002),
)
"""The specification's table: operation, where it is measured, seconds uncached and cached."""

_COLOURS = {
    "hit": "32",
    "miss": "33",
    "stale": "36",
    "error": "31",
    "ok": "0",
    "bypass": "35",
    "warn": "33",
    "fail": "31",
}


def coloured(text: str, word: str, stream: TextIO | None = None) -> str:
    """The text in its word's colour, on a terminal that wants colours."""
    stream = stream or sys.stdout
    if not stream.isatty() or "NO_COLOR" in os.environ or word not in _COLOURS:
        return text
    return f"\x1b[{_COLOURS[word]}m{text}\x1b[0m"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its columns aligned: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join((line(head), line(["-" * width for width in widths]), *(line(row) for row in rows)))


def seconds(value: float | None) -> str:
    """A duration in the unit that fits it."""
    if value is None:
        return "-"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def size(value: float) -> str:
    """Bytes in the unit that fits them."""
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def figures(summary: dict[str, Any]) -> str:
    """The figures of an API in one line, whose they are where the fleet was asked for, and each category's below."""
    head = (
        f"{summary['total_requests']} requests, {summary['hit_rate']} hits, {summary['sets']} sets, "
        f"{summary['deletes']} deletes, {summary['errors']} errors\n"
    )
    if "processes" in summary:
        head += f"{fleet(summary)}\n"
    return f"{head}\n{categories(summary)}\n\n{savings(summary)}" if summary["categories"] else head


def savings(summary: dict[str, Any]) -> str:
    """Whether it pays, with the interval, and which categories lose."""
    saved = summary["savings"]
    text = f"net {_between(saved)}"
    if saved["money"] is not None:
        money = saved["money"]
        text += f"; computations for {money['amount']:.2f} {money['currency']} were not needed"
    if saved["note"]:
        text += f"; {saved['note']}"
    for name in summary["losing"]:
        found = summary["categories"][name]["savings"] if name in summary["categories"] else None
        if found is not None:
            text += f"\n{coloured(f'{name} loses time', 'warn')}: {_between(found)}"
    checked = summary["verifications"]
    if sum(checked.values()):
        said = ", ".join(f"{n} {result}" for result, n in checked.items() if n)
        text += f"\nhits computed again: {coloured(said, 'fail' if checked['different'] else 'ok')}"
    return text


def _between(saved: dict[str, Any]) -> str:
    """Net seconds and the ends of their interval."""
    value = signed(saved["seconds"])
    if saved["low"] is None:
        return f"{value} saved"
    return f"{value} saved ({signed(saved['low'])} to {signed(saved['high'])} in {saved['confidence']:.0%} of cases)"


def signed(value: float) -> str:
    """A duration that may be below nothing."""
    return f"-{seconds(-value)}" if value < 0 else seconds(value)


def categories(summary: dict[str, Any]) -> str:
    """The figures of each category as a table."""
    rows = []
    for name, figures in summary["categories"].items():
        reasons = ", ".join(f"{reason} {n}" for reason, n in figures["miss_reasons"].items()) or "-"
        if triggers := figures.get("miss_triggers"):
            reasons += f" (by {', '.join(f'{trigger} {n}' for trigger, n in triggers.items())})"
        rows.append(
            (
                name,
                str(figures["hits"] + figures["misses"]),
                str(figures["hits"]),
                figures["hit_rate"],
                f"{seconds(figures['hit_seconds']['p50'])} / {seconds(figures['hit_seconds']['p95'])}",
                f"{seconds(figures['compute_seconds']['p50'])} / {seconds(figures['compute_seconds']['p95'])}",
                seconds(figures["seconds_avoided"]),
                size(figures["bytes_stored"]),
                reasons,
            )
        )
    head = (
        "category",
        "requests",
        "hits",
        "hit rate",
        "hit p50 / p95",
        "computation p50 / p95",
        "saved",
        "stored",
        "misses",
    )
    return table(head, rows)


def fleet(summary: dict[str, Any]) -> str:
    """Whose figures these are, how old, and what is missing."""
    began = datetime.fromtimestamp(summary["since"], UTC).isoformat(sep=" ", timespec="seconds")
    complete = "complete" if summary["complete"] else coloured("not complete", "warn")
    text = (
        f"{summary['processes']} processes, {summary['workers']} of them living, the oldest figures of these "
        f"{seconds(summary['oldest_s'])} old; {complete} since {began}"
    )
    return f"{text}\n{summary['note']}" if summary["note"] else text


def tree(rows: Sequence[dict[str, Any]], limit: int = 60) -> str:
    """A run's spans, indented; misses with their reasons."""
    lines = []
    for row in rows[:limit]:
        times = f" x{row['count']}" if row["count"] > 1 else ""
        said = ""
        if "outcome" in row:
            reasons = ", ".join(
                f"{reason} {n}" if "batch" in row else reason for reason, n in row.get("reasons", {}).items()
            )
            batch = f" {row['hits']} of {row['batch']} hit" if "batch" in row else ""
            said = coloured(f"  [{row['outcome']}{batch}{': ' + reasons if reasons else ''}]", row["outcome"])
        lines.append(f"{'  ' * row['depth']}{row['name']}{times}  {seconds(row['seconds'])}{said}")
    if len(rows) > limit:
        lines.append(f"... {len(rows) - limit} more")
    return "\n".join(lines)


def speed_ups(phases: dict[str, Any]) -> str:
    """The specification's promises beside what was measured: the computation when cold, the hit when warm."""
    rows = []
    for label, kind, before, after in PROMISED:
        cold = phases["cold"]["operations"].get(kind, {}).get("miss")
        warm = phases["warm"]["operations"].get(kind, {}).get("hit")
        factor = f"{cold / warm:.0f}x" if cold and warm else "-"
        promised = f"{seconds(before)} -> {seconds(after)} ({before / after:.0f}x)"
        rows.append((label, promised, f"{seconds(cold)} -> {seconds(warm)}", factor))
    return table(("operation", "promised", "measured (median)", "speed-up"), rows)


def demo_report(result: dict[str, Any]) -> str:
    """Everything that the demo shows at its end."""
    phases = result["phases"]
    parts = []
    for phase, title in (("cold", "Cold"), ("warm", "Warm, a new process"), ("changed", "After the change")):
        figures = phases[phase]
        faster = f", {result['speed_up'][phase]:.0f} times faster" if phase in result["speed_up"] else ""
        parts.append(f"{title}: {seconds(figures['seconds'])}{faster}\n\n{categories(figures['metrics'])}")
    parts.append(f"Promised and measured\n\n{speed_ups(phases)}")
    parts.append(f"The slowest run of the cold process, span by span\n\n{tree(phases['cold']['slowest'])}")
    parts.append(f"The slowest run after the change: what missed, and why\n\n{tree(phases['changed']['slowest'])}")
    parts.append(
        "Where to look next (in a clone the command is .venv/env/bin/glasscache)\n\n"
        "  glasscache demo --serve   this once more, then its figures at /cache/metrics, for Prometheus at /metrics\n"
        "  glasscache explain        why one key would hit or miss, in the store that REDIS_URL names\n"
        "  glasscache doctor         checks that store, and names what to change\n"
        "  README.md                 put it under your own workflow with one decorator"
    )
    return "\n\n".join(parts)
