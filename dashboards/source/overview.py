"""Cache overview, the first screen: does the cache help, is it well?"""

from __future__ import annotations

from dashboards.source import answers, colours, links, queries, trouble, variables
from dashboards.source.layout import Board, Shelf
from dashboards.source.links import Link
from dashboards.source.looks import Column, Look, Query, ratio, says
from dashboards.source.panels import Panel, alerts, bars, lines, stat, table
from dashboards.source.queries import BEFORE, CATEGORY, RANGE, one_of, summed
from telemetry import schema
from telemetry.vocabulary import BREAKER_GAUGE, BreakerState, Outcome, WriteResult

HERE = links.OVERVIEW
TO_CATEGORY = links.to_category("${__field.labels." + CATEGORY + "}")
BY_CATEGORY = "{{" + CATEGORY + "}}"


STATES = {str(BREAKER_GAUGE[state]): (state.value.replace("_", "-"), colours.BREAKER[state]) for state in BreakerState}


def board() -> Board:
    """The dashboard."""
    return Board(
        links.OVERVIEW,
        "Does the cache help, and is it well? The first screen: hit rate, time saved, what went wrong.",
        [variables.job(), variables.instance(), variables.categories(), variables.before(), variables.service()],
        [
            Shelf(
                4,
                [
                    (4, answers.hit_rate("Hit rate")),
                    (4, answers.change()),
                    (4, lookups()),
                    (4, answers.saved()),
                    (4, trouble.share()),
                    (4, trouble.breaker_now()),
                ],
            ),
            Shelf(9, [(9, answers.hit_rate_over_time({})), (9, hit_rate_by_category()), (6, firing())]),
            Shelf(9, [(24, by_category())]),
            Shelf(
                8,
                [(8, answers.outcomes({})), (8, answers.reasons({})), (8, reasons_by_category())],
                "What became of lookups",
            ),
            Shelf(
                8,
                [(8, saved_over_time()), (8, answers.hits_duration({})), (8, misses_duration())],
                "What it saves, how long it takes",
            ),
            Shelf(
                8, [(6, answers.writes()), (6, refused()), (6, deletes()), (6, waits())], "Writes, deletes and waits"
            ),
            Shelf(
                11,
                [
                    (10, trouble.errors(queries.rate(schema.ERRORS), beside=True)),
                    (8, trouble.breaker()),
                    (6, trouble.transitions()),
                ],
                "Trouble with the store",
            ),
        ],
    )


def lookups() -> Panel:
    """How much is asked."""
    return stat(
        "Lookups",
        says(
            "Lookups per second, whatever their outcome; a batch of n keys counts n.",
            "as much as the workflow does at this time of day.",
            "none at all: is the service up, is `CACHE_ENABLED` true? The telemetry dashboard says whether data "
            "arrive.",
        ),
        [Query(f"{summed(queries.rate(schema.REQUESTS))} > 0", "lookups")],
        Look(unit="reqps", decimals=1, thresholds=[(None, colours.BLUE)]),
    )


def hit_rate_by_category() -> Panel:
    """Which one fell."""
    return lines(
        "Hit rate by category",
        says(
            "Hit rate of each category. A gap is a time without lookups in it.",
            "each at its own steady height; categories differ by what they keep.",
            "click a line to open its category, and read the miss reasons there.",
        ),
        [Query(queries.hit_ratio(CATEGORY), BY_CATEGORY)],
        ratio(right=True, colours=colours.of(colours.CATEGORIES), calcs=["lastNotNull"], links=[TO_CATEGORY]),
    )


def firing() -> Panel:
    """The alert list."""
    return alerts(
        "Alerts",
        says(
            "Alerts of Prometheus that fire or are about to, the worst first.",
            "empty.",
            "open one: its annotations link to its runbook and to the dashboard that shows it.",
        ),
        [Link("All runbooks", f"/d/{links.RUNBOOKS.uid}")],
    )


