"""Where the time of a run goes: in the cache, in computations, in waiting; node by node."""

from __future__ import annotations

from dashboards.source import colours, foreign, links, queries
from dashboards.source.looks import Look, Query, says
from dashboards.source.panels import Panel, lines
from dashboards.source.queries import CATEGORY, RATE, span_named, spans, summed
from telemetry import schema

RUN = span_named(schema.RUN_SPAN)
COUNT, SUM = f"{foreign.SPAN_DURATION}_count", f"{foreign.SPAN_DURATION}_sum"
RUNS_ONLY = f"and on (job) {foreign.SPAN_CALLS}{queries.selected(RUN, process=False)}"
"""Of services that run workflows: what an API does beside them is no part of a run."""


def runs(part: str, *matchers: str, window: str = RATE) -> str:
    """Of runs: their number or their seconds, per second."""
    return summed(spans(part, RUN, *matchers, window=window))


def of_runs(expr: str, *by: str) -> str:
    """A sum over those services that run workflows."""
    return summed(f"{expr} {RUNS_ONLY}", *by)


def shares() -> Panel:
    """Cache, waiting, computation."""
    whole = runs(SUM)
    own = of_runs(queries.rate_of_all(schema.OVERHEAD))
    waited = summed(f"{spans(SUM, span_named(schema.WAIT_SPAN.name))} {RUNS_ONLY}")
    # no span of a wait has ever come: then runs waited for 0 s, while there are runs
    waiting = f"({waited} or 0 * {whole})"
    computing = summed(f"{spans(SUM, span_named(schema.COMPUTE_SPAN.name))} {RUNS_ONLY}", foreign.SPAN_NAME)
    named = f'label_replace({computing}, "{CATEGORY}", "$1", "{foreign.SPAN_NAME}", "{_captured()}")'
    return lines(
        "Share of a run",
        says(
            "Of the time of all runs: what the cache itself took, what was spent waiting for another's computation, "
            "and "
            "the computations of each category. A computation contains those that it calls (a context's build calls "
            "tools), so these lines are not to be added up. A share above 100 % means callers in parallel.",
            "the cache near 0 %, waiting 0 %, and computations falling as the cache gets warm.",
            "cache above some percent: the store is slow. Waiting: a hot key. A computation: its category misses; "
            "see why.",
        ),
        [
            Query(queries.ratio(own, whole), "cache"),
            Query(queries.ratio(waiting, whole), "waiting"),
            Query(
                f"{named} / ignoring ({foreign.SPAN_NAME}, {CATEGORY}) group_left () ({whole} > 0)",
                "computation: {{" + CATEGORY + "}}",
            ),
        ],
        Look(
            unit="percentunit",
            low=0,
            right=True,
            calcs=["lastNotNull", "mean"],
            empty="no runs",
            colours={
                "cache": colours.TEAL,
                "waiting": colours.GREY,
                **{f"computation: {name}": colour for name, colour in colours.CATEGORIES.items()},
            },
            panel_links=[links.runbook("CacheStampede")],
        ),
    )


def _captured() -> str:
    """A pattern whose group is the category in the name of a computation's span."""
    head = schema.COMPUTE_SPAN.name.partition("{")[0].replace(".", "[.]")
    return f"{head}(.+)"


def nodes() -> Panel:
    """Mean time of each node, on top of each other."""
    chosen = span_named(schema.WORKFLOW_NODE_SPAN.name)
    spent = summed(spans(SUM, chosen), foreign.SPAN_NAME)
    return lines(
        "Time of each node in a run",
        says(
            "Mean seconds that a run spends in each of its nodes, on top of each other: the height is a whole run.",
            "`embed` and `tools` small while the cache is warm.",
            "the node that grew is where to look; open a slow run and go down its branch.",
        ),
        [
            Query(
                f"{spent} / ignoring ({foreign.SPAN_NAME}) group_left () ({runs(COUNT)} > 0)",
                "{{" + foreign.SPAN_NAME + "}}",
            )
        ],
        Look(
            unit="s",
            low=0,
            stacked=True,
            right=True,
            calcs=["lastNotNull", "mean"],
            empty="no runs",
            links=[links.traces("Traces of this node", operation="${__field.labels." + foreign.SPAN_NAME + "}")],
        ),
    )
