"""The page of reliability: what was played is kept in a file of data beside it, and its tables are made from that."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cache.stores.embedded import binary
from faults import catalogue
from faults.registry import Catalogue, Row
from faults.running import Played

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reliability.md"
DATA = ROOT / "docs" / "reliability.json"

HEAD = (
    "| # | fault | injected by | played as | W | E | 50 calls | p99+ | loop lag | T | L | X | besides | held by too |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)
_SILENT = frozenset(
    {"hits before", "hits during", "lag before", "50 calls before", "processes", "held after the end", "first error"}
)
"""Figures of a play that the page leaves to the data."""


def versions() -> dict[str, str]:
    """What it was played on."""
    server = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=False).stdout
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "cores": str(cores),
        "server": " ".join(re.findall(r"Valkey server|v=[\d.]+", server)).replace("v=", ""),
    }


def load() -> dict[str, Any]:
    """The data as it is; empty when there is none."""
    return dict(json.loads(DATA.read_text())) if DATA.exists() else {"versions": {}, "plays": {}}


def keep(data: dict[str, Any], played: Played, *, short: bool) -> None:
    """Put one play into the data, in place of an earlier one."""
    told = played.as_data() | {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "length": "short" if short else "long"}
    plays = data["plays"].setdefault(played.number, {})
    plays[f"{played.form}, {played.path}"] = told


def write(data: Mapping[str, Any]) -> None:
    """Write data and page."""
    DATA.write_text(json.dumps(data, indent=1, sort_keys=True, default=str).replace("Infinity", "null") + "\n")
    PAGE.write_text(filled(PAGE.read_text(), data))


def filled(text: str, data: Mapping[str, Any]) -> str:
    """The page with every table made anew.

    Raises:
        ValueError: a class of faults has no place on the page.
    """
    parts = {one.title: table(one, data) for one in _by_title()} | {"summary": summary(data)}
    for title, part in parts.items():
        place = re.compile(rf"(<!-- faults:{re.escape(title)} -->\n).*?(<!-- /faults -->)", re.DOTALL)
        text, count = place.subn(lambda match, part=part: f"{match[1]}\n{part}\n\n{match[2]}", text)
        if not count:
            raise ValueError(f"the page has no place for {title}")
    return text


def _by_title() -> Iterable[Catalogue]:
    """The classes, those of one title as one."""
    merged: dict[str, Catalogue] = {}
    for one in catalogue.CLASSES:
        merged.setdefault(one.title, Catalogue(one.title)).rows.extend(one.rows)
    return merged.values()


def table(one: Catalogue, data: Mapping[str, Any]) -> str:
    """The table of a class."""
    return "\n".join([HEAD, *(line(row, list(data["plays"].get(row.number, {}).values())) for row in one.rows)])


def line(row: Row, plays: list[Mapping[str, Any]]) -> str:
    """One row: the worst figure of all plays."""
    done = [play for play in plays if not play["reached"]]
    figures = [play["figures"] for play in done]
    tests = ", ".join(f"`{test}`" for test in row.tests)
    if not done:
        why = plays[0]["reached"] if plays else "not played yet"
        cells = [f"**not reached**: {why}", *[""] * 8]
    else:
        cells = [
            ", ".join(f"{play['form']} {play['path']}" for play in done),
            *(str(sum(one.get(name, 0) for one in figures)) for name in ("wrong", "errors")),
            _worst(figures, "burst_ms", "{:.0f} ms"),
            _worst(figures, "p99_ms", "{:.1f} ms"),
            _worst(figures, "lag_ms", "{:.1f} ms"),
            _worst(figures, "recovery_s", "{:.2f} s"),
            _worst(figures, "leaks", "{:.0f}"),
            _worst(figures, "origin", "{:.2f}"),
        ]
    cells.append(_besides(done))
    return "| " + " | ".join([row.number, row.name, row.injected, *cells, tests]) + " |"


def _worst(figures: list[Mapping[str, Any]], name: str, form: str) -> str:
    values = [one[name] for one in figures if one.get(name) is not None]
    return form.format(max(values)) if values else "–"


def _besides(done: list[Mapping[str, Any]]) -> str:
    """What a row tells of itself, of the play that told most; and what did not hold."""
    missed = [(f"{play['form']} {play['path']}", "; ".join(play["broken"])[:160]) for play in done if play["broken"]]
    words = [f"**missed** ({played}): {what}" for played, what in missed]
    told = max((play["figures"].get("more", {}) for play in done), key=len, default={})
    words += [f"{name}: {_shown(value)}" for name, value in told.items() if name not in _SILENT]
    return "; ".join(words).replace("|", "/").replace("\n", " ")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_shown(one)}" for name, one in value.items()) + ")"
    return "never" if isinstance(value, float) and math.isinf(value) else str(value)


def summary(data: Mapping[str, Any]) -> str:
    """When and on what; how many rows were played, missed and not reached."""
    rows = list(catalogue.rows())
    plays = {row.number: list(data["plays"].get(row.number, {}).values()) for row in rows}
    every = [play for some in plays.values() for play in some]
    done = [play for play in every if not play["reached"]]
    missed = [play for play in done if play["broken"]]
    dates = sorted({play["date"] for play in done})
    short = sum(play["length"] == "short" for play in done)
    told = data["versions"]
    figures = [play["figures"] for play in done]
    wrong, errors = (sum(one.get(name, 0) for one in figures) for name in ("wrong", "errors"))
    unreached = sum(all(play["reached"] for play in some) for some in plays.values())
    machine = ", ".join(told.get(name, "?") for name in ("server", "system"))
    return (
        f"Last played: {dates[-1] if dates else 'never'}, on {machine}, Python {told.get('python', '?')}, "
        f"{told.get('cores', '?')} cores.\n"
        f"Rows: {len(rows)}; plays: {len(done)}, {short} of them in the short form: "
        f"{wrong} wrong values and {errors} errors in {sum(one.get('calls', 0) for one in figures):,} calls.\n"
        f"Plays that missed a bound: {len(missed)}. Rows not reached: {unreached}."
    )
