"""What is asked and how it is shown, as plain values; ``panels`` makes Grafana's panels of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import prometheus as build_prometheus
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from dashboards.source.links import Link
from dashboards.source.variables import PROMETHEUS

NO_TRAFFIC = "no traffic"


def says(what: str, good: str, otherwise: str) -> str:
    """A description: what is shown, what good looks like, what to do when it does not."""
    return f"{what}\n\n**Good:** {good}\n\n**If not:** {otherwise}"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Args:
        exemplars: show the traces behind a histogram.
        at: ``range`` for lines, ``instant`` for one value, ``table`` for rows, ``heatmap``.
    """

    expr: str
    legend: str
    exemplars: bool = False
    at: str = "range"

    def built(self, ref: str) -> build_prometheus.Dataquery:
        """As the SDK's builder."""
        made = (
            build_prometheus.Dataquery()
            .ref_id(ref)
            .datasource(PROMETHEUS)
            .editor_mode(QueryEditorMode.CODE)
            .expr(self.expr)
            .legend_format(self.legend)
            .exemplar(self.exemplars)
        )
        if self.at in ("instant", "table"):
            made = made.instant()
        else:
            made = made.range()
        form = {"table": PromQueryFormat.TABLE, "heatmap": PromQueryFormat.HEATMAP}
        return made.format(form.get(self.at, PromQueryFormat.TIME_SERIES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How values are shown.

    Args:
        unit: Grafana's word.
        colours: fixed, by the name of a series, or by a pattern between slashes.
        up_to: what the axis shows at least, so that a flat 0 is not drawn on a scale of 100.
        thresholds: value and colour, the first without a value.
        words: text and colour of certain values.
        empty: what stands where there is no value.
        dashed: names or patterns of series that are drawn dashed.
        links: on the values.
        panel_links: in the panel's corner.
        right: a table beside the plot instead of a list below it.
    """

    unit: str
    low: float | None = None
    high: float | None = None
    up_to: float | None = None
    decimals: int | None = None
    colours: Mapping[str, str] = field(default_factory=dict)
    thresholds: Sequence[tuple[float | None, str]] = ()
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    empty: str = NO_TRAFFIC
    stacked: bool = False
    logarithmic: bool = False
    axis: str = ""
    dashed: Sequence[str] = ()
    right: bool = False
    calcs: Sequence[str] = ()
    links: Sequence[Link] = ()
    panel_links: Sequence[Link] = ()


def ratio(**more: Any) -> Look:
    """The look of a share, 0 to 1."""
    return Look(**{"unit": "percentunit", "low": 0, "high": 1, **more})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        source: its name in the data.
        properties: Grafana's field options, by id.
    """

    source: str
    title: str
    properties: Mapping[str, object] = field(default_factory=dict)
