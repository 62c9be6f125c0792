"""A dashboard from shelves of panels: places, ids, variables and links, the same for all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from dashboards.source import links
from dashboards.source.links import Place
from dashboards.source.panels import Panel
from dashboards.source.variables import Variable

WIDTH = 24
"""Columns of Grafana's grid."""

TAG = "glasscache"


@dataclass(frozen=True, slots=True)
class Shelf:
    """Panels beside each other, under a heading if there is one.

    Args:
        height: of each, in Grafana's units of 30 px and a gap.
        panels: with their widths; together 24 columns.
    """

    height: int
    panels: Sequence[tuple[int, Panel]]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Args:
        since: how far back it begins, as Grafana writes it.
    """

    place: Place
    description: str
    variables: Sequence[Variable]
    shelves: Sequence[Shelf]
    since: str = "now-30m"


def panel_id(title: str) -> int:
    """An id that stays when panels are added before: it follows from the title."""
    return crc32(title.encode()) % 1_000_000 + 1


def as_json(board: Board) -> str:
    """The dashboard as Grafana's provisioning reads it."""
    made = (
        build.Dashboard(board.place.title)
        .uid(board.place.uid)
        .description(board.description)
        .tags([TAG])
        .timezone("browser")
        .refresh("15s")
        .time(board.since, "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .links([_link(place, url) for place, url in links.all_from(board.place)])
        .variables(list(board.variables))
    ).build()
    made.panels = _placed(board)
    data: dict[str, Any] = json.loads(json.dumps(made, cls=JSONEncoder))
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _placed(board: Board) -> list[Panel | model.RowPanel]:
    """Every panel at its place, with its id.

    Raises:
        ValueError: a shelf that is not 24 wide, or two panels of one title.
    """
    found: list[Panel | model.RowPanel] = []
    top, ids = 0, set[int]()
    for shelf in board.shelves:
        if sum(width for width, _ in shelf.panels) != WIDTH:
            raise ValueError(f"{board.place.title}: a shelf with {shelf.panels[0][1].title!r} is not {WIDTH} wide")
        if shelf.heading:
            row = build.Row(shelf.heading).id(panel_id("# " + shelf.heading)).build()
            row.grid_pos = model.GridPos(h=1, w=WIDTH, x=0, y=top)
            found.append(row)
            top += 1
        left = 0
        for width, panel in shelf.panels:
            panel.id_val = panel_id(panel.title or "")
            panel.grid_pos = model.GridPos(h=shelf.height, w=width, x=left, y=top)
            found.append(panel)
            left += width
        top += shelf.height
    for placed in found:
        if placed.id_val in ids:
            raise ValueError(f"{board.place.title}: two panels are called {placed.title!r}")
        ids.add(placed.id_val or 0)
    return found


def _link(place: Place, url: str) -> build.DashboardLink:
    return (
        build.DashboardLink(place.title)
        .type(model.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip("")
        .url(url)
        .tags([])
        .keep_time(True)
    )
