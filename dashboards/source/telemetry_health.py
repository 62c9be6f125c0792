"""Telemetry itself: can the other dashboards be believed?"""

from __future__ import annotations

from dashboards.source import colours, foreign, links, queries, variables
from dashboards.source.layout import Board, Shelf
from dashboards.source.looks import Look, Query, ratio, says
from dashboards.source.panels import Panel, lines, stat
from dashboards.source.queries import RANGE, RATE, selected, summed
from telemetry import schema
from telemetry.schema import Kind
from telemetry.series import LIMIT

COLLECTOR = f'{{job="{foreign.COLLECTOR_JOB}"}}'
COUNTERS = "|".join(metric.prometheus for metric in schema.METRICS if metric.kind is Kind.COUNTER)
SPANS, POINTS = "spans", "points"


def board() -> Board:
    """The dashboard."""
    return Board(
        links.TELEMETRY,
        "Can the other dashboards be believed? What was received, refused, dropped, late.",
        [variables.job(), variables.instance()],
        [
            Shelf(
                4,
                [(4, age()), (4, lost()), (4, refused_now()), (4, failed_now()), (4, queue_now()), (4, targets_now())],
            ),
            Shelf(
                9,
                [(8, spans_of_processes()), (8, points_of_processes()), (8, queue_of_processes())],
                "In the processes",
            ),
            Shelf(9, [(8, dropped()), (8, attribute_sets()), (8, overflow())]),
            Shelf(9, [(8, received()), (8, refused()), (8, sent())], "In the Collector"),
            Shelf(9, [(8, send_failures()), (8, queue()), (8, sampling())]),
            Shelf(9, [(8, fresh()), (8, scrapes()), (8, roads())], "Clock and scrapes"),
            Shelf(
                9, [(8, late()), (8, exemplars()), (8, collector_memory())], "In Prometheus, and the Collector's memory"
            ),
        ],
    )


def _collected(names: tuple[str, str], *, window: str = RATE, by: str = "") -> list[Query]:
    """The Collector's counters of spans and of points."""
    grouped = [by] if by else []
    label = " {{" + by + "}}" if by else ""
    return [
        Query(summed(f"rate({name}{COLLECTOR}[{window}])", *grouped), word + label)
        for name, word in zip(names, (SPANS, POINTS), strict=True)
    ]


COLOURS = {SPANS: colours.VIOLET, POINTS: colours.BLUE}


def _now(title: str, description: str, names: tuple[str, str], alert: str) -> Panel:
    parts = [f"sum(increase({name}{COLLECTOR}[{RANGE}]))" for name in names]
    return stat(
        title,
        description,
        [Query(" + ".join(parts), "items", at="instant")],
        Look(
            unit="short",
            decimals=0,
            empty="not told",
            thresholds=[(None, colours.GOOD), (1, colours.BAD)],
            panel_links=[links.runbook(alert)],
        ),
    )


FRESH = f"time() - timestamp({schema.TELEMETRY_DROPPED.prometheus}{selected()})"


def age() -> Panel:
    """Age of the newest figures."""
    return stat(
        "Newest figures",
        says(
            "Seconds since the freshest of the chosen processes last delivered its figures.",
            "below 30 s: processes deliver each 15 s.",
            "nothing arrives: is the Collector up, and does `OTEL_EXPORTER_OTLP_ENDPOINT` name it?",
        ),
        [Query(f"min({FRESH})", "age", at="instant")],
        Look(
            unit="s",
            decimals=0,
            empty="no data",
            thresholds=[(None, colours.GOOD), (45, colours.WARN), (120, colours.BAD)],
            panel_links=[links.runbook("CacheTelemetryAbsent")],
        ),
    )


def lost() -> Panel:
    """Events that the accounting lost."""
    return stat(
        "Events lost",
        says(
            "Events that the cache's own accounting could not record as it should, in the time shown.",
            "0: all figures are exact.",
            "something in the telemetry raised: see the process's log, then compare `/cache/metrics` with Prometheus.",
        ),
        [Query(f"sum(increase({schema.TELEMETRY_DROPPED.prometheus}{selected()}[{RANGE}]))", "events", at="instant")],
        Look(
            unit="short",
            decimals=0,
            empty="no data",
            thresholds=[(None, colours.GOOD), (1, colours.BAD)],
            panel_links=[links.runbook("CacheTelemetryDropped")],
        ),
    )


def refused_now() -> Panel:
    """What the Collector refused."""
    return _now(
        "Refused by the Collector",
        says(
            "Spans and points that the Collector refused in the time shown. Senders keep what was refused and try "
            "again, "
            "for a while.",
            "0.",
            "its memory limiter refuses: more comes than goes out. See its queues and memory.",
        ),
        foreign.COLLECTOR_REFUSED,
        "CacheCollectorRefusing",
    )


