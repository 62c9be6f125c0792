"""Panels about trouble with the store, as the cache sees it: errors and breakers."""

from __future__ import annotations

from dashboards.source import colours, links, queries
from dashboards.source.looks import Look, Query, ratio, says
from dashboards.source.panels import Panel, lines, stat, timeline
from dashboards.source.queries import RANGE, summed
from telemetry import schema
from telemetry.vocabulary import BREAKER_GAUGE, BreakerState

STATES = {str(BREAKER_GAUGE[state]): (state.value.replace("_", "-"), colours.BREAKER[state]) for state in BreakerState}


def share() -> Panel:
    """Share of operations in trouble."""
    metric = schema.OPERATION_DURATION
    chosen = queries.selected(*queries.chosen_category(metric))
    operations = f"rate({metric.prometheus}_count{chosen}[{RANGE}])"
    part = queries.ratio(summed(queries.rate(schema.ERRORS, window=RANGE)), summed(operations))
    return stat(
        "Operations in trouble",
        says(
            "Operations that met trouble with the store, among all operations, over all of the time shown. The caller "
            "got its answer all the same, by computing it.",
            "0 %.",
            "Errors by kind, below, says what: `refused` and `timeout` are the store or the network, `noperm` the ACL, "
            "`oom` its memory.",
        ),
        [Query(part, "in trouble")],
        ratio(
            decimals=2,
            thresholds=[(None, colours.GOOD), (0.001, colours.WARN), (0.01, colours.BAD)],
            panel_links=[links.runbook("CacheErrors")],
        ),
    )


def breaker_now() -> Panel:
    """The worst state of all processes."""
    return stat(
        "Breaker",
        says(
            "The worst state of the chosen processes' breakers. While one is open its process does not ask the store.",
            "closed.",
            "open: look at the store's dashboard, then at the errors. It closes by itself within a second or two of "
            "the "
            "store's return.",
        ),
        [Query(f"max({schema.BREAKER.prometheus}{queries.selected()})", "state")],
        Look(
            unit="none",
            words=STATES,
            thresholds=[(None, colours.GOOD), (1, colours.WARN), (2, colours.BAD)],
            empty="no store",
            panel_links=[links.runbook("CacheBreakerOpen")],
        ),
    )


def errors(rates: str, *, beside: bool) -> Panel:
    """Errors by kind.

    Args:
        rates: the errors per second that are added up.
        beside: True for a legend with figures beside the plot.
    """
    tags = {schema.ERROR_TYPE: "${__field.labels." + queries.ERROR + "}"}
    return lines(
        "Errors by kind",
        says(
            "Operations per second that met trouble with the store, by its kind; at most one error an operation.",
            "a flat 0.",
            "`timeout`, `refused`, `breaker_open`: the store is away or slow. `auth`, `noperm`: its users. `oom`, "
            "`readonly`, `loading`: its state. `decode`: foreign bytes under our keys.",
        ),
        [Query(summed(rates, queries.ERROR), "{{" + queries.ERROR + "}}")],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            right=beside,
            calcs=["lastNotNull", "max"] if beside else [],
            colours=colours.of(colours.ERRORS),
            links=[links.traces("Traces of this error", tags=tags)],
            panel_links=[links.runbook("CacheErrors")],
        ),
    )


def breaker() -> Panel:
    """States of the breakers."""
    worst = f"max by (job, {queries.STORE}) ({schema.BREAKER.prometheus}{queries.selected()})"
    return timeline(
        "Breaker by service",
        says(
            "The worst state of each service's breakers, by the scheme of the store's URL.",
            "closed all the time.",
            "open and half-open in turn: the store answers, but too slowly or not always (flapping).",
        ),
        [Query(worst, "{{job}} {{" + queries.STORE + "}}")],
        Look(unit="none", words=STATES, empty="no store", panel_links=[links.runbook("CacheBreakerOpen")]),
    )


def transitions() -> Panel:
    """How often breakers change."""
    return lines(
        "Changes of breakers",
        says(
            "Changes of a breaker's state per second, by the state that it changed to.",
            "a flat 0.",
            "many: it flaps, because the store answers now and then. Better no store than that one.",
        ),
        [Query(summed(queries.rate(schema.BREAKER_TRANSITIONS), queries.BREAKER_TO), "{{" + queries.BREAKER_TO + "}}")],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            colours=colours.of(colours.BREAKER),
            panel_links=[links.runbook("CacheBreakerFlapping")],
        ),
    )
