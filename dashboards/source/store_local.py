"""Panels about what the processes keep themselves, in front of the store: the local tier."""

from __future__ import annotations

from dashboards.source import colours
from dashboards.source.looks import Look, Query, says
from dashboards.source.panels import Panel, lines
from dashboards.source.queries import RATE, rate_of_all, selected, summed
from telemetry import schema
from telemetry.schema import prometheus_label

CAUSE = prometheus_label(schema.EVICTION_CAUSE)
NOTHING = "nothing is kept in the processes"


def entries() -> Panel:
    """How many entries."""
    return lines(
        "Entries in the processes",
        says(
            "Entries that the chosen processes keep themselves, of the categories whose policy says so.",
            "steady, once what is asked for often is there.",
            "0 although `CACHE_LOCAL_CATEGORIES` is set: `GET /cache/health` of a process says why, `local_tier`.",
        ),
        [Query(summed(schema.LOCAL_ENTRIES.prometheus + selected()), "entries")],
        Look(unit="short", low=0, decimals=0, empty=NOTHING, colours={"entries": colours.BLUE}),
    )


def size() -> Panel:
    """How many bytes, overhead included."""
    return lines(
        "Bytes in the processes",
        says(
            "Bytes that those entries take, overhead included: the largest process, and all of them.",
            "each at most `CACHE_LOCAL_MAX_BYTES`.",
            "at the bound and many entries leave for `capacity`: more bytes, or fewer categories.",
        ),
        [
            Query(f"max({schema.LOCAL_SIZE.prometheus}{selected()})", "largest"),
            Query(summed(schema.LOCAL_SIZE.prometheus + selected()), "all"),
        ],
        Look(unit="bytes", low=0, empty=NOTHING, colours={"largest": colours.SKY, "all": colours.BLUE}),
    )


def gone() -> Panel:
    """Why entries leave."""
    return lines(
        "Entries that left the processes",
        says(
            "Entries per second that the processes let go, by cause.",
            "few; `invalidated` in proportion to what is written elsewhere.",
            "`disconnected` again and again: the connection that brings the changes breaks. `capacity` without end: "
            "the bound is too small for what is asked for.",
        ),
        [Query(summed(rate_of_all(schema.LOCAL_EVICTIONS, window=RATE), CAUSE), "{{" + CAUSE + "}}")],
        Look(unit="ops", low=0, right=True, empty=NOTHING, colours=colours.of(colours.EVICTIONS)),
    )
