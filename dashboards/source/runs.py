"""Workflow runs: how long they take, where their time goes, what the cache did for them."""

from __future__ import annotations

from dashboards.source import colours, foreign, links, queries, run_time, variables, waits
from dashboards.source.layout import Board, Shelf
from dashboards.source.looks import Column, Look, Query, ratio, says
from dashboards.source.panels import Panel, heat, lines, slow_traces, stat
from dashboards.source.queries import RANGE, RATE, one_of, spans, summed
from dashboards.source.run_time import COUNT, RUN, of_runs, runs
from telemetry import schema
from telemetry.vocabulary import Outcome


def board() -> Board:
    """The dashboard."""
    return Board(
        links.RUNS,
        "Runs of the workflow: durations, the slowest ones, where their time goes, how often the cache answered.",
        [variables.job(), variables.instance(), variables.service_of_runs(), variables.slower_than()],
        [
            Shelf(4, [(4, count()), (4, median()), (4, slow()), (4, failed()), (4, hit_rate()), (4, lookups())]),
            Shelf(10, [(12, durations()), (12, slowest())]),
            Shelf(9, [(12, run_time.shares()), (12, run_time.nodes())], "Where the time of a run goes"),
            Shelf(9, [(12, waits.worst()), (12, waits.spent())], "Who waited for whom"),
            Shelf(
                9, [(8, hit_rate_over_time()), (8, lookups_over_time()), (8, quantiles())], "What the cache did for it"
            ),
        ],
        since="now-1h",
    )


def _quantile(share: float, window: str = RATE) -> str:
    chosen = queries.selected(RUN, process=False)
    return f"histogram_quantile({share:g}, {queries.buckets(foreign.SPAN_DURATION, chosen, window=window)})"


def count() -> Panel:
    """How many."""
    return stat(
        "Runs",
        says(
            "Runs that ended in the time shown.",
            "as many as the workflow should do.",
            "none: does the workflow run? Is its service chosen above?",
        ),
        [Query(summed(f"increase({COUNT}{queries.selected(RUN, process=False)}[{RANGE}])"), "runs")],
        Look(unit="short", decimals=0, thresholds=[(None, colours.BLUE)], empty="no runs"),
    )


def median() -> Panel:
    """How long, mostly."""
    return stat(
        "Duration, p50",
        says(
            "Half of the runs in the time shown were faster than this.",
            "steady; after a change of files it rises until the cache is warm again.",
            "see where the time goes, below, then open a slow run.",
        ),
        [Query(_quantile(0.5, RANGE), "p50")],
        Look(unit="s", decimals=1, thresholds=[(None, colours.BLUE)], empty="no runs"),
    )


def slow() -> Panel:
    """How long at worst."""
    return stat(
        "Duration, p95",
        says(
            "One run in twenty of those shown took longer than this.",
            "the duration of a run that must compute everything.",
            "above that, runs wait: for the store, for a model, for each other.",
        ),
        [Query(_quantile(0.95, RANGE), "p95")],
        Look(unit="s", decimals=1, thresholds=[(None, colours.BLUE)], empty="no runs"),
    )


def failed() -> Panel:
    """Runs that raised."""
    fine = f'{foreign.STATUS_CODE}!="{foreign.FAILED}"'
    every, well = spans(COUNT, RUN, window=RANGE), spans(COUNT, RUN, fine, window=RANGE)
    return stat(
        "Failed runs",
        says(
            "Runs that ended with an error of their own code, among all runs shown. Trouble with the cache fails no "
            "run.",
            "0 %.",
            "open one from the table: its failed span is red.",
        ),
        [Query(f"1 - {queries.ratio(summed(well), summed(every))}", "failed")],
        ratio(
            decimals=1, empty="no runs", thresholds=[(None, colours.GOOD), (0.001, colours.WARN), (0.05, colours.BAD)]
        ),
    )


def _hit_rate(window: str) -> str:
    hits = queries.rate_of_all(schema.REQUESTS, one_of(queries.OUTCOME, [Outcome.HIT]), window=window)
    whole = queries.rate_of_all(schema.REQUESTS, one_of(queries.OUTCOME, queries.ANSWERED), window=window)
    return queries.ratio(of_runs(hits), of_runs(whole))


def hit_rate() -> Panel:
    """Hit rate of a run."""
    return stat(
        "Hit rate of a run",
        says(
            "Hits among hits and misses of the services that run workflows, over all of the time shown.",
            "above 80 %: a run finds most of what earlier ones computed.",
            "the overview says which category misses and why.",
        ),
        [Query(_hit_rate(RANGE), "hit rate")],
        ratio(decimals=1, thresholds=[(None, colours.BAD), (0.5, colours.WARN), (0.8, colours.GOOD)]),
    )


