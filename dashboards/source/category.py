"""One category: what it keeps, how long, how large, why it misses, what makes it invalid."""

from __future__ import annotations

from dashboards.source import answers, colours, foreign, links, queries, truth, variables
from dashboards.source.layout import Board, Shelf
from dashboards.source.looks import Look, Query, says
from dashboards.source.panels import Panel, heat, lines, stat
from dashboards.source.queries import one_of, summed
from telemetry import schema
from telemetry.schema import Metric
from telemetry.vocabulary import MissReason, Outcome

CHOSEN = {schema.CATEGORY: "${category}"}
"""The attribute that spans of the chosen category have."""

TTL = f"max({schema.POLICY_TTL.prometheus}{queries.selected(*queries.chosen_category(schema.POLICY_TTL))})"
GONE = (MissReason.EVICTED, MissReason.UNKNOWN, "")
"""Reasons of a miss whose entry the store let go, or of which nothing is known."""


def board() -> Board:
    """The dashboard."""
    return Board(
        links.CATEGORY,
        "Everything about one category: choose it above.",
        [variables.job(), variables.instance(), variables.category(), variables.before(), variables.service()],
        [
            Shelf(
                4,
                [
                    (4, answers.hit_rate("Hit rate of $category")),
                    (4, answers.change()),
                    (4, lookups()),
                    (4, answers.saved()),
                    (4, ttl()),
                    (4, median_age()),
                ],
            ),
            Shelf(
                9,
                [(8, answers.hit_rate_over_time(CHOSEN)), (8, answers.outcomes(CHOSEN)), (8, answers.reasons(CHOSEN))],
            ),
            Shelf(9, [(12, age()), (12, age_spread())], "Is the TTL right?"),
            Shelf(9, [(8, answers.hits_duration(CHOSEN)), (8, computation()), (8, worth())], "Is it worth it?"),
            Shelf(9, [(12, truth.saved_surely()), (12, truth.checked())], "Does it pay, and is it true?"),
            Shelf(9, [(12, size()), (12, evictions())], "Size and eviction"),
            Shelf(
                9,
                [(6, invalidations()), (6, invalid_misses()), (6, answers.writes()), (6, waits())],
                "What makes it invalid, who waits",
            ),
        ],
    )


def lookups() -> Panel:
    """How much is asked."""
    return stat(
        "Lookups of $category",
        says(
            "Lookups per second, whatever their outcome; a batch of n keys counts n.",
            "as much as the workflow does at this time of day.",
            "no traffic: nothing asks this category, which is not the same as a hit rate of 0 %.",
        ),
        [Query(f"{summed(queries.rate(schema.REQUESTS))} > 0", "lookups")],
        Look(unit="reqps", decimals=1, thresholds=[(None, colours.BLUE)]),
    )


def ttl() -> Panel:
    """What the policy promises."""
    return stat(
        "TTL",
        says(
            "Time to live that the category's policy gives its entries, before jitter; the longest, where processes "
            "differ.",
            "what you set (`CACHE_TTL_...`), and a few times the p95 of the age at hit.",
            "a process with another setting shows in the panel of ages as a second line.",
        ),
        [Query(TTL, "TTL")],
        Look(unit="s", thresholds=[(None, colours.BLUE)], empty="no policy"),
    )


def median_age() -> Panel:
    """How old entries are when they serve."""
    return stat(
        "Age at hit, p50",
        says(
            "Half of the hits in the last minutes were answered by an entry younger than this.",
            "well below the TTL.",
            "close to the TTL, a longer one would give more hits, if values stay right for that long.",
        ),
        [Query(queries.quantile(0.5, schema.ENTRY_AGE_METRIC), "p50")],
        Look(unit="s", decimals=1, thresholds=[(None, colours.BLUE)], empty="no hits"),
    )


def age() -> Panel:
    """Age at a hit, and the TTL."""
    each = (
        f"max by (job) ({schema.POLICY_TTL.prometheus}{queries.selected(*queries.chosen_category(schema.POLICY_TTL))})"
    )
    return lines(
        "Age at hit against the TTL",
        says(
            "How old the entries were that answered (p50, p95, p99), and, dashed, the TTL of each service. "
            "Quantiles are estimated within buckets, so p99 can lie somewhat above the TTL. Points are traces.",
            "p95 well below the TTL: it is not what makes entries miss.",
            "p95 along the TTL and many `expired` misses: entries are still wanted when they expire. Lengthen the TTL, "
            "or refresh ahead.",
        ),
        [*answers.quantiles(schema.ENTRY_AGE_METRIC), Query(each, "TTL {{job}}")],
        Look(
            unit="s",
            logarithmic=True,
            colours={**colours.QUANTILES, "/^TTL/": colours.PINK},
            dashed=["/^TTL/"],
            empty="no hits",
            links=[links.traces("Traces of hits", tags={**CHOSEN, schema.OUTCOME: Outcome.HIT})],
        ),
    )


def _spread(metric: Metric) -> Query:
    chosen = queries.selected(*queries.chosen_category(metric))
    return Query(queries.buckets(metric.prometheus, chosen), "{{le}}", exemplars=True, at="heatmap")


def age_spread() -> Panel:
    """Ages by bucket."""
    return heat(
        "Age at hit, spread",
        says(
            "Hits per second by the age of the entry that answered; brighter is more. Red points are traces.",
            "most hits low in the plot, thinning out towards the TTL.",
            "a bright band right below the TTL that ends at it: entries expire while they are in use.",
        ),
        _spread(schema.ENTRY_AGE_METRIC),
        Look(unit="s", axis="age at hit", empty="no hits"),
    )


