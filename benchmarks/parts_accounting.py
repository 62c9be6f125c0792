"""What the accounting of one operation costs: a hit's span, event and numbers, and the span of its Redis command.

Three states, each in a process of its own: no SDK, our set-up with traces that are not sampled, and
with sampled ones whose exporter works behind its queue. Every figure is the median of differences to
an empty loop beside it, so that what the machine does meanwhile falls out:

    python -m benchmarks.parts_accounting [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

STATES = ("none", "unsampled", "sampled")
BATCH = 500
"""Operations between two readings of the clock."""


def hit(recorder: Any) -> Callable[[], None]:
    """The accounting of a hit, as ``cache/core/lookups.py`` does it."""
    from telemetry.vocabulary import Operation, Outcome, Tier

    def once() -> None:
        with recorder.operation("context", Operation.GET, digest="0123456789abcdef") as event:
            event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=3.0, cost_s=0.5)
            event.ttl_s = 60.0

    return once


def command() -> Callable[[], None]:
    """The span of a command of a driver of our own."""
    from telemetry.commands import command_spans

    spans = command_spans(database=0, address="/tmp/s", port=None, dropped=lambda: None)
    args = [("GET", "k")]

    def once() -> None:
        span = spans.start(args)
        if span is not None:
            span.finish(None, b"v")

    return once


def applied(recorder: Any) -> Callable[[], None]:
    """The ledger's part of it alone."""
    from telemetry.events import OperationEvent
    from telemetry.vocabulary import Operation, Outcome, Tier

    event = OperationEvent("context", Operation.GET)
    event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=3.0, cost_s=0.5)
    ledger = recorder.ledger
    account = ledger.account("context", Operation.GET) if hasattr(ledger, "account") else None
    if account is None:
        return lambda: ledger.apply(event, 0.0001)
    return lambda: ledger.apply(event, 0.0001, account)


def nothing() -> None:
    """What the loop costs by itself."""


def seconds(once: Callable[[], None]) -> float:
    """Of one batch, by the thread's own clock: what the exporter's thread does is not the caller's."""
    began = time.thread_time()
    for _ in repeat(None, BATCH):
        once()
    return time.thread_time() - began


def measured(parts: dict[str, Callable[[], None]], rounds: int, between: Callable[[], None]) -> dict[str, float]:
    """Microseconds of one operation of each part."""
    found: dict[str, list[float]] = {name: [] for name in parts}
    for once in parts.values():
        seconds(once)
    for _ in range(rounds):
        for name, once in parts.items():
            found[name].append(seconds(once) - seconds(nothing))
            between()
    return {name: statistics.median(values) / BATCH * 1e6 for name, values in found.items()}


def in_state(state: str, rounds: int) -> dict[str, float]:
    """The parts in one state, in this process."""
    between: Callable[[], None] = nothing
    if state != "none":
        import telemetry

        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
        os.environ["OTEL_TRACES_SAMPLER"] = "parentbased_always_on" if state == "sampled" else "parentbased_always_off"
        handle = telemetry.setup(environ=environ)
        provider: Any = handle.tracer_provider
        # the queue is emptied outside of what is measured, without a Collector
        for processor in provider._active_span_processor._span_processors:
            batch = processor._batch_processor
            batch._max_export_batch_size = 1 << 30
            between = batch._queue.clear
    from opentelemetry import context, trace

    from telemetry.recorder import Recorder

    recorder = Recorder()
    if state == "unsampled":
        flags = trace.SpanContext(1 << 90, 1 << 60, is_remote=False)
        context.attach(trace.set_span_in_context(trace.NonRecordingSpan(flags)))
    parts = {"operation": hit(recorder), "command": command(), "ledger": applied(recorder)}
    return measured(parts, rounds, between)


def main(argv: list[str]) -> int:
    """Print the table; ``argv`` is the number of rounds, or a state to be measured in this process."""
    if argv[:1] and argv[0] in STATES:
        print(json.dumps(in_state(argv[0], int(argv[1]))))
        return 0
    rounds = int(argv[0]) if argv else 60
    print(f"{'µs per operation':18}" + "".join(f"{name:>12}" for name in ("operation", "command", "ledger")))
    for state in STATES:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.parts_accounting", state, str(rounds)],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{state:18}" + "".join(f"{value:12.2f}" for value in found.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
