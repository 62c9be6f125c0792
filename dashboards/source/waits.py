"""Who waited for whom: the worst waits for other callers' computations, and what they cost."""

from __future__ import annotations

from dashboards.source import colours, links, queries
from dashboards.source.looks import Look, Query, says
from dashboards.source.panels import Panel, lines
from dashboards.source.queries import CATEGORY, RATE, SCOPE, summed
from telemetry import schema

_NAME = schema.FLIGHT_WAIT_DURATION.prometheus


def worst() -> Panel:
    """The longest."""
    whole = queries.buckets(_NAME, queries.selected(), CATEGORY)
    return lines(
        "Longest waits for another's computation",
        says(
            "The longest wait of each category, to its bucket's upper bound: of a caller that wanted what somebody "
            "else was computing, in this process or in the fleet. Points are traces.",
            "no longer than the category's computation takes.",
            "open a point: its `cache.wait` span is linked to the span of the one who computed, whose trace says what "
            "took so long. `glasscache runs` names the keys by their digests.",
        ),
        [Query(f"histogram_quantile(1, {whole}) or {_none(CATEGORY)}", "{{" + CATEGORY + "}}", exemplars=True)],
        Look(
            unit="s",
            low=0,
            colours=colours.of(colours.CATEGORIES),
            empty="nobody waited",
            panel_links=[links.runbook("CacheStampede")],
        ),
    )


def spent() -> Panel:
    """How much time went into waiting."""
    rate = f"rate({_NAME}_sum{queries.selected()}[{RATE}])"
    return lines(
        "Callers that wait",
        says(
            "Seconds in each second that callers spent waiting for somebody else's computation, by how far it is "
            "shared: how many wait at a time, in the mean.",
            "far below 1; each of them is a computation saved.",
            "as many as there are callers: they all want one key. Serve stale or refresh ahead in its category.",
        ),
        [Query(f"{summed(rate, SCOPE)} or {_none(SCOPE)}", "{{" + SCOPE + "}}")],
        Look(
            unit="suffix: s/s",
            low=0,
            up_to=0.1,
            colours=colours.of(colours.SCOPES),
            empty="nobody waited",
            panel_links=[links.runbook("CacheStampede")],
        ),
    )


def _none(by: str) -> str:
    """Zero for whoever could have waited: a histogram has no series before its first wait, the counter has."""
    rate = f"rate({schema.FLIGHT_WAITS.prometheus}{queries.selected()}[{RATE}])"
    return f"0 * {summed(rate, by)}"
