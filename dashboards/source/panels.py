"""The kinds of panel, so that all of them have a description, a unit, a legend and the same manners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from grafana_foundation_sdk.builders import barchart as build_bars
from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap as build_heatmap
from grafana_foundation_sdk.builders import stat as build_stat
from grafana_foundation_sdk.builders import statetimeline as build_timeline
from grafana_foundation_sdk.builders import table as build_table
from grafana_foundation_sdk.builders import text as build_text
from grafana_foundation_sdk.builders import timeseries as build_series
from grafana_foundation_sdk.models import common, dashboard, heatmap, text

from dashboards.source import colours
from dashboards.source.links import Link
from dashboards.source.looks import Column, Look, Query
from dashboards.source.variables import JAEGER, PROMETHEUS

Panel = dashboard.Panel

WATCHDOG = "CacheWatchdog"
"""The alert that always fires, so that its absence is seen elsewhere; a list of it is no quiet list."""


def lines(title: str, description: str, queries: Sequence[Query], look: Look) -> Panel:
    """Lines over time, or areas on top of each other."""
    made = build_series.Panel()
    made.legend(_legend(look)).tooltip(_tooltip())
    made.line_width(0 if look.stacked else 2).fill_opacity(75 if look.stacked else 0)
    made.show_points(common.VisibilityMode.AUTO).point_size(5).span_nulls(False)
    made.gradient_mode(common.GraphGradientMode.NONE).line_interpolation(common.LineInterpolation.LINEAR)
    made.draw_style(common.GraphDrawStyle.LINE).axis_placement(common.AxisPlacement.AUTO).axis_label(look.axis)
    if look.up_to is not None:
        made.axis_soft_max(look.up_to)
    if look.stacked:
        made.stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if look.logarithmic:
        made.scale_distribution(build_common.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    if look.thresholds:
        made.thresholds_style(build_common.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    return _finished(made, title, description, queries, look)


def stat(title: str, description: str, queries: Sequence[Query], look: Look) -> Panel:
    """One figure, coloured by its thresholds or words."""
    made = build_stat.Panel()
    # no sparkline: on a tile it runs behind the figure, and the lines are below
    made.graph_mode(common.BigValueGraphMode.NONE).color_mode(common.BigValueColorMode.VALUE).justify_mode(
        common.BigValueJustifyMode.AUTO
    )
    made.text_mode(common.BigValueTextMode.VALUE if len(queries) == 1 else common.BigValueTextMode.VALUE_AND_NAME)
    made.orientation(common.VizOrientation.AUTO).wide_layout(True)
    made.text(build_common.VizTextDisplayOptions().value_size(36))
    made.reduce_options(build_common.ReduceDataOptions().calcs(["last"]).fields("").values(False))
    return _finished(made, title, description, [replace(query, at="instant") for query in queries], look)


def timeline(title: str, description: str, queries: Sequence[Query], look: Look) -> Panel:
    """States over time."""
    made = build_timeline.Panel()
    made.legend(_legend(look)).tooltip(_tooltip()).merge_values(True).row_height(0.7).fill_opacity(75).line_width(0)
    made.show_value(common.VisibilityMode.AUTO).align_value(common.TimelineValueAlignment.LEFT)
    return _finished(made, title, description, queries, look)


def bars(title: str, description: str, query: Query, rows: tuple[str, str], look: Look) -> Panel:
    """A bar for each word of one label, stacked by the words of another.

    Args:
        rows: the label of the bars, and that of their parts.
    """
    bar, part = rows
    made = build_bars.Panel()
    made.legend(_legend(look)).tooltip(_tooltip()).orientation(common.VizOrientation.HORIZONTAL)
    made.stacking(common.StackingMode.NORMAL).show_value(common.VisibilityMode.NEVER).bar_width(0.7).fill_opacity(75)
    made.axis_label(look.axis).x_tick_label_max_length(14)
    matrix = {"columnField": part, "rowField": bar, "valueField": "Value", "emptyValue": "null"}
    made.transformations([dashboard.DataTransformerConfig(id_val="groupingToMatrix", options=matrix)])
    return _finished(made, title, description, [query], look)


def heat(title: str, description: str, query: Query, look: Look) -> Panel:
    """Durations by bucket over time, with the traces behind them."""
    made = build_heatmap.Panel()
    colour = build_heatmap.HeatmapColorOptions().mode(heatmap.HeatmapColorMode.SCHEME).scheme("Viridis")
    made.color(
        colour.fill("dark-blue").exponent(0.5).steps(32).reverse(False).scale(heatmap.HeatmapColorScale.EXPONENTIAL)
    )
    made.calculate(False).cell_gap(1).show_legend().exemplars_color(colours.RED)
    made.show_value(common.VisibilityMode.NEVER).filter_values(build_heatmap.FilterValueRange().le(1e-9))
    made.y_axis(
        build_heatmap.YAxisConfig().unit(look.unit).axis_placement(common.AxisPlacement.LEFT).axis_label(look.axis)
    )
    made.rows_frame(build_heatmap.RowsHeatmapOptions().layout(common.HeatmapCellLayout.AUTO))
    made.cell_values(build_heatmap.CellValues().unit("short"))
    made.tooltip(
        build_heatmap.HeatmapTooltip().mode(common.TooltipDisplayMode.SINGLE).y_histogram(True).show_color_scale(True)
    )
    return _finished(made, title, description, [query], look)


def table(
    title: str, description: str, queries: Sequence[Query], columns: Sequence[Column], look: Look, *, sort: str = ""
) -> Panel:
    """Rows: what the queries have in common, then a column for each."""
    made = build_table.Panel()
    made.show_header(True).cell_height(common.TableCellHeight.SM)
    if sort:
        made.sort_by([build_common.TableSortByFieldState().display_name(sort).desc(True)])
    made.transformations(
        [
            dashboard.DataTransformerConfig(id_val="merge", options={}),
            dashboard.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "includeByName": {},
                    "indexByName": {column.source: number for number, column in enumerate(columns)},
                    "renameByName": {column.source: column.title for column in columns},
                },
            ),
        ]
    )
    for column in columns:
        properties = [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in column.properties.items()]
        if properties:
            made.override_by_name(column.title, properties)
    return _finished(made, title, description, queries, look)


def alerts(title: str, description: str, panel_links: Sequence[Link]) -> Panel:
    """The alerts that fire or are about to, worst first."""
    made = build.Panel().type("alertlist")
    made.options(
        {
            "alertInstanceLabelFilter": f'{{alertname!="{WATCHDOG}"}}',
            "alertName": "",
            "dashboardAlerts": False,
            "groupBy": [],
            "groupMode": "default",
            "maxItems": 20,
            "showInactiveAlerts": False,
            "sortOrder": 3,
            "stateFilter": {
                "error": True,
                "firing": True,
                "noData": False,
                "normal": False,
                "pending": True,
                "recovering": True,
            },
            "viewMode": "list",
        }
    )
    panel = made.title(title).description(description).datasource(PROMETHEUS).build()
    panel.links = _as_json(panel_links)
    return panel


def slow_traces(
    title: str, description: str, query: Mapping[str, object], columns: Sequence[Column], sort: str
) -> Panel:
    """A table of traces from Jaeger; each opens."""
    made = build_table.Panel()
    made.title(title).description(description).datasource(JAEGER).show_header(True).unit("string")
    made.cell_height(common.TableCellHeight.SM).no_value("no trace was slower")
    made.sort_by([build_common.TableSortByFieldState().display_name(sort).desc(True)])
    for column in columns:
        made.override_by_name(
            column.source,
            [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in column.properties.items()],
        )
    panel = made.build()
    panel.targets = [{"refId": "A", "datasource": {"type": "jaeger", "uid": "jaeger"}, **query}]  # type: ignore[list-item]
    return panel


def page(title: str, description: str, content: str) -> Panel:
    """A text in Markdown."""
    return (
        build_text.Panel().title(title).description(description).mode(text.TextMode.MARKDOWN).content(content).build()
    )


def _finished(made: Any, title: str, description: str, queries: Sequence[Query], look: Look) -> Panel:
    """What all panels with queries share."""
    made.title(title).description(description).datasource(PROMETHEUS).unit(look.unit).no_value(look.empty)
    made.targets([query.built(chr(ord("A") + number)) for number, query in enumerate(queries)])
    made.mappings(_mappings(look))
    if look.low is not None:
        made.min(look.low)
    if look.high is not None:
        made.max(look.high)
    if look.decimals is not None:
        made.decimals(look.decimals)
    by_value = bool(look.thresholds or look.words) and not isinstance(made, build_series.Panel)
    modes = dashboard.FieldColorModeId
    # by name, a category that the table does not have keeps its colour; side by side, neighbours differ more
    palette = modes.PALETTE_CLASSIC_BY_NAME if look.colours else modes.PALETTE_CLASSIC
    mode = modes.THRESHOLDS if by_value else palette
    made.color_scheme(build.FieldColor().mode(mode))
    steps = [dashboard.Threshold(value, colour) for value, colour in look.thresholds or [(None, colours.GOOD)]]
    made.thresholds(build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps))
    for name in dict.fromkeys([*look.colours, *look.dashed]):
        override = made.override_by_regexp if name.startswith("/") else made.override_by_name
        override(name, _series_properties(name, look))
    panel: Panel = made.build()
    if panel.field_config is not None:
        panel.field_config.defaults.links = _as_json(look.links)
    panel.links = _as_json(look.panel_links)
    return panel


def _series_properties(name: str, look: Look) -> list[dashboard.DynamicConfigValue]:
    found = []
    if name in look.colours:
        fixed = {"fixedColor": look.colours[name], "mode": "fixed"}
        found.append(dashboard.DynamicConfigValue(id_val="color", value=fixed))
    if name in look.dashed:
        style = {"dash": [6, 6], "fill": "dash"}
        found.append(dashboard.DynamicConfigValue(id_val="custom.lineStyle", value=style))
        found.append(dashboard.DynamicConfigValue(id_val="custom.fillOpacity", value=0))
    return found


def _as_json(panel_links: Sequence[Link]) -> Any:
    """Links in a panel's corner."""
    return [link.as_json() for link in panel_links] or None


def _mappings(look: Look) -> list[dashboard.ValueMapping]:
    nothing = dashboard.ValueMappingResult(text=look.empty, color=colours.QUIET, index=len(look.words))
    found: list[dashboard.ValueMapping] = []
    if look.words:
        results = {
            value: dashboard.ValueMappingResult(text=word, color=colour, index=number)
            for number, (value, (word, colour)) in enumerate(look.words.items())
        }
        found.append(dashboard.ValueMap(options=results))
    options = dashboard.DashboardSpecialValueMapOptions(match=dashboard.SpecialValueMatch.NULL_AND_NAN, result=nothing)
    return [*found, dashboard.SpecialValueMap(options=options)]


def _legend(look: Look) -> build_common.VizLegendOptions:
    made = build_common.VizLegendOptions().show_legend(True).calcs(list(look.calcs))
    if look.right:
        return made.display_mode(common.LegendDisplayMode.TABLE).placement(common.LegendPlacement.RIGHT)
    return made.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)


def _tooltip() -> build_common.VizTooltipOptions:
    return build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
