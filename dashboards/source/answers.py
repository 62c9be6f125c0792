"""Panels about lookups and writes that the overview and one category share.

``tags`` are the attributes that the spans of what is shown have: links to traces search by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboards.source import colours, links, queries
from dashboards.source.looks import Look, Query, ratio, says
from dashboards.source.panels import Panel, lines, stat
from dashboards.source.queries import BEFORE, RANGE, one_of, summed
from telemetry import schema
from telemetry.schema import Metric
from telemetry.vocabulary import Outcome

Tags = Mapping[str, str]

MISSED = one_of(queries.OUTCOME, [Outcome.MISS])


def told(misses: str) -> str:
    """Misses by reason, with a word for those without one."""
    return f'label_replace({misses}, "{queries.REASON}", "{colours.NOT_TOLD}", "{queries.REASON}", "")'


def word_of(tags: Tags, attribute: str) -> Tags:
    """The tags, and the attribute's word as the label of a line has it."""
    return {**tags, attribute: "${__field.labels." + schema.prometheus_label(attribute) + "}"}


def quantiles(metric: Metric, *matchers: str) -> list[Query]:
    """p50, p95 and p99 of a histogram; the last has the exemplars."""
    return [
        Query(queries.quantile(int(name[1:]) / 100, metric, *matchers), name, exemplars=name == "p99")
        for name in colours.QUANTILES
    ]


def hit_rate(title: str) -> Panel:
    """The one figure."""
    return stat(
        title,
        says(
            "Hits among hits and misses, over all of the time shown. Stale answers, errors and bypasses are neither.",
            "above the 80 % that the workflow is made for, and steady.",
            "the miss reasons say why. No traffic is not 0 %.",
        ),
        [Query(queries.hit_ratio(window=RANGE), "hit rate")],
        ratio(
            decimals=1,
            thresholds=[(None, colours.BAD), (0.5, colours.WARN), (0.8, colours.GOOD)],
            panel_links=[links.runbook("CacheHitRatioBurning")],
        ),
    )


def change() -> Panel:
    """Against the window before."""
    now, then = queries.hit_ratio(window=BEFORE), queries.hit_ratio(window=BEFORE, offset=BEFORE)
    return stat(
        "Change in $before",
        says(
            "Hit rate of the last $before less that of the $before before, in points of a hundred.",
            "within 5 points of 0.",
            "see which miss reason grew. After a release it is often `version` or `changed`; without one it is "
            "eviction, "
            "a shorter TTL, or other traffic.",
        ),
        [Query(f"100 * ({now} - {then})", "change")],
        Look(
            unit="suffix: points",
            decimals=1,
            empty="no past",
            thresholds=[(None, colours.BAD), (-10, colours.WARN), (-5, colours.GOOD)],
            panel_links=[links.runbook("CacheHitRatioFell")],
        ),
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
            "below 0 the cache costs more than it spares: compare the computation's duration with that of a hit.",
        ),
        [Query(queries.net_saved(window=RANGE), "net saving")],
        Look(
            unit="s",
            decimals=1,
            thresholds=[(None, colours.BAD), (0, colours.GOOD)],
            panel_links=[links.runbook("CacheCostsMoreThanItSaves")],
        ),
    )


def hit_rate_over_time(tags: Tags) -> Panel:
    """Now, and the window before as a dashed line."""
    return lines(
        "Hit rate against $before before",
        says(
            "Hit rate of what is chosen above; dashed, what it was $before earlier. A gap is a time without lookups.",
            "both lines together, above 80 %.",
            "if only the full line falls, something changed within the last $before.",
        ),
        [Query(queries.hit_ratio(), "now"), Query(queries.hit_ratio(offset=BEFORE), "before")],
        ratio(
            colours={"now": colours.GREEN, "before": colours.GREY},
            dashed=["before"],
            calcs=["lastNotNull", "min"],
            links=[links.traces("Traces of misses", tags={**tags, schema.OUTCOME: Outcome.MISS})],
        ),
    )


def outcomes(tags: Tags) -> Panel:
    """Requests by outcome."""
    return lines(
        "Lookups by outcome",
        says(
            "Lookups per second by how they ended, on top of each other.",
            "mostly hits; no errors; stale only where a policy serves stale on purpose.",
            "errors: the store. Bypasses: the cache is switched off, or keys and values cannot be cached.",
        ),
        [Query(summed(queries.rate(schema.REQUESTS), queries.OUTCOME), "{{" + queries.OUTCOME + "}}")],
        Look(
            unit="reqps",
            low=0,
            stacked=True,
            colours=colours.of(colours.OUTCOMES),
            links=[links.traces("Traces of this outcome", tags=word_of(tags, schema.OUTCOME))],
        ),
    )


def reasons(tags: Tags) -> Panel:
    """Why lookups miss."""
    missed = summed(queries.rate(schema.REQUESTS, MISSED), queries.REASON)
    return lines(
        "Miss reasons",
        says(
            "Misses per second by their reason, on top of each other.",
            "`cold` after a start, then `expired` at the pace of the TTLs, and `invalidated` or `changed` where data "
            "change.",
            "`evicted`: memory is short. `version`: a release changed the format. `expired` grows: a longer TTL, or "
            "refresh ahead. `corrupt`, `collision`, much `unknown`: see the runbook.",
        ),
        [Query(told(queries.seen(missed, schema.REQUESTS, queries.REASON, MISSED)), "{{" + queries.REASON + "}}")],
        Look(
            unit="reqps",
            low=0,
            stacked=True,
            empty="no misses",
            colours=colours.of(colours.REASONS),
            links=[links.traces("Traces of this reason", tags=word_of(tags, schema.MISS_REASON))],
            panel_links=[links.runbook("CacheMissesUnexplained")],
        ),
    )


def durations(
    title: str, description: str, asked: Sequence[Query], link: links.Link, *, empty: str = "no traffic"
) -> Panel:
    """Quantiles on a logarithmic axis."""
    look = Look(unit="s", logarithmic=True, colours=colours.QUANTILES, empty=empty, links=[link])
    return lines(title, description, asked, look)


def hits_duration(tags: Tags) -> Panel:
    """How long a hit takes."""
    return durations(
        "Duration of hits",
        says(
            "p50, p95 and p99 of operations that hit, over all chosen processes; points are traces that can be opened.",
            "p50 below 1 ms, p99 below 10 ms with a store near by.",
            "only p99 up: a busy process or large entries. All up: the store or the network; see Store.",
        ),
        quantiles(schema.OPERATION_DURATION, one_of(queries.OUTCOME, [Outcome.HIT])),
        links.traces("Traces of hits", tags={**tags, schema.OUTCOME: Outcome.HIT}),
        empty="no hits",
    )


def writes() -> Panel:
    """Writes by result."""
    return lines(
        "Writes by result",
        says(
            "Writes per second by what became of them, on top of each other.",
            "all `stored`.",
            "`dropped`: the store was in trouble. `too_large`: raise the policy's `max_bytes`, or leave the value out. "
            "`refused`: an invalidation overtook them. `over_budget`: a tenant has filled `CACHE_TENANT_MAX_BYTES`.",
        ),
        [Query(summed(queries.rate(schema.WRITES), queries.RESULT), "{{" + queries.RESULT + "}}")],
        Look(
            unit="wps",
            low=0,
            stacked=True,
            colours=colours.of(colours.WRITES),
            panel_links=[links.runbook("CacheWritesRefused")],
        ),
    )
