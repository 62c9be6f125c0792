"""Panels about the telemetry inside the cache's processes: the SDK's queues, and the accounting itself."""

from __future__ import annotations

from dashboards.source import colours, foreign, links
from dashboards.source.looks import Look, Query, ratio, says
from dashboards.source.panels import Panel, lines
from dashboards.source.queries import RATE, selected, summed
from telemetry import schema
from telemetry.schema import Kind
from telemetry.series import LIMIT

COUNTERS = "|".join(metric.prometheus for metric in schema.METRICS if metric.kind is Kind.COUNTER)


def spans_of_processes() -> Panel:
    """Spans on their way out of the processes."""

    def rate(name: str, *matchers: str) -> str:
        return summed(f"rate({name}{selected(*matchers)}[{RATE}])")

    names = (
        ("started", foreign.SDK_STARTED),
        ("queued", foreign.SDK_PROCESSED),
        ("exported", foreign.SDK_SPANS_EXPORTED),
    )
    return lines(
        "Spans of the processes",
        says(
            "Spans per second that the chosen processes started, took up into their queue, and exported.",
            "the three together.",
            "exported below started: the queue fills, then the oldest spans are dropped. Is the Collector slow or "
            "away?",
        ),
        [Query(rate(name), word) for word, name in names],
        Look(
            unit="ops",
            low=0,
            empty="no data",
            colours={"started": colours.GREY, "queued": colours.SKY, "exported": colours.VIOLET},
        ),
    )


def points_of_processes() -> Panel:
    """Points on their way out of the processes."""
    exported = f"rate({foreign.SDK_POINTS_EXPORTED}{selected()}[{RATE}])"
    named = summed(exported, foreign.SDK_ERROR)
    by_error = f'label_replace({named}, "{foreign.SDK_ERROR}", "exported", "{foreign.SDK_ERROR}", "")'
    return lines(
        "Metric points of the processes",
        says(
            "Points of metrics per second that the chosen processes exported; those that failed by their error.",
            "`exported` alone, and flat: as many as there are series, each 15 s.",
            "an error: the Collector did not take them. Counters lose nothing by it, the next delivery has the totals.",
        ),
        [Query(by_error, "{{" + foreign.SDK_ERROR + "}}")],
        Look(unit="ops", low=0, empty="no data", colours={"exported": colours.BLUE}),
    )


def queue_of_processes() -> Panel:
    """The fullest span queue of a process."""
    fill = f"{foreign.SDK_QUEUE}{selected()} / ({foreign.SDK_QUEUE_CAPACITY}{selected()} > 0)"
    return lines(
        "Fill of the span queues",
        says(
            "How full the fullest queue of spans of each service's processes is.",
            "near 0 %.",
            "at 100 % the oldest spans are dropped: raise `OTEL_BSP_MAX_QUEUE_SIZE`, or see what holds the Collector "
            "up.",
        ),
        [Query(f"max by (job) ({fill})", "{{job}}")],
        ratio(empty="no data", thresholds=[(None, "transparent"), (0.8, colours.BAD)]),
    )


def dropped() -> Panel:
    """Spans and points that the processes lost."""
    failed = f'{foreign.SDK_ERROR}!=""'
    spans = f"rate({foreign.SDK_SPANS_EXPORTED}{selected()}[{RATE}])"
    fine = f"rate({foreign.SDK_SPANS_EXPORTED}{selected(failed.replace('!=', '='))}[{RATE}])"
    queued = f"rate({foreign.SDK_PROCESSED}{selected()}[{RATE}])"
    taken = f"rate({foreign.SDK_PROCESSED}{selected(failed.replace('!=', '='))}[{RATE}])"
    return lines(
        "Lost in the processes",
        says(
            "Per second: events that the accounting lost, spans that a full queue dropped, and spans whose export "
            "failed.",
            "three flat lines at 0.",
            "spans: the Collector is away or slow. Events: a fault in the telemetry, see the log.",
        ),
        [
            Query(f"sum(rate({schema.TELEMETRY_DROPPED.prometheus}{selected()}[{RATE}]))", "events"),
            Query(f"sum({queued}) - sum({taken})", "spans, queue full"),
            Query(f"sum({spans}) - sum({fine})", "spans, export failed"),
        ],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            empty="no data",
            colours={"events": colours.RED, "spans, queue full": colours.VIOLET, "spans, export failed": colours.AMBER},
            panel_links=[links.runbook("CacheTelemetryDropped"), links.runbook("CacheSpansDropped")],
        ),
    )


def attribute_sets() -> Panel:
    """Series of each instrument against the SDK's limit."""
    each = f'count by (__name__, job, instance) ({{__name__=~"{COUNTERS}", {selected()[1:]})'
    return lines(
        "Attribute sets of the largest counters",
        says(
            f"Label sets that one process holds of a counter, the five counters that have most. The SDK folds all "
            f"above "
            f"{LIMIT} into one.",
            f"flat, and far below {LIMIT}: the sets are closed.",
            "growing: a category is registered under ever new names.",
        ),
        [Query(f"topk(5, max by (__name__) ({each}))", "{{__name__}}")],
        Look(
            unit="short",
            low=0,
            up_to=LIMIT,
            decimals=0,
            empty="no data",
            thresholds=[(None, "transparent"), (LIMIT, colours.BAD)],
            panel_links=[links.runbook("CacheMetricsOverflowing")],
        ),
    )


def overflow() -> Panel:
    """Series that stand for folded ones."""
    every = f'count by ({foreign.OVERFLOW}) ({{__name__=~"{COUNTERS}", {selected()[1:]})'
    named = f'label_replace({every}, "{foreign.OVERFLOW}", "told apart", "{foreign.OVERFLOW}", "")'
    return lines(
        "Series, and those that overflowed",
        says(
            "Series of the cache's counters: those with their own labels (`told apart`), and those into which the SDK "
            "folded what exceeded its limit (`true`).",
            "`told apart` alone.",
            "`true` appears: figures by category are no longer complete.",
        ),
        [Query(named, "{{" + foreign.OVERFLOW + "}}")],
        Look(
            unit="short",
            low=0,
            empty="no data",
            colours={"told apart": colours.GREEN, "true": colours.RED},
            panel_links=[links.runbook("CacheMetricsOverflowing")],
        ),
    )
