"""``glasscache advise``: the curve over TTLs of a trace that the user gives, and the advice that follows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cache import terminal
from cache.core.ttl import seconds as ttl_seconds
from cache.insight.replay import replay
from cache.insight.traces import requests

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What the command takes."""
    command.add_argument("--trace", type=Path, required=True, help="a file in the format of Twitter's cluster traces")
    command.add_argument("--ttl", type=_ttl, default=3600.0, help="today's TTL, seconds (default: %(default)g)")
    command.add_argument("--gain", type=_share, default=0.01, help="least hit ratio a longer TTL has to give")


def _ttl(text: str) -> float:
    return ttl_seconds(float(text))


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise ValueError(text)
    return number


def advise(trace: Path, ttl_s: float, gain: float) -> dict[str, Any]:
    """The curve of a trace.

    Args:
        ttl_s: today's TTL, seconds.
        gain: hit ratio that a longer TTL has to give.

    Raises:
        TraceError: the file is not of the format.
        OSError: it cannot be read.
    """
    with trace.open(encoding="utf-8", errors="surrogateescape") as lines:
        return replay(requests(lines), ttl_s, gain)


def report(found: dict[str, Any]) -> str:
    """The same for people."""
    today = found["today"]
    if today is None:
        return "the trace has no lookups"
    rows = [(f"{duration(row['ttl'])}", *_cells(row)) for row in found["grid"]]
    rows.append((f"{duration(found['ttl_today'])} (today)", *_cells(today)))
    lines = [terminal.table(("TTL", "hit ratio", "error", "stored"), rows), ""]
    sample = f"{found['lookups']} lookups; a sample of {found['keys']} keys, {100 * found['rate']:.1f} % of them"
    return "\n".join([*lines, sample, _advice(found["advice"])])


def _cells(row: dict[str, float]) -> tuple[str, str, str]:
    return f"{100 * row['hit_ratio']:.2f}%", f"{100 * row['error']:.2f}%", terminal.size(row["bytes"])


def _advice(advice: dict[str, Any]) -> str:
    """One sentence; that it is applied is up to who reads it."""
    if not advice["certain"]:
        return f"advice: {duration(advice['ttl'])}; it differs from today's by no more than the error"
    longer = advice["staleness_s"] >= 0
    memory = f"{terminal.size(abs(advice['bytes']))} {'more' if advice['bytes'] >= 0 else 'less'}"
    age = f"values up to {duration(abs(advice['staleness_s']))} {'older' if longer else 'fresher'}"
    return f"advice: {duration(advice['ttl'])}: {100 * advice['hit_ratio']:+.2f}% hit ratio, {memory} stored, {age}"


def duration(seconds: float) -> str:
    """A TTL in the largest unit that it is a whole number of."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