def computation() -> Panel:
    """Duration of the computation."""
    return answers.durations(
        "Duration of the computation",
        says(
            "p50, p95 and p99 of what the caller computes on a miss, in the category. Points are traces.",
            "far above the duration of hits: that is what the cache is for.",
            "about the same: caching this saves nothing. Rising: what is computed got slower, which each miss shows.",
        ),
        answers.quantiles(schema.COMPUTE_DURATION_METRIC),
        links.traces("Traces of the computation", operation=schema.compute_span("${category}")),
        empty="nothing computed",
    )


def worth() -> Panel:
    """Seconds spared and spent."""
    return lines(
        "Time saved and spent",
        says(
            "Seconds in each second that the category's hits spared, and those that the cache took for all its "
            "operations.",
            "saved far above spent.",
            "spent above saved: see the two durations beside.",
        ),
        [Query(summed(queries.rate(schema.AVOIDED)), "saved"), Query(summed(queries.rate(schema.OVERHEAD)), "spent")],
        Look(
            unit="suffix: s/s",
            low=0,
            colours={"saved": colours.GREEN, "spent": colours.AMBER},
            panel_links=[links.runbook("CacheCostsMoreThanItSaves")],
        ),
    )


def size() -> Panel:
    """Sizes of entries."""
    return lines(
        "Size of stored entries",
        says(
            "p50, p95 and p99 of the size of what is written, compressed where that applies. Points are traces.",
            "far below the policy's `max_bytes`, and of a steady order of magnitude.",
            "a jump after a release: more is kept than before. Memory follows; see Store.",
        ),
        answers.quantiles(schema.ENTRY_SIZE_METRIC),
        Look(unit="bytes", logarithmic=True, colours=colours.QUANTILES, empty="nothing stored"),
    )


def evictions() -> Panel:
    """What the store let go."""
    gone = queries.rate(schema.REQUESTS, answers.MISSED, one_of(queries.REASON, GONE))
    store = f"sum(rate({foreign.STORE_EVICTED}[{queries.RATE}]))"
    return lines(
        "Evictions, and misses that they explain",
        says(
            "Keys per second that the store evicted (of all categories), and this category's misses whose entry is "
            "gone "
            "for no other cause (`evicted`, `unknown`, or counted without a reason).",
            "both 0. A full store that evicts is no fault as long as this category does not miss for it.",
            "both rise: more memory, shorter TTLs, or smaller entries. Misses alone: somebody else deletes keys.",
        ),
        [Query(store, "evicted by the store"), Query(summed(gone), "misses of the category")],
        Look(
            unit="ops",
            low=0,
            colours={"evicted by the store": colours.BROWN, "misses of the category": colours.AMBER},
            links=[links.to(links.STORE, links.CATEGORY)],
            panel_links=[links.runbook("CacheEvictingWhileSlow")],
        ),
    )


def invalidations() -> Panel:
    """What makes the category invalid."""
    return lines(
        "Invalidations by trigger",
        says(
            "Scopes and patterns of the category that were made invalid, per second, by what caused it.",
            "as often as the data change: `message` for contexts, `file` for tools.",
            "far more than changes: somebody invalidates too much at once; `api` and `admin` are people and programs.",
        ),
        [Query(summed(queries.rate(schema.INVALIDATIONS), queries.TRIGGER), "{{" + queries.TRIGGER + "}}")],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            colours=colours.of(colours.TRIGGERS),
            links=[links.traces("Traces of this", tags=answers.word_of(CHOSEN, schema.TRIGGER))],
        ),
    )


def invalid_misses() -> Panel:
    """What invalidations cost."""
    missed = summed(queries.rate(schema.INVALIDATED), queries.MISS_TRIGGER)
    return lines(
        "Invalid misses by trigger",
        says(
            "Misses per second of entries that something had made invalid, by what: the deletion of the key, a tag, "
            "the whole category, a pattern, a restart of the store.",
            "about as many as values change.",
            "`category` or `pattern` far above the rest: much is dropped that was still right; use tags. `restart`: "
            "the store came back from a disk, and everything in it counts as invalid.",
        ),
        [Query(queries.seen(missed, schema.INVALIDATED, queries.MISS_TRIGGER), "{{" + queries.MISS_TRIGGER + "}}")],
        Look(
            unit="reqps",
            low=0,
            stacked=True,
            empty="no misses of invalid entries",
            colours=colours.of(colours.MISS_TRIGGERS),
            links=[links.traces("Traces of these misses", tags=answers.word_of(CHOSEN, schema.MISS_TRIGGER))],
        ),
    )


def waits() -> Panel:
    """Who waits for another's computation."""
    return lines(
        "Waits for another's computation",
        says(
            "Callers per second that waited for somebody else's computation of the same key, by how far it is shared.",
            "few.",
            "many at once: a hot key expires and all want it. Serve stale or refresh ahead in this category.",
        ),
        [Query(summed(queries.rate(schema.FLIGHT_WAITS), queries.SCOPE), "{{" + queries.SCOPE + "}}")],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            colours=colours.of(colours.SCOPES),
            links=[links.traces("Traces of waits", operation=schema.wait_span("${category}"))],
            panel_links=[links.runbook("CacheStampede")],
        ),
    )
