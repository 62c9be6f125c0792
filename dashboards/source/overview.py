"""Cache overview, the first screen: does the cache help, is it well?"""

from __future__ import annotations

from dashboards.source import colours, links, queries, variables
from dashboards.source.layout import Board, Shelf
from dashboards.source.links import Link
from dashboards.source.looks import Column, Look, Query, ratio, says
from dashboards.source.panels import Panel, alerts, bars, lines, stat, table, timeline
from dashboards.source.queries import BEFORE, CATEGORY, RANGE, one_of, summed
from telemetry import schema
from telemetry.vocabulary import BREAKER_GAUGE, BreakerState, Outcome, WriteResult

HERE = links.OVERVIEW
TO_CATEGORY = links.to_category("${__field.labels." + CATEGORY + "}")
BY_CATEGORY = "{{" + CATEGORY + "}}"

MISSED = one_of(queries.OUTCOME, [Outcome.MISS])

STATES = {str(BREAKER_GAUGE[state]): (state.value.replace("_", "-"), colours.BREAKER[state]) for state in BreakerState}


def board() -> Board:
    """The dashboard."""
    return Board(
        links.OVERVIEW,
        "Does the cache help, and is it well? The first screen: hit rate, time saved, what went wrong.",
        [variables.job(), variables.instance(), variables.categories(), variables.before(), variables.service()],
        [
            Shelf(
                4, [(4, hit_rate()), (4, change()), (4, lookups()), (4, saved()), (4, trouble()), (4, breaker_now())]
            ),
            Shelf(9, [(9, hit_rate_over_time()), (9, hit_rate_by_category()), (6, firing())]),
            Shelf(8, [(24, by_category())]),
            Shelf(8, [(8, outcomes()), (8, reasons()), (8, reasons_by_category())], "What became of lookups"),
            Shelf(
                8,
                [(8, saved_over_time()), (8, hits_duration()), (8, misses_duration())],
                "What it saves, how long it takes",
            ),
            Shelf(8, [(6, writes()), (6, refused()), (6, deletes()), (6, waits())], "Writes, deletes and waits"),
            Shelf(11, [(12, errors()), (12, breaker())], "Trouble with the store"),
        ],
    )


def hit_rate() -> Panel:
    """The one figure."""
    return stat(
        "Hit rate",
        says(
            "Hits among hits and misses, over all of the time shown. Stale answers, errors and bypasses are neither.",
            "above the 80 % that the workflow is made for, and steady.",
            "the table below says which category fell; its miss reasons say why. No traffic is not 0 %.",
        ),
        [Query(queries.hit_ratio(window=RANGE), "hit rate", at="instant")],
        ratio(decimals=1, thresholds=[(None, colours.BAD), (0.5, colours.WARN), (0.8, colours.GOOD)]),
    )


def change() -> Panel:
    """Against the window before."""
    now, then = queries.hit_ratio(window=BEFORE), queries.hit_ratio(window=BEFORE, offset=BEFORE)
    return stat(
        "Change in $before",
        says(
            "Hit rate of the last $before less that of the $before before, in points of a hundred.",
            "within 5 points of 0.",
            "a fall after a release is often `version` or `changed` among the miss reasons; one without a release "
            "is eviction, a shorter TTL, or other traffic.",
        ),
        [Query(f"100 * ({now} - {then})", "change", at="instant")],
        Look(
            unit="suffix: points",
            decimals=1,
            empty="nothing before",
            thresholds=[(None, colours.BAD), (-10, colours.WARN), (-5, colours.GOOD)],
        ),
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
        [Query(summed(queries.rate(schema.REQUESTS)), "lookups")],
        Look(unit="reqps", decimals=1, thresholds=[(None, colours.BLUE)]),
    )


def saved() -> Panel:
    """What it is worth."""
    return stat(
        "Net time saved",
        says(
            "Seconds that the hits would have cost to compute, less the seconds that the cache itself took, over all "
            "of "
            "the time shown. With callers in parallel it can exceed the time shown.",
            "well above 0.",
            "below 0 the cache costs more than it spares: see the category's computation time against the time of a "
            "hit.",
        ),
        [Query(queries.net_saved(window=RANGE), "net saving", at="instant")],
        Look(
            unit="s",
            decimals=1,
            thresholds=[(None, colours.BAD), (0, colours.GOOD)],
            panel_links=[links.runbook("CacheNetSavingNegative")],
        ),
    )