def failed_now() -> Panel:
    """What the Collector could not deliver."""
    return _now(
        "Lost on the way out",
        says(
            "Spans and points that the Collector gave up to deliver in the time shown. A delivery that will be tried "
            "again is not among them.",
            "0, also while Prometheus or Jaeger is away for a minute: the queues keep what waits.",
            "see the Collector's log: what is refused for good is malformed, too old, or too large.",
        ),
        foreign.COLLECTOR_SEND_FAILED,
        "CacheCollectorRefusing",
    )


QUEUE = f"{foreign.COLLECTOR_QUEUE}{COLLECTOR} / ({foreign.COLLECTOR_QUEUE_CAPACITY}{COLLECTOR} > 0)"


def queue_now() -> Panel:
    """The fullest queue."""
    return stat(
        "Collector's queue",
        says(
            "How full the fullest of the Collector's queues on disk is.",
            "near 0 %.",
            "it fills while Prometheus or Jaeger is away and drains afterwards; full means loss.",
        ),
        [Query(f"max({QUEUE})", "full")],
        ratio(
            decimals=0,
            empty="not told",
            thresholds=[(None, colours.GOOD), (0.5, colours.WARN), (0.8, colours.BAD)],
            panel_links=[links.runbook("CacheCollectorQueueFilling")],
        ),
    )


def targets_now() -> Panel:
    """Targets that cannot be scraped."""
    return stat(
        "Targets down",
        says(
            "Targets that Prometheus cannot scrape: processes of the cache, the Collector, Jaeger, Prometheus itself.",
            "0.",
            "see which one under Scrapes. A worker's port of a service with fewer workers is no target at all.",
        ),
        [Query(f"count({foreign.UP}) - sum({foreign.UP})", "down", at="instant")],
        Look(unit="short", decimals=0, empty="no targets", thresholds=[(None, colours.GOOD), (1, colours.BAD)]),
    )


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
            panel_links=[links.runbook("CacheTelemetryDropped")],
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
            panel_links=[links.runbook("CacheTelemetryOverflow")],
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
            decimals=0,
            empty="no data",
            colours={"told apart": colours.GREEN, "true": colours.RED},
            panel_links=[links.runbook("CacheTelemetryOverflow")],
        ),
    )


def received() -> Panel:
    """What the Collector accepted."""
    return lines(
        "Received by the Collector",
        says(
            "Spans and metric points per second that the Collector's receivers accepted.",
            "as many as the processes export.",
            "less: what lies between them? Nothing: is the Collector up?",
        ),
        _collected(foreign.COLLECTOR_ACCEPTED),
        Look(unit="ops", low=0, empty="not told", colours=COLOURS),
    )


def refused() -> Panel:
    """What it refused, over time."""
    refusals = _collected(foreign.COLLECTOR_REFUSED)
    failures = _collected(foreign.COLLECTOR_FAILED)
    return lines(
        "Refused or failed in the Collector",
        says(
            "Spans and points per second that the Collector refused (its memory limiter, its queues), or failed to "
            "take.",
            "four flat lines at 0.",
            "refused: more comes than goes out. Failed: a fault of the Collector, see its log.",
        ),
        [
            *(Query(query.expr, f"{query.legend} refused") for query in refusals),
            *(Query(query.expr, f"{query.legend} failed") for query in failures),
        ],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            empty="not told",
            colours={
                f"{SPANS} refused": colours.VIOLET,
                f"{POINTS} refused": colours.BLUE,
                f"{SPANS} failed": colours.RED,
                f"{POINTS} failed": colours.AMBER,
            },
            panel_links=[links.runbook("CacheCollectorRefusing")],
        ),
    )


def sent() -> Panel:
    """What it delivered."""
    return lines(
        "Delivered by the Collector",
        says(
            "Spans per second to Jaeger and points per second to Prometheus. Jaeger gets the traces that are worth "
            "keeping and a share of the rest; Prometheus gets the figures of all spans too.",
            "spans below what is received, points above it.",
            "a gap and then a peak: the other end was away and the queue drained.",
        ),
        _collected(foreign.COLLECTOR_SENT),
        Look(unit="ops", low=0, empty="not told", colours=COLOURS),
    )


def send_failures() -> Panel:
    """What it gave up."""
    return lines(
        "Given up by the Collector",
        says(
            "Spans and points per second that could not be delivered for good, and figures of the store that could not "
            "be read.",
            "three flat lines at 0.",
            "spans or points: see the Collector's log. Store: it is away, or the user `monitor` may not ask it.",
        ),
        [
            *_collected(foreign.COLLECTOR_SEND_FAILED),
            Query(f"sum(rate({foreign.COLLECTOR_SCRAPE_ERRORS}{COLLECTOR}[{RATE}]))", "store's figures"),
        ],
        Look(unit="ops", low=0, up_to=0.1, empty="not told", colours={**COLOURS, "store's figures": colours.AMBER}),
    )


