"""Telemetry itself: can the other dashboards be believed?"""

from __future__ import annotations

from dashboards.source import colours, foreign, links, queries, variables
from dashboards.source import telemetry_collector as collector
from dashboards.source import telemetry_processes as processes
from dashboards.source.layout import Board, Shelf
from dashboards.source.looks import Look, Query, ratio, says
from dashboards.source.panels import Panel, lines, stat
from dashboards.source.queries import RANGE, RATE, selected
from telemetry import schema


def board() -> Board:
    """The dashboard."""
    return Board(
        links.TELEMETRY,
        "Can the other dashboards be believed? What was received, refused, dropped, late.",
        [variables.job(), variables.instance()],
        [
            Shelf(
                4,
                [
                    (4, age()),
                    (4, lost()),
                    (4, collector.refused_now()),
                    (4, collector.failed_now()),
                    (4, collector.queue_now()),
                    (4, targets_now()),
                ],
            ),
            Shelf(
                9,
                [
                    (8, processes.spans_of_processes()),
                    (8, processes.points_of_processes()),
                    (8, processes.queue_of_processes()),
                ],
                "In the processes",
            ),
            Shelf(9, [(8, processes.dropped()), (8, processes.attribute_sets()), (8, processes.overflow())]),
            Shelf(9, [(8, collector.received()), (8, collector.refused()), (8, collector.sent())], "In the Collector"),
            Shelf(9, [(8, collector.send_failures()), (8, collector.queue()), (8, collector.sampling())]),
            Shelf(9, [(8, fresh()), (8, scrapes()), (8, roads())], "Clock and scrapes"),
            Shelf(
                9,
                [(8, late()), (8, exemplars()), (8, collector.collector_memory())],
                "In Prometheus, and the Collector's memory",
            ),
        ],
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
        [Query(f"min({FRESH})", "age")],
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
        [Query(f"sum(increase({schema.TELEMETRY_DROPPED.prometheus}{selected()}[{RANGE}]))", "events")],
        Look(
            unit="short",
            decimals=0,
            empty="no data",
            thresholds=[(None, colours.GOOD), (1, colours.BAD)],
            panel_links=[links.runbook("CacheTelemetryDropped")],
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
        [Query(f"count({foreign.UP}) - sum({foreign.UP})", "down")],
        Look(unit="short", decimals=0, empty="no targets", thresholds=[(None, colours.GOOD), (1, colours.BAD)]),
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