def trouble() -> Panel:
    """Share of operations in trouble."""
    metric = schema.OPERATION_DURATION
    chosen = queries.selected(*queries.chosen_category(metric))
    operations = f"rate({metric.prometheus}_count{chosen}[{RANGE}])"
    return stat(
        "Operations in trouble",
        says(
            "Operations that met trouble with the store, among all operations, over all of the time shown. The caller "
            "got its answer all the same, by computing it.",
            "0 %.",
            "Errors by kind, below, says what: `refused` and `timeout` are the store or the network, `noperm` the ACL, "
            "`oom` its memory.",
        ),
        [
            Query(
                queries.ratio(summed(queries.rate(schema.ERRORS, window=RANGE)), summed(operations)),
                "in trouble",
                at="instant",
            )
        ],
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


def hit_rate_over_time() -> Panel:
    """Now, and the window before as a dashed line."""
    return lines(
        "Hit rate against $before before",
        says(
            "Hit rate of all chosen categories; dashed, what it was $before earlier. A gap is a time without lookups.",
            "both lines together, above 80 %.",
            "if only the full line falls, something changed within the last $before.",
        ),
        [
            Query(queries.hit_ratio(), "now"),
            Query(queries.hit_ratio(offset=BEFORE), "before"),
        ],
        ratio(
            colours={"now": colours.GREEN, "before": colours.GREY},
            dashed=["before"],
            calcs=["lastNotNull", "min"],
            links=[links.traces("Traces of misses", tags={schema.OUTCOME: Outcome.MISS})],
        ),
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
        ratio(colours=colours.of(colours.CATEGORIES), calcs=["lastNotNull"], links=[TO_CATEGORY]),
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
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": colours.GOOD, "value": None}, {"color": colours.BAD, "value": 0.0001}],
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
        figure("E", "Stale", "reqps", decimals=2),
        figure("F", "Errors", "reqps", decimals=2, **trouble_colours),
        figure("G", "Writes refused", "wps", decimals=2),
        figure("H", "Net time saved", "s", decimals=1),
    ]
    stale = queries.rate(schema.REQUESTS, one_of(queries.OUTCOME, [Outcome.STALE]), window=RANGE)
    refusals = queries.rate(schema.WRITES, one_of(queries.RESULT, [WriteResult.REFUSED]), window=RANGE)
    return table(
        "Categories",
        says(
            "Each category over all of the time shown: hit rate, the latest $before (latest window) beside the "
            "$before before it, traffic per "
            "second, and the seconds that it saved net of what it cost.",
            "no errors, few refusals, a saving above 0.",
            "click a category's name. An empty field: no lookups, hence no rate.",
        ),
        [
            Query(queries.hit_ratio(CATEGORY, window=RANGE), "", at=at),
            Query(now, "", at=at),
            Query(then, "", at=at),
            Query(f"{summed(queries.rate(schema.REQUESTS, window=RANGE), CATEGORY)} > 0", "", at=at),
            Query(summed(stale, CATEGORY), "", at=at),
            Query(summed(queries.rate(schema.ERRORS, window=RANGE), CATEGORY), "", at=at),
            Query(summed(refusals, CATEGORY), "", at=at),
            Query(queries.net_saved(CATEGORY, window=RANGE), "", at=at),
        ],
        columns,
        Look(unit="short"),
        sort="Lookups",
    )


def outcomes() -> Panel:
    """Requests by outcome."""
    return lines(
        "Lookups by outcome",
        says(
            "Lookups per second by how they ended, on top of each other.",
            "mostly hits; no errors; stale only where a policy serves stale on purpose.",
            "errors: the store. Bypasses: the cache is switched off, or keys and values that cannot be cached.",
        ),
        [Query(summed(queries.rate(schema.REQUESTS), queries.OUTCOME), "{{" + queries.OUTCOME + "}}")],
        Look(
            unit="reqps",
            low=0,
            stacked=True,
            colours=colours.of(colours.OUTCOMES),
            links=[
                links.traces(
                    "Traces of this outcome", tags={schema.OUTCOME: "${__field.labels." + queries.OUTCOME + "}"}
                )
            ],
        ),
    )


def _told(misses: str) -> str:
    """Misses by reason, with a word for those without one."""
    return f'label_replace({misses}, "{queries.REASON}", "{colours.NOT_TOLD}", "{queries.REASON}", "")'


def reasons() -> Panel:
    """Why lookups miss."""
    return lines(
        "Miss reasons",
        says(
            "Misses per second by their reason, on top of each other.",
            "`cold` after a start, then `expired` at the pace of the TTLs, and `invalidated` where data change.",
            "`evicted`: memory is short. `version`: a release changed the format. `corrupt`, `collision`, much "
            "`unknown`: "
            "see the runbook.",
        ),
        [Query(_told(summed(queries.rate(schema.REQUESTS, MISSED), queries.REASON)), "{{" + queries.REASON + "}}")],
        Look(
            unit="reqps",
            low=0,
            stacked=True,
            colours=colours.of(colours.REASONS),
            links=[
                links.traces(
                    "Traces of this reason", tags={schema.MISS_REASON: "${__field.labels." + queries.REASON + "}"}
                )
            ],
            panel_links=[links.runbook("CacheMissesUnexplained")],
        ),
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
        Query(f"{_told(summed(queries.total(schema.REQUESTS, MISSED), CATEGORY, queries.REASON))} > 0", "", at="table"),
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
            decimals=2,
            colours=colours.of(colours.CATEGORIES),
            links=[TO_CATEGORY],
            panel_links=[links.runbook("CacheNetSavingNegative")],
        ),
    )


