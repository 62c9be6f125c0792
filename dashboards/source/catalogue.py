"""All dashboards, the files that they become, and every query in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.source import category, overview, runbooks, runs, store, telemetry_health
from dashboards.source.layout import Board, as_json

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "grafana" / "dashboards"
"""What Grafana's provisioning reads."""

VALUES: Mapping[str, str] = {
    "job": ".+",
    "instance": ".+",
    "category": ".+",
    "before": "5m",
    "__rate_interval": "1m",
    "__range": "30m",
}
"""What the variables stand for when a query is run without Grafana: everything, at a scrape interval of 15 s."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel, ready to be run.

    Args:
        instant: False for one that is drawn over time.
    """

    dashboard: str
    panel: str
    expr: str
    instant: bool


def boards() -> list[Board]:
    """Every dashboard, in the order of the links."""
    modules = (overview, category, runs, store, telemetry_health, runbooks)
    return [module.board() for module in modules]


def files() -> dict[str, str]:
    """Name and content of every file."""
    return {f"{board.place.uid}.json": as_json(board) for board in boards()}


def queries(values: Mapping[str, str] = VALUES) -> list[Asked]:
    """Every Prometheus query of every panel, with its variables replaced.

    Args:
        values: of the variables, by name; those that are left out keep what ``VALUES`` says.
    """
    return [
        Asked(content["uid"], panel["title"], filled(target["expr"], {**VALUES, **values}), bool(target.get("instant")))
        for content in map(json.loads, files().values())
        for panel in content["panels"]
        for target in targets(panel)
    ]


def targets(panel: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A panel's queries to Prometheus."""
    return (target for target in panel.get("targets") or () if "expr" in target)


def filled(expr: str, values: Mapping[str, str]) -> str:
    """The query with every variable replaced.

    Raises:
        KeyError: a variable that has no value.
    """
    return re.sub(r"\$\{?([a-zA-Z_]\w*)\}?", lambda found: values[found[1]], expr)
