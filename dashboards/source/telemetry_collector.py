"""Panels about the Collector: what it received, refused, delivered, lost, and how full its queues are."""

from __future__ import annotations

from dashboards.source import colours, foreign, links
from dashboards.source.looks import Look, Query, ratio, says
from dashboards.source.panels import Panel, lines, stat
from dashboards.source.queries import RANGE, RATE, summed

COLLECTOR = f'{{job="{foreign.COLLECTOR_JOB}"}}'
QUEUE = f"{foreign.COLLECTOR_QUEUE}{COLLECTOR} / ({foreign.COLLECTOR_QUEUE_CAPACITY}{COLLECTOR} > 0)"
SPANS, POINTS = "spans", "points"
COLOURS = {SPANS: colours.VIOLET, POINTS: colours.BLUE}


def _collected(names: tuple[str, str], *, window: str = RATE, by: str = "") -> list[Query]:
    """The Collector's counters of spans and of points."""
    grouped = [by] if by else []
    label = " {{" + by + "}}" if by else ""
    return [
        Query(summed(f"rate({name}{COLLECTOR}[{window}])", *grouped), word + label)
        for name, word in zip(names, (SPANS, POINTS), strict=True)
    ]


def _now(title: str, description: str, names: tuple[str, str], alert: str) -> Panel:
    parts = [f"sum(increase({name}{COLLECTOR}[{RANGE}]))" for name in names]
    return stat(
        title,
        description,
        [Query(" + ".join(parts), "items")],
        Look(
            unit="short",
            decimals=0,
            empty="not told",
            thresholds=[(None, colours.GOOD), (1, colours.BAD)],
            panel_links=[links.runbook(alert)],
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
        "CollectorRefusing",
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
        "CollectorRefusing",
    )


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
            panel_links=[links.runbook("CollectorQueueFilling")],
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
            panel_links=[links.runbook("CollectorRefusing")],
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
            panel_links=[links.runbook("CollectorQueueFilling")],
        ),
    )


def sampling() -> Panel:
    """Traces that went undecided."""
    # the Collector's own count of them, dropped_too_early, is wrong where a root ends the wait: it has every trace
    new, decided, waiting = (
        summed(f"{metric}{COLLECTOR}")
        for metric in (foreign.COLLECTOR_TRACES_NEW, foreign.COLLECTOR_TRACES_DECIDED, foreign.COLLECTOR_TRACES_WAITING)
    )
    return lines(
        "Traces dropped undecided",
        says(
            "Traces that the tail sampling dropped before it could decide, for want of room, since the Collector "
            "started: those that came, less those that were decided and those that wait.",
            "a flat 0.",
            "raise `num_traces` of the Collector's tail sampling, or send it fewer traces.",
        ),
        [Query(f"{new} - {decided} - {waiting}", "undecided"), Query(waiting, "waiting")],
        Look(
            unit="short",
            low=0,
            up_to=1,
            empty="not told",
            colours={"undecided": colours.RED, "waiting": colours.GREY},
        ),
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
