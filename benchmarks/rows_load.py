"""The second table: CPU of the whole process a hit, and throughput: saturated, by 64 tasks, by 16 threads.

The clock of the saturated rows stops when the exporter has sent everything, so that no work is left for later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.crew import Bench, Hand, Replies
from benchmarks.method import estimate, paired
from benchmarks.peers import HAND, PEERS, version
from benchmarks.report import Row, row
from benchmarks.rows_hits import BARE, Team, audited, open_jobs, team
from benchmarks.states import STATES

LIMIT = 4000
"""Calls of one slice: half of what the queue of spans holds, so that a fast contender drops none."""

TASKS, THREADS = 64, 16


def saturated(bench: Bench) -> Iterator[Row]:
    """One call after the other: CPU a hit and hits a second, of ours in each state and of the peers."""
    peers: Team = [(who, "sampled") for who in (HAND, *PEERS) if who is HAND or version(who.name)]
    crowd = [BARE, *team(STATES), *[(who, state) for who, state in peers if "json200" in who.cases]]
    name = "json200"
    hands, titles = _opened(bench, "hit", name, crowd)
    working = [found for found in hands if isinstance(found, Hand)]
    seconds = 0.08 if bench.quick else 0.1
    replies = bench.interleaved(working, bench.rounds(30, 6), "flood", seconds=seconds, limit=LIMIT)
    bases = replies[working[0].service]
    cpu, rate = [each["cpu"] for each in bases], [each["per_s"] for each in bases]
    yield row(f"load/{name}/base/cpu", "CPU a hit: bare redis-py", estimate(cpu), "µs")
    yield row(f"load/{name}/base/rate", "saturated: bare redis-py", estimate(rate), "/s")
    for hand in working[1:]:
        reason, spans = audited(hand, replies)
        mine = replies[hand.service]
        title = f"{titles[hand.name]}, {hand.state}"
        used, made = [each["cpu"] for each in mine], [each["per_s"] for each in mine]
        detail: dict[str, Any] = {"us": estimate(used).value, "p50_us": estimate([each["p50"] for each in mine]).value}
        yield row(
            f"load/{name}/cpu/{hand.name}/{hand.state}",
            f"CPU a hit: {title}",
            paired(cpu, used),
            void=reason,
            spans_per_call=spans,
            **detail,
        )
        yield row(
            f"load/{name}/rate/{hand.name}/{hand.state}",
            f"saturated: {title}",
            paired(rate, made),
            void=reason,
            per_s=estimate(made).value,
        )
    yield from (found for found in hands if isinstance(found, Row))


def tasks(bench: Bench) -> Iterator[Row]:
    """64 tasks of one event loop, against redis.asyncio."""
    yield from _many_at_a_time(bench, "tasks", "async", {"tasks": TASKS}, "crowd")


def threads(bench: Bench) -> Iterator[Row]:
    """16 threads, against redis-py with its pool."""
    yield from _many_at_a_time(bench, "threads", "hit", {"threads": THREADS}, "threads")


def _many_at_a_time(bench: Bench, group: str, job: str, how: dict[str, int], do: str) -> Iterator[Row]:
    hands, titles = _opened(bench, job, "json200", [BARE, *team(("unsampled", "sampled"), plain=True)])
    working = [found for found in hands if isinstance(found, Hand)]
    seconds = 0.15 if bench.quick else 0.25
    replies = bench.interleaved(working, bench.rounds(30, 6), do, **how, seconds=seconds, limit=LIMIT)
    yield from _base(group, replies, working[0])
    for hand in working[1:]:
        yield from _crowded(group, replies, working[0], hand, titles[hand.name])
    yield from (found for found in hands if isinstance(found, Row))


def _base(group: str, replies: Replies, base: Hand) -> Iterator[Row]:
    title = {"tasks": "64 tasks: redis.asyncio", "threads": "16 threads: redis-py with a pool"}[group]
    bases = replies[base.service]
    detail: dict[str, Any] = {f"{name}_us": estimate([each[name] for each in bases]).value for name in ("p50", "p99")}
    yield row(f"{group}/json200/base", title, estimate([each["per_s"] for each in bases]), "/s", **detail)


def _crowded(group: str, replies: Replies, base: Hand, hand: Hand, title: str) -> Iterator[Row]:
    """Throughput against the base's, and the slowest hundredth against the base's median."""
    reason, spans = audited(hand, replies)
    bases, mine = replies[base.service], replies[hand.service]
    what = f"{TASKS} tasks" if group == "tasks" else f"{THREADS} threads"
    rates = [each["per_s"] for each in bases], [each["per_s"] for each in mine]
    detail: dict[str, Any] = {f"{name}_us": estimate([each[name] for each in mine]).value for name in ("p50", "p99")}
    yield row(
        f"{group}/json200/throughput/{hand.name}/{hand.state}",
        f"{what}, throughput: {title}, {hand.state}",
        paired(*rates),
        void=reason,
        per_s=estimate(rates[1]).value,
        spans_per_call=spans,
        **detail,
    )
    slowest = paired([each["p50"] for each in bases], [each["p99"] for each in mine])
    name, told = f"{group}/json200/p99/{hand.name}/{hand.state}", f"{what}, p99 to its p50: {title}, {hand.state}"
    yield row(name, told, slowest, void=reason)


def _opened(bench: Bench, job: str, name: str, who: Team) -> tuple[list[Hand | Row], dict[str, str]]:
    hands, titles = open_jobs(bench, job, name, bench.server.url, who)
    for hand in hands:
        if isinstance(hand, Hand):
            hand.account()
    return hands, titles
