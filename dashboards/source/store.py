"""The store: memory, keys, clients, commands, and redis-py's connections to it."""

from __future__ import annotations

from dashboards.source import colours, foreign, links, queries, variables
from dashboards.source.layout import Board, Shelf
from dashboards.source.looks import Look, Query, ratio, says
from dashboards.source.panels import Panel, lines, stat
from dashboards.source.queries import RANGE, RATE, selected, summed
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
            Shelf(12, [(12, commands()), (12, time_of_commands())], "Commands"),
            Shelf(10, [(12, latency()), (12, seen_by_clients())]),
            Shelf(9, [(8, clients()), (8, pool()), (8, connecting())], "Clients and connections"),
            Shelf(9, [(8, failures()), (8, traffic()), (8, cpu())], "Trouble, network and processor"),
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
            panel_links=[links.runbook("CacheEvictionsHurt")],
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
        [Query(f"sum(increase({foreign.STORE_EVICTED}[{RANGE}]))", "evicted", at="instant")],
        Look(
            unit="short",
            decimals=0,
            empty="not told",
            thresholds=[(None, colours.GOOD), (1, colours.WARN)],
            panel_links=[links.runbook("CacheEvictionsHurt")],
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
        [Query(f"sum(increase({foreign.STORE_REJECTED}[{RANGE}]))", "rejected", at="instant")],
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
        [Query(f"min({foreign.STORE_UPTIME})", "up", at="instant")],
        Look(
            unit="s",
            decimals=1,
            empty="not told",
            thresholds=[(None, colours.WARN), (600, colours.GOOD)],
            panel_links=[links.runbook("CacheStoreDown")],
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
            panel_links=[links.runbook("CacheEvictionsHurt")],
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


def commands() -> Panel:
    """Commands by name."""
    return lines(
        "Commands by name",
        says(
            "Commands per second by name, the eight most frequent.",
            "`mget` for reads, `evalsha` for fenced writes.",
            "`scan`, `keys`: patterns are invalidated often. `eval`: scripts were lost in a restart, and are sent "
            "anew.",
        ),
        [Query(f"topk(8, sum by (cmd) (rate({foreign.STORE_COMMAND_CALLS}[{RATE}])))", "{{cmd}}")],
        Look(unit="ops", low=0, right=True, calcs=["lastNotNull"], empty="not told"),
    )


def time_of_commands() -> Panel:
    """Time that the server spends on a call."""
    spent = f"sum by (cmd) (rate({foreign.STORE_COMMAND_MICROSECONDS}[{RATE}]))"
    calls = f"(sum by (cmd) (rate({foreign.STORE_COMMAND_CALLS}[{RATE}])) > 0)"
    return lines(
        "Time of the server for a call",
        says(
            "Mean time that the store itself works on a call, by command, the eight slowest; without network and "
            "queueing.",
            "microseconds: tens for `mget`, a little more for scripts.",
            "milliseconds: large values, huge batches, or a swapping machine.",
        ),
        [Query(f"topk(8, {spent} / {calls})", "{{cmd}}")],
        Look(unit="µs", low=0, right=True, calcs=["lastNotNull", "max"], empty="not told"),
    )


def latency() -> Panel:
    """Latency as the server measures it."""
    return lines(
        "Latency by the server's own count",
        says(
            "p50 and p99 of each command since the server started, as it counts them itself, the ten highest.",
            "below a millisecond.",
            "it never forgets: compare with the panel beside, which shows the present.",
        ),
        [
            Query(
                f'topk(10, max by (cmd, percentile) ({foreign.STORE_COMMAND_LATENCY}{{percentile=~"p50|p99"}}))',
                "{{cmd}} {{percentile}}",
            )
        ],
        Look(unit="s", logarithmic=True, right=True, calcs=["lastNotNull"], empty="not told"),
    )


def seen_by_clients() -> Panel:
    """Latency as clients see it."""
    chosen = selected(f'{foreign.SPAN_KIND}="{foreign.CLIENT}"', process=False)
    return lines(
        "Latency as clients see it, p95",
        says(
            "p95 of the duration of each command's span in the chosen services: pool, network, server. Points are "
            "traces.",
            "about a millisecond.",
            "far above the server's own time: the network, or a process that is too busy to read its answers.",
        ),
        [
            Query(
                f"histogram_quantile(0.95, {queries.buckets(foreign.SPAN_DURATION, chosen, foreign.SPAN_NAME)})",
                "{{" + foreign.SPAN_NAME + "}}",
                exemplars=True,
            )
        ],
        Look(
            unit="s",
            logarithmic=True,
            right=True,
            calcs=["lastNotNull", "max"],
            empty="no commands",
            links=[links.traces("Traces of this command", operation="${__field.labels." + foreign.SPAN_NAME + "}")],
        ),
    )


def clients() -> Panel:
    """Clients of the store."""
    return lines(
        "Clients of the store",
        says(
            "Clients that are connected, and those of them that are blocked in a waiting command.",
            "processes times the connections that they need; none blocked.",
            "it climbs and never falls: connections leak, or processes restart without closing.",
        ),
        [
            Query(f"sum({foreign.STORE_CLIENTS})", "connected"),
            Query(f"sum({foreign.STORE_BLOCKED})", "blocked"),
            Query(f"sum(rate({foreign.STORE_ACCEPTED}[{RATE}]))", "new per second"),
        ],
        Look(
            unit="short",
            low=0,
            empty="not told",
            colours={"connected": colours.BLUE, "blocked": colours.RED, "new per second": colours.GREY},
        ),
    )


def pool() -> Panel:
    """redis-py's pools."""
    return lines(
        "Connections of the pools",
        says(
            "Connections of redis-py's pools in the chosen processes, by state.",
            "more idle than used: there is room for a burst.",
            "none idle and errors of kind `pool_exhausted`: raise `CACHE_MAX_CONNECTIONS`.",
        ),
        [
            Query(
                summed(foreign.POOL_CONNECTIONS + selected(), foreign.POOL_STATE),
                "{{" + foreign.POOL_STATE + "}}",
            )
        ],
        Look(
            unit="short",
            stacked=True,
            low=0,
            decimals=0,
            empty="no pool",
            colours={"idle": colours.SKY, "used": colours.BLUE},
        ),
    )


def connecting() -> Panel:
    """Time to connect."""
    chosen = selected()
    return lines(
        "Time to connect",
        says(
            "p50 and p95 of the time that a new connection of a pool took. Connections are made at a start, in a "
            "burst, "
            "and after trouble; between those there is nothing to show.",
            "a few milliseconds.",
            "slower: DNS, TLS, or a server that is too busy to accept.",
        ),
        [
            Query(
                f"histogram_quantile({share}, {queries.buckets(foreign.POOL_CREATE_TIME, chosen, window=RANGE)})", name
            )
            for name, share in (("p50", 0.5), ("p95", 0.95))
        ],
        Look(unit="s", low=0, empty="no new connection", colours=colours.QUANTILES),
    )


def failures() -> Panel:
    """Errors of the cache by kind, as on the overview."""
    return lines(
        "Errors of the cache by kind",
        says(
            "Operations per second of the chosen services that met trouble with the store, by its kind.",
            "a flat 0.",
            "`refused`, `timeout`: is it up, is the network? `breaker_open`: follows from those. `oom`: memory.",
        ),
        [
            Query(
                summed(queries.rate_of_all(schema.ERRORS), queries.ERROR),
                "{{" + queries.ERROR + "}}",
            )
        ],
        Look(
            unit="ops",
            low=0,
            up_to=0.1,
            colours=colours.of(colours.ERRORS),
            panel_links=[links.runbook("CacheStoreDown")],
            links=[
                links.traces(
                    "Traces of this error", tags={schema.ERROR_TYPE: "${__field.labels." + queries.ERROR + "}"}
                )
            ],
        ),
    )


def traffic() -> Panel:
    """Bytes over the network."""
    return lines(
        "Network",
        says(
            "Bytes per second that the store receives and sends.",
            "sent above received: values are read more often than written.",
            "received above sent: what is written is not read again. Is the hit rate low?",
        ),
        [
            Query(f"sum(rate({foreign.STORE_OUT}[{RATE}]))", "sent"),
            Query(f"sum(rate({foreign.STORE_IN}[{RATE}]))", "received"),
        ],
        Look(unit="Bps", low=0, empty="not told", colours={"sent": colours.GREEN, "received": colours.AMBER}),
    )


def cpu() -> Panel:
    """Processor time."""
    return lines(
        "Processor",
        says(
            "Share of one processor that the store uses, by kind of work.",
            "below 50 %.",
            "near 100 %: commands are executed one after another, so everybody waits. See the commands above.",
        ),
        [Query(f'sum by (state) (rate({foreign.STORE_CPU}{{state=~"sys|user"}}[{RATE}]))', "{{state}}")],
        Look(
            unit="percentunit",
            low=0,
            stacked=True,
            empty="not told",
            colours={"sys": colours.VIOLET, "user": colours.BLUE},
        ),
    )