def by_category() -> Panel:
    """All figures of each category, side by side."""
    at = "table"

    def figure(name: str, title: str, unit: str, **more: object) -> Column:
        return Column(f"Value #{name}", title, {"unit": unit, **more})

    now, then = queries.hit_ratio(CATEGORY, window=BEFORE), queries.hit_ratio(CATEGORY, window=BEFORE, offset=BEFORE)
    trouble_colours = {
        "custom.cellOptions": {"type": "color-text"},
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": colours.GOOD, "value": None}, {"color": colours.BAD, "value": 0.5}],
        },
    }
    share = {"min": 0, "max": 1, "decimals": 1}
    gauge = {
        "custom.cellOptions": {"mode": "basic", "type": "gauge", "valueDisplayMode": "text"},
        "color": {"mode": "fixed", "fixedColor": colours.GREEN},
    }
    columns = [
        Column(CATEGORY, "Category", {"links": [links.to_category("${__value.raw}").as_json()], "custom.width": 150}),
        figure("A", "Hit rate", "percentunit", **share, **gauge),
        figure("B", "Latest window", "percentunit", **share),
        figure("C", "Window before", "percentunit", **share),
        figure("D", "Lookups", "reqps", decimals=2),
        figure("E", "Stale answers", "short", decimals=0),
        figure("F", "Errors", "short", decimals=0, **trouble_colours),
        figure("G", "Writes refused", "short", decimals=0),
        figure("H", "Net time saved", "s", decimals=1),
    ]
    stale = queries.total(schema.REQUESTS, one_of(queries.OUTCOME, [Outcome.STALE]))
    refusals = queries.total(schema.WRITES, one_of(queries.RESULT, [WriteResult.REFUSED]))
    return table(
        "Categories",
        says(
            "Each category over all of the time shown: its hit rate, that of the last $before (latest window) and of "
            "the "
            "$before before, lookups per second, numbers of stale answers, errors and refused writes, and the time "
            "that "
            "it saved net of what it cost.",
            "no errors, few refusals, a saving above 0.",
            "click a category's name. An empty field: no lookups, hence no rate.",
        ),
        [
            Query(queries.hit_ratio(CATEGORY, window=RANGE), "", at=at),
            Query(now, "", at=at),
            Query(then, "", at=at),
            Query(f"{summed(queries.rate(schema.REQUESTS, window=RANGE), CATEGORY)} > 0", "", at=at),
            Query(queries.in_use(summed(stale, CATEGORY)), "", at=at),
            Query(queries.in_use(summed(queries.total(schema.ERRORS), CATEGORY)), "", at=at),
            Query(queries.in_use(summed(refusals, CATEGORY)), "", at=at),
            Query(queries.in_use(queries.net_saved(CATEGORY, window=RANGE)), "", at=at),
        ],
        columns,
        Look(unit="short"),
        sort="Lookups",
    )


def reasons_by_category() -> Panel:
    """Why each category misses."""
    return bars(
        "Miss reasons by category",
        says(
            "Misses over all of the time shown, a bar for each category, stacked by reason.",
            "`cold` and `expired` make most of each bar.",
            "a category with another large part has its own cause: open it by the table above.",
        ),
        Query(
            f"{answers.told(summed(queries.total(schema.REQUESTS, answers.MISSED), CATEGORY, queries.REASON))} > 0",
            "",
            at="table",
        ),
        (CATEGORY, queries.REASON),
        Look(unit="short", decimals=0, low=0, colours=colours.of(colours.REASONS), axis="misses", empty="no misses"),
    )


def saved_over_time() -> Panel:
    """Net saving by category."""
    return lines(
        "Time saved, net, by category",
        says(
            "Seconds saved in each second: what hits would have cost to compute, less what the cache itself took.",
            "above 0 in every category.",
            "a category below 0 computes faster than the cache answers: let it be computed.",
        ),
        [Query(queries.in_use(queries.net_saved(CATEGORY)), BY_CATEGORY)],
        Look(
            unit="suffix: s/s",
            colours=colours.of(colours.CATEGORIES),
            links=[TO_CATEGORY],
            panel_links=[links.runbook("CacheCostsMoreThanItSaves")],
        ),
    )


def misses_duration() -> Panel:
    """How long a miss takes."""
    return answers.durations(
        "Duration of misses",
        says(
            "p50, p95 and p99 of operations that missed, their computation included; points are traces.",
            "close to the computation's own duration (One category shows it).",
            "far above it: waits for other callers, or a slow store.",
        ),
        answers.quantiles(schema.OPERATION_DURATION, answers.MISSED),
        links.traces("Traces of misses", tags={schema.OUTCOME: Outcome.MISS}),
        empty="no misses",
    )


def waits() -> Panel:
    """Single-flight waits."""
    return lines(
        "Waits for another's computation",
        says(
            "Callers per second that waited for someone else who computes the same key, in this process or in the "
            "fleet.",
            "few; each one is a computation saved.",
            "a steep rise is a stampede on a hot key that expired: serve stale or refresh ahead there.",
        ),
        [Query(queries.in_use(summed(queries.rate(schema.FLIGHT_WAITS), CATEGORY)), BY_CATEGORY)],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            colours=colours.of(colours.CATEGORIES),
            links=[TO_CATEGORY],
            panel_links=[links.runbook("CacheStampede")],
        ),
    )


def refused() -> Panel:
    """What the fences refused."""
    chosen = queries.rate(schema.WRITES, one_of(queries.RESULT, [WriteResult.REFUSED]))
    return lines(
        "Writes refused by fences",
        says(
            "Writes per second that an invalidation overtook: their value was made from what is no longer so.",
            "near 0, and never the larger part of a category's writes.",
            "something invalidates as fast as values are computed: look at invalidations by trigger in the category.",
        ),
        [Query(queries.in_use(summed(chosen, CATEGORY)), BY_CATEGORY)],
        Look(
            unit="wps",
            low=0,
            up_to=0.1,
            colours=colours.of(colours.CATEGORIES),
            links=[TO_CATEGORY],
            panel_links=[links.runbook("CacheWritesRefused")],
        ),
    )


def deletes() -> Panel:
    """Deletes by category."""
    return lines(
        "Deletes by category",
        says(
            "Keys per second that were removed one by one; invalidations of whole scopes are not among them.",
            "as often as the application says that something is outdated.",
            "a flood of deletes makes misses: see `invalidated` among the reasons.",
        ),
        [Query(queries.in_use(summed(queries.rate(schema.DELETES), CATEGORY)), BY_CATEGORY)],
        Look(unit="ops", low=0, colours=colours.of(colours.CATEGORIES), links=[TO_CATEGORY]),
    )