def _durations(title: str, description: str, outcome: Outcome) -> Panel:
    matcher = one_of(queries.OUTCOME, [outcome])
    return lines(
        title,
        description,
        [
            Query(
                queries.quantile(int(name[1:]) / 100, schema.OPERATION_DURATION, matcher), name, exemplars=name == "p99"
            )
            for name in colours.QUANTILES
        ],
        Look(
            unit="s",
            logarithmic=True,
            colours=colours.QUANTILES,
            links=[links.traces(f"Traces of a {outcome}", tags={schema.OUTCOME: outcome})],
        ),
    )


def hits_duration() -> Panel:
    """How long a hit takes."""
    return _durations(
        "Duration of hits",
        says(
            "p50, p95 and p99 of operations that hit, over all processes; each point is a trace that can be opened.",
            "p50 below 1 ms, p99 below 10 ms with a store near by.",
            "only p99 up: a busy process or a large entry. All up: the store or the network; see Store.",
        ),
        Outcome.HIT,
    )


def misses_duration() -> Panel:
    """How long a miss takes."""
    return _durations(
        "Duration of misses",
        says(
            "p50, p95 and p99 of operations that missed, their computation included; each point is a trace.",
            "close to the computation's own duration (One category shows it).",
            "far above it: waits for other callers, or a slow store.",
        ),
        Outcome.MISS,
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


def writes() -> Panel:
    """Writes by result."""
    return lines(
        "Writes by result",
        says(
            "Writes per second by what became of them.",
            "all `stored`.",
            "`dropped`: the store was in trouble. `too_large`: raise the policy's `max_bytes`, or leave the value out. "
            "`refused`: see beside.",
        ),
        [Query(summed(queries.rate(schema.WRITES), queries.RESULT), "{{" + queries.RESULT + "}}")],
        Look(unit="wps", low=0, stacked=True, colours=colours.of(colours.WRITES)),
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
            panel_links=[links.runbook("CacheFencesRefuse")],
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


def errors() -> Panel:
    """Errors by kind."""
    return lines(
        "Errors by kind",
        says(
            "Operations per second that met trouble with the store, by its kind; at most one error an operation.",
            "a flat 0.",
            "`timeout`, `refused`, `breaker_open`: the store is away or slow. `auth`, `noperm`: its users. `oom`, "
            "`readonly`, `loading`: its state. `decode`: foreign bytes under our keys.",
        ),
        [Query(summed(queries.rate(schema.ERRORS), queries.ERROR), "{{" + queries.ERROR + "}}")],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            right=True,
            calcs=["lastNotNull", "max"],
            colours=colours.of(colours.ERRORS),
            links=[
                links.traces(
                    "Traces of this error", tags={schema.ERROR_TYPE: "${__field.labels." + queries.ERROR + "}"}
                )
            ],
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
