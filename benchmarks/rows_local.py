"""Hits in the local tier: µs with and without a sampled span, the decorator, and the system calls that a hit makes.

A hit of two microseconds cannot be paced one by one: it is timed in bursts of 20 with pauses between them, so that
the exporter's thread works as it does for the others. There is no base: redis-py has no such tier.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from benchmarks.cases import case
from benchmarks.crew import Bench, Hand, WorkerError
from benchmarks.local_tier import CALLS, LOCAL, MARKS, there
from benchmarks.method import Estimate, estimate
from benchmarks.paces import burst
from benchmarks.place import ROOT
from benchmarks.report import Row, row, single, void

BURST, PAUSE_S = 20, 0.01
RUN, REST_S = 500, 0.2
"""Calls one after the other, with a rest in which the exporter empties its queue."""

TITLES = {"hit": "local hit", "cached": "@cached function, local hit"}


def local(bench: Bench) -> Iterator[Row]:
    """All rows of the local tier; none where there is none yet."""
    if not there():
        return
    raw = case("json200").raw
    decode = estimate([burst(lambda: orjson.loads(raw), BURST) for _ in range(200)])
    yield row("local/decode", "one decode of 200 B of JSON", decode, "µs")
    for state in ("unsampled", "sampled", "absent"):
        (hand,) = bench.crew([(LOCAL.name, state, {})])
        for name, title in TITLES.items():
            try:
                yield from _hits(bench, hand, name, decode)
            except WorkerError as error:
                yield void(f"local/{name}/{state}", f"{title}, {state}", str(error))
    yield _system_calls(bench)


def _hits(bench: Bench, hand: Hand, name: str, decode: Estimate) -> Iterator[Row]:
    hand.ask("open", job=name, name="json200", url=bench.server.url)
    for how, count, size, pause_s in (
        ("", bench.rounds(500, 100), BURST, PAUSE_S),
        ("/run", bench.rounds(30, 8), RUN, REST_S),
    ):
        hand.account()
        took = estimate(hand.ask("bursts", count=count, size=size, pause_s=pause_s)["took"])
        account = hand.account()
        own, calls = account["spans"].get("glasscache", 0), account["calls"]
        reason = f"{account['dropped']} spans or events were dropped" if account["dropped"] else ""
        if hand.state == "sampled" and own != calls:
            reason = reason or f"{calls} calls, but {own} spans"
        beside = Estimate(took.value - decode.value, took.low - decode.value, took.high - decode.value, took.rounds)
        title = f"{TITLES[name]}{', one after the other' if how else ''}, {hand.state}, beside one decode"
        yield row(f"local/{name}{how}/{hand.state}", title, beside, "µs", void=reason, whole_us=took.value)


def _system_calls(bench: Bench) -> Row:
    """System calls of the hitting thread for each hit, as strace counts them between two marks."""
    name, title = "local/syscalls", "system calls of a local hit"
    tracer = shutil.which("strace")
    if tracer is None:
        return void(name, title, "strace is not installed here")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "trace")
        command = [tracer, "-ff", "-o", str(log), sys.executable, "-m", "benchmarks.local_tier", bench.server.url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            return void(name, title, f"strace ended with {done.returncode}")
        made = counted(Path(f"{log}.{json.loads(done.stdout)['thread']}").read_text().splitlines())
    return single(name, title, round(made / CALLS, 3), "calls", total=made)


def counted(lines: Sequence[str]) -> int:
    """Lines of a trace between the two marks.

    Raises:
        ValueError: a mark is not there.
    """
    found = [next((n for n, line in enumerate(lines) if mark in line), -1) for mark in MARKS]
    if min(found) < 0:
        raise ValueError("the trace has no marks")
    return found[1] - found[0] - 1