def queue() -> Panel:
    """Its queues."""
    return lines(
        "Fill of the Collector's queues",
        says(
            "How full the queue of each exporter is.",
            "near 0 %.",
            "one fills: its end is away or slow. At 100 % what comes is dropped.",
        ),
        [Query(f"max by (exporter) ({QUEUE})", "{{exporter}}")],
        ratio(
            empty="not told",
            thresholds=[(None, "transparent"), (0.8, colours.BAD)],
            panel_links=[links.runbook("CacheCollectorQueueFilling")],
        ),
    )


def sampling() -> Panel:
    """Traces that went undecided."""
    return lines(
        "Traces dropped undecided",
        says(
            "Traces per second that the tail sampling dropped before it could decide, for want of room.",
            "a flat 0.",
            "raise `num_traces` of the Collector's tail sampling, or send it fewer traces.",
        ),
        [Query(f"sum(rate({foreign.COLLECTOR_DROPPED_EARLY}{COLLECTOR}[{RATE}]))", "undecided")],
        Look(unit="ops", low=0, up_to=0.1, empty="not told", colours={"undecided": colours.RED}),
    )


def fresh() -> Panel:
    """Age of each service's figures."""
    return lines(
        "Age of the figures of each service",
        says(
            "Seconds since the freshest and the least fresh process of each service delivered its figures, by its own "
            "clock.",
            "a saw-tooth between 0 and 15 s.",
            "it climbs: that process is gone or cut off; it is forgotten after 5 minutes. Below 0: its clock is ahead.",
        ),
        [Query(f"max by (job) ({FRESH})", "{{job}} oldest"), Query(f"min by (job) ({FRESH})", "{{job}} newest")],
        Look(unit="s", decimals=0, empty="no data", panel_links=[links.runbook("CacheTelemetryAbsent")]),
    )


def scrapes() -> Panel:
    """Scrapes by job."""
    return lines(
        "Scrapes",
        says(
            "Share of the targets of each job that Prometheus can scrape.",
            "100 % each.",
            f"`{foreign.SCRAPE_JOB}`: a process is down or starting. `{foreign.COLLECTOR_JOB}`: nothing else on this "
            "page can be believed until it is back.",
        ),
        [Query(f"avg by (job) ({foreign.UP})", "{{job}}")],
        ratio(empty="no targets"),
    )


def roads() -> Panel:
    """The same number by both roads."""
    name = schema.REQUESTS.prometheus
    return lines(
        "Lookups by both roads",
        says(
            "Lookups per second as pushed by OTLP, and as scraped from each process's own `/metrics`; of all services.",
            "two lines on top of each other, some seconds apart.",
            "one is missing: that road is broken; both dashboards and alerts read OTLP.",
        ),
        [
            Query(f"sum(rate({name}{{{queries.OTLP}}}[{RATE}]))", "OTLP"),
            Query(f'sum(rate({name}{{job="{foreign.SCRAPE_JOB}"}}[{RATE}]))', "scrape"),
        ],
        Look(unit="reqps", low=0, colours={"OTLP": colours.BLUE, "scrape": colours.AMBER}, dashed=["scrape"]),
    )


def late() -> Panel:
    """Samples out of order."""
    return lines(
        "Samples that came late",
        says(
            "Samples per second that came out of order and were kept, that were refused as out of order, and that were "
            "too old to be kept.",
            "0, but for a moment after the Collector's queue has drained (kept).",
            "refused or too old: two processes write the same series, or a clock is wrong.",
        ),
        [
            Query(f"sum(rate({foreign.PROMETHEUS_OUT_OF_ORDER_KEPT}[{RATE}]))", "kept"),
            Query(f"sum(rate({foreign.PROMETHEUS_OUT_OF_ORDER}[{RATE}]))", "refused"),
            Query(f"sum(rate({foreign.PROMETHEUS_TOO_OLD}[{RATE}]))", "too old"),
        ],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            empty="not told",
            colours={"kept": colours.SKY, "refused": colours.RED, "too old": colours.AMBER},
        ),
    )


def exemplars() -> Panel:
    """Exemplars stored."""
    return lines(
        "Exemplars stored",
        says(
            "Exemplars per second that Prometheus stored: the points on the latency panels that open a trace.",
            "above 0 while there is traffic.",
            "0: `--enable-feature=exemplar-storage` is missing, or spans are not sampled in the processes.",
        ),
        [Query(f"sum(rate({foreign.PROMETHEUS_EXEMPLARS}[{RATE}]))", "exemplars")],
        Look(unit="ops", low=0, empty="not told", colours={"exemplars": colours.VIOLET}),
    )


def collector_memory() -> Panel:
    """The Collector's memory."""
    return lines(
        "Memory of the Collector",
        says(
            "Memory that the Collector's process holds.",
            "flat, below the limit of its memory limiter (400 MiB as shipped).",
            "at the limit it refuses what comes: see refused, above.",
        ),
        [Query(f"max({foreign.COLLECTOR_MEMORY}{COLLECTOR})", "resident")],
        Look(unit="bytes", low=0, empty="not told", colours={"resident": colours.BLUE}),
    )
