"""The store: memory, keys, clients, commands, and redis-py's connections to it."""

from __future__ import annotations

from dashboards.source import colours, foreign, links, queries, trouble, variables
from dashboards.source import store_load as load
from dashboards.source import store_local as local
from dashboards.source.layout import Board, Shelf
from dashboards.source.looks import Look, Query, ratio, says
from dashboards.source.panels import Panel, lines, stat
from dashboards.source.queries import RANGE, RATE
from telemetry import schema

USED, PEAK, RSS, MAX = "used", "peak", "resident", "maxmemory"


def board() -> Board:
    """The dashboard."""
    return Board(
        links.STORE,
        "Redis or Valkey as it sees itself, and as its clients see it.",
        [variables.job(), variables.instance(), variables.service()],
        [
            Shelf(
                4, [(4, full()), (4, keys_now()), (4, evicted_now()), (4, rejected()), (4, per_second()), (4, uptime())]
            ),
            Shelf(9, [(8, memory()), (8, keys_gone()), (8, keys())], "Memory and keys"),
            Shelf(12, [(12, load.commands()), (12, load.time_of_commands())], "Commands"),
            Shelf(12, [(12, load.latency()), (12, load.seen_by_clients())]),
            Shelf(9, [(8, load.clients()), (8, load.pool()), (8, load.connecting())], "Clients and connections"),
            Shelf(
                9,
                [
                    (8, trouble.errors(queries.rate_of_all(schema.ERRORS), beside=False)),
                    (8, load.traffic()),
                    (8, load.cpu()),
                ],
                "Trouble, network and processor",
            ),
            Shelf(9, [(8, local.entries()), (8, local.size()), (8, local.gone())], "Kept in the processes"),
        ],
    )


def full() -> Panel:
    """Memory against its limit."""
    return stat(
        "Memory used",
        says(
            "Memory that the store uses for data, as a share of its `maxmemory`.",
            "anything up to 100 % is fine for a cache with an eviction policy.",
            "full and the hit rate falls: see evictions beside. Full with the policy `noeviction`, writes fail with "
            "`oom`.",
        ),
        [Query(f"max({foreign.STORE_MEMORY_USED} / ({foreign.STORE_MEMORY_MAX} > 0))", "used")],
        ratio(
            decimals=0,
            empty="no limit set",
            thresholds=[(None, colours.GOOD), (0.9, colours.WARN)],
            panel_links=[links.runbook("CacheEvictingWhileSlow")],
        ),
    )


def keys_now() -> Panel:
    """How many keys."""
    return stat(
        "Keys",
        says(
            "Keys in all databases of the store.",
            "steady, or growing towards the number of things worth keeping.",
            "0: it was flushed, or it lost its data in a restart. Everything is cold for a while.",
        ),
        [Query(f"sum({foreign.STORE_KEYS})", "keys")],
        Look(unit="short", decimals=0, thresholds=[(None, colours.BLUE)], empty="no keys"),
    )


def evicted_now() -> Panel:
    """Evictions in the time shown."""
    return stat(
        "Evicted",
        says(
            "Keys that the store removed for want of memory, in the time shown.",
            "0, or few beside the keys that expire.",
            "does a category miss for it (reason `evicted`)? Then give more memory, or shorten TTLs.",
        ),
        [Query(f"sum(increase({foreign.STORE_EVICTED}[{RANGE}]))", "evicted")],
        Look(
            unit="short",
            decimals=0,
            empty="not told",
            thresholds=[(None, colours.GOOD), (1, colours.WARN)],
            panel_links=[links.runbook("CacheEvictingWhileSlow")],
        ),
    )


def rejected() -> Panel:
    """Connections that were turned away."""
    return stat(
        "Rejected connections",
        says(
            "Connections that the store turned away in the time shown, because `maxclients` was reached.",
            "0.",
            "too many processes, or pools that are too large: `CACHE_MAX_CONNECTIONS` times processes is the most "
            "there "
            "can be.",
        ),
        [Query(f"sum(increase({foreign.STORE_REJECTED}[{RANGE}]))", "rejected")],
        Look(unit="short", decimals=0, empty="not told", thresholds=[(None, colours.GOOD), (1, colours.BAD)]),
    )


def per_second() -> Panel:
    """Commands in a second."""
    return stat(
        "Commands",
        says(
            "Commands per second, of all clients.",
            "in proportion to the lookups: a read is one command, a fenced write one script.",
            "far more than lookups explain: another program uses the store, or keys are asked for one by one.",
        ),
        [Query(f"sum(rate({foreign.STORE_COMMAND_CALLS}[{RATE}]))", "commands")],
        Look(unit="ops", decimals=1, thresholds=[(None, colours.BLUE)], empty="not told"),
    )


def uptime() -> Panel:
    """How long it has been up."""
    return stat(
        "Up for",
        says(
            "Time since the store started.",
            "longer than the time shown.",
            "it restarted: the breaker opened and closed, and without persistence everything is cold.",
        ),
        [Query(f"min({foreign.STORE_UPTIME})", "up")],
        Look(
            unit="s",
            decimals=1,
            empty="not told",
            thresholds=[(None, colours.WARN), (600, colours.GOOD)],
            panel_links=[links.runbook("CacheStoreUnreachable")],
        ),
    )


def memory() -> Panel:
    """Memory over time."""
    return lines(
        "Memory against maxmemory",
        says(
            "Memory used for data, its peak, what the process has from the system (resident), and, dashed, "
            "`maxmemory`.",
            "used below or along the dashed line, resident not far above it.",
            "resident far above used: fragmentation. Used flat at the dashed line: the store evicts.",
        ),
        [
            Query(f"sum({foreign.STORE_MEMORY_USED})", USED),
            Query(f"sum({foreign.STORE_MEMORY_PEAK})", PEAK),
            Query(f"sum({foreign.STORE_MEMORY_RSS})", RSS),
            Query(f"sum({foreign.STORE_MEMORY_MAX})", MAX),
        ],
        Look(
            unit="bytes",
            low=0,
            empty="not told",
            colours={USED: colours.BLUE, PEAK: colours.SKY, RSS: colours.VIOLET, MAX: colours.RED},
            dashed=[MAX],
        ),
    )


def keys_gone() -> Panel:
    """Expired and evicted keys."""
    return lines(
        "Expired and evicted keys",
        says(
            "Keys per second that the store removed because their time was over, or for want of memory. Entries stay "
            "for a stale window after their own TTL.",
            "expired at a steady pace, evicted 0.",
            "evicted above expired: memory decides what is kept, not the TTLs.",
        ),
        [
            Query(f"sum(rate({foreign.STORE_EXPIRED}[{RATE}]))", "expired"),
            Query(f"sum(rate({foreign.STORE_EVICTED}[{RATE}]))", "evicted"),
        ],
        Look(
            unit="ops",
            low=0,
            empty="not told",
            colours={"expired": colours.AMBER, "evicted": colours.BROWN},
            panel_links=[links.runbook("CacheEvictingWhileSlow")],
        ),
    )


def keys() -> Panel:
    """Keys by database."""
    return lines(
        "Keys by database",
        says(
            "Keys in each database of the store: entries and the generations of their scopes.",
            "steady, or a slow saw-tooth of writes and expiry.",
            "a cliff is a flush or a restart; steady growth means TTLs too long for the memory.",
        ),
        [Query(f"sum by (db) ({foreign.STORE_KEYS})", "db {{db}}")],
        Look(unit="short", low=0, decimals=0, empty="no keys"),
    )
