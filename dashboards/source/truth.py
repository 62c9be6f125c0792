"""Panels about whether a category pays and whether its answers are true."""

from __future__ import annotations

from dashboards.source import colours, links, queries
from dashboards.source.looks import Look, Query, says
from dashboards.source.panels import Panel, lines
from dashboards.source.queries import summed
from telemetry import schema
from telemetry.schema import prometheus_label
from telemetry.vocabulary import Bound

BOUND = prometheus_label(schema.BOUND)


def saved_surely() -> Panel:
    """What was saved since the processes began, with its interval."""
    chosen = queries.selected(*queries.chosen_category(schema.TIME_SAVED))
    return lines(
        "Saved since the start, and how surely",
        says(
            "Seconds saved, net, by the processes that are chosen since they began: what the hits would have cost less "
            "what the cache cost. The truth lies between low and high in 95 of 100 cases; ends are added up, which "
            "makes a sum no surer than it is.",
            "low above 0: it pays.",
            "high below 0: the category loses time. See the two durations above, and cache something else.",
        ),
        [Query(summed(f"{schema.TIME_SAVED.prometheus}{chosen}", BOUND), "{{" + BOUND + "}}")],
        Look(
            unit="s",
            colours={Bound.LOW: colours.AMBER, Bound.MIDDLE: colours.GREEN, Bound.HIGH: colours.SKY},
            dashed=["/low|high/"],
            empty="nothing was done",
            panel_links=[links.runbook("CacheCostsMoreThanItSaves")],
        ),
    )


def checked() -> Panel:
    """Hits that were computed again."""
    return lines(
        "Hits computed again",
        says(
            "A share of the hits of repeatable computations (`CACHE_VERIFY_SHARE`) is computed again in the "
            "background; by what was found.",
            "`same` alone, now and then `overtaken`.",
            "`different`: callers were given what is not true. `failed`: the computation cannot be repeated like this.",
        ),
        [Query(summed(queries.rate(schema.VERIFICATIONS), queries.RESULT), "{{" + queries.RESULT + "}}")],
        Look(
            unit="cps",
            low=0,
            colours=colours.of(colours.VERIFICATIONS),
            empty="nothing is declared repeatable",
            panel_links=[links.runbook("CacheHitsWrong")],
        ),
    )
