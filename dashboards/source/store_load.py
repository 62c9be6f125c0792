"""Panels about what the store is asked to do and by whom: commands, clients, connections, network, processor."""

from __future__ import annotations

from dashboards.source import colours, foreign, links, queries
from dashboards.source.looks import Look, Query, says
from dashboards.source.panels import Panel, lines
from dashboards.source.queries import RANGE, RATE, selected, summed


def commands() -> Panel:
    """Commands by name."""
    return lines(
        "Commands by name",
        says(
            "Commands per second by name, the six most frequent.",
            "`mget` for reads, `evalsha` for fenced writes.",
            "`scan`, `keys`: patterns are invalidated often. `eval`: scripts were lost in a restart, and are sent "
            "anew.",
        ),
        [Query(f"topk(6, sum by (cmd) (rate({foreign.STORE_COMMAND_CALLS}[{RATE}])))", "{{cmd}}")],
        Look(unit="ops", low=0, right=True, calcs=["lastNotNull"], empty="not told"),
    )


def time_of_commands() -> Panel:
    """Time that the server spends on a call."""
    spent = f"sum by (cmd) (rate({foreign.STORE_COMMAND_MICROSECONDS}[{RATE}]))"
    calls = f"(sum by (cmd) (rate({foreign.STORE_COMMAND_CALLS}[{RATE}])) > 0)"
    return lines(
        "Time of the server for a call",
        says(
            "Mean time that the store itself works on a call, by command, the six slowest; without network and "
            "queueing.",
            "microseconds: tens for `mget`, a little more for scripts.",
            "milliseconds: large values, huge batches, or a swapping machine.",
        ),
        [Query(f"topk(6, {spent} / {calls})", "{{cmd}}")],
        Look(unit="µs", low=0, right=True, calcs=["lastNotNull", "max"], empty="not told"),
    )


def latency() -> Panel:
    """Latency as the server measures it."""
    return lines(
        "Latency by the server's own count",
        says(
            "p50 and p99 of each command since the server started, as it counts them itself, the six highest.",
            "below a millisecond.",
            "it never forgets: compare with the panel beside, which shows the present.",
        ),
        [
            Query(
                f'topk(6, max by (cmd, percentile) ({foreign.STORE_COMMAND_LATENCY}{{percentile=~"p50|p99"}}))',
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