def lookups() -> Panel:
    """Lookups of a run."""
    asked = of_runs(queries.rate_of_all(schema.REQUESTS, window=RANGE))
    return stat(
        "Lookups of a run",
        says(
            "Mean number of lookups in a run, over the time shown.",
            "steady for the same folder and questions.",
            "a rise without more files: something is asked for again and again within a run.",
        ),
        [Query(queries.ratio(asked, runs(COUNT, window=RANGE)), "lookups")],
        Look(unit="short", decimals=1, thresholds=[(None, colours.BLUE)], empty="no runs"),
    )


def durations() -> Panel:
    """Heat map of durations."""
    expr = queries.buckets(foreign.SPAN_DURATION, queries.selected(RUN, process=False))
    return heat(
        "Duration of runs",
        says(
            "Runs per second by how long they took; brighter is more. Red points are runs: click one to open its "
            "trace.",
            "one bright band of warm runs, and few above it.",
            "a second band far above: the runs that compute. A rising band: everything got slower.",
        ),
        Query(expr, "{{le}}", exemplars=True, at="heatmap"),
        Look(unit="s", axis="duration", empty="no runs"),
    )


def slowest() -> Panel:
    """The slow ones, one by one."""
    here = {"datasourceName": "Jaeger", "datasourceUid": "jaeger", "query": {"query": "${__value.raw}"}}
    opens = [
        {"title": "Open beside this page", "url": "", "internal": here},
        {"title": "Open in Jaeger", "url": f"{links.JAEGER_UI}/trace/${{__value.raw}}", "targetBlank": True},
    ]
    return slow_traces(
        "Runs slower than $slow",
        says(
            "Runs of the service that *Traces of* names which took longer than *Slower than*, the slowest first. "
            "Click a "
            "trace's id to open it beside this page, or in Jaeger. The Collector keeps every slow or failed run and a "
            "share of the rest.",
            "empty, or the runs after a change of files.",
            "open the first: a long `cache.compute` span is the computation, its parent says why it missed "
            "(`cache.miss.reason`); a long `cache.wait` span waited for another caller.",
        ),
        {
            "queryType": "search",
            "service": "${service}",
            "operation": schema.RUN_SPAN,
            "minDuration": "${slow}",
            "limit": 100,
        },
        [
            Column("Trace ID", "Trace ID", {"links": opens, "custom.width": 290}),
            Column("Trace name", "Trace name", {"custom.width": 240}),
            Column("Start time", "Start time", {"custom.width": 170}),
            Column("Duration", "Duration", {"unit": "µs", "decimals": 1}),
        ],
        sort="Duration",
    )


def hit_rate_over_time() -> Panel:
    """Hit rate of runs over time."""
    return lines(
        "Hit rate of runs",
        says(
            "Hits among hits and misses of the services that run workflows. A gap is a time without runs.",
            "above 80 % and steady; it dips after files change.",
            "see One category for the reasons.",
        ),
        [Query(_hit_rate(RATE), "hit rate")],
        ratio(
            colours={"hit rate": colours.GREEN},
            calcs=["lastNotNull", "min"],
            panel_links=[links.runbook("CacheHitRatioBurning")],
        ),
    )


def lookups_over_time() -> Panel:
    """Lookups of a run by outcome."""
    asked = of_runs(queries.rate_of_all(schema.REQUESTS), queries.OUTCOME)
    return lines(
        "Lookups of a run by outcome",
        says(
            "Mean number of lookups in a run by how they ended, on top of each other.",
            "nearly all hits once the cache is warm.",
            "the number of misses is what a run computes anew.",
        ),
        [
            Query(
                f"{asked} / ignoring ({queries.OUTCOME}) group_left () ({runs(COUNT)} > 0)",
                "{{" + queries.OUTCOME + "}}",
            )
        ],
        Look(unit="short", low=0, stacked=True, empty="no runs", colours=colours.of(colours.OUTCOMES)),
    )


def quantiles() -> Panel:
    """Durations as lines."""
    return lines(
        "Duration of runs by quantile",
        says(
            "p50, p95 and p99 of the duration of a run; what took longer than 10 s is drawn at 10 s. Points are "
            "traces.",
            "p99 not much above the duration of a cold run.",
            "open a point of the p99 line: it is a run that took that long.",
        ),
        [Query(_quantile(int(name[1:]) / 100), name, exemplars=name == "p99") for name in colours.QUANTILES],
        Look(
            unit="s",
            low=0,
            colours=colours.QUANTILES,
            empty="no runs",
            links=[links.traces("Traces of runs", operation=schema.RUN_SPAN)],
        ),
    )
