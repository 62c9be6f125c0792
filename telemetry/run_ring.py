"""The last runs of a process: their sums and their steps, so many runs, so many bytes and no more."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any

from telemetry.critical_path import CriticalPath
from telemetry.steps import Step
from telemetry.vocabulary import MissReason

MOST_RUNS = 64
"""Runs that are kept."""

MOST_BYTES = 4 << 20
"""What they may take together; a run of the most steps takes a tenth of it."""

BYTES_A_STEP, BYTES_A_RUN = 640, 4096
"""Upper bounds of what a step and a run without its steps take; a test holds them against what Python allocates."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run that has ended.

    Args:
        run_id: 32 hex; the same in all processes that took part.
        trace_id: 32 hex; empty where nothing is traced.
        span_id: 16 hex of the run's span; likewise.
        name: of its span.
        began: seconds since the epoch.
        failed: True when an error left it.
        saved_s: seconds that its hits would have cost.
        cache_s, compute_s, wait_s: seconds by whose they are, over all threads and tasks; see ``Tally``.
        left_out: steps that were summed only.
        process: id of the process.
    """

    run_id: str
    trace_id: str
    span_id: str
    name: str
    began: float
    seconds: float
    failed: bool
    hits: int
    misses: int
    errors: int
    waits: int
    reasons: dict[MissReason, int]
    saved_s: float
    cache_s: float
    compute_s: float
    wait_s: float
    critical: CriticalPath
    steps: tuple[Step, ...]
    left_out: int
    process: int

    def summary(self) -> dict[str, Any]:
        """What a list of runs shows."""
        plain = (
            "run_id", "trace_id", "span_id", "name", "began", "seconds", "failed", "hits", "misses", "errors", "waits",
            "saved_s", "cache_s", "compute_s", "wait_s", "left_out", "process",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in plain}
        reasons = {reason.value: n for reason, n in sorted(self.reasons.items())}
        return {**found, "miss_reasons": reasons, "critical_path": self.critical.as_dict()}

    def whole(self) -> dict[str, Any]:
        """The same with its steps, in the order of time."""
        return {**self.summary(), "steps": [step.as_dict() for step in sorted(self.steps, key=_began)]}

    def size(self) -> int:
        """Bytes that it takes at most."""
        return BYTES_A_RUN + BYTES_A_STEP * len(self.steps)


def _began(step: Step) -> float:
    return step.began_s


class RunRing:
    """The last runs; safe for threads, empty in a forked child.

    Args:
        most_runs: how many are kept; 0: none, and no steps of theirs.
        most_bytes: what they may take together; the last one is kept whatever it takes.
    """

    def __init__(self, most_runs: int = MOST_RUNS, most_bytes: int = MOST_BYTES) -> None:
        self.most_runs, self._most_bytes = most_runs, most_bytes
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin_anew)
            os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._runs: deque[RunRecord] = deque()
        self._bytes = 0

    def add(self, run: RunRecord) -> None:
        """Keep a run; the oldest ones make room for it."""
        with self._lock:
            self._runs.append(run)
            self._bytes += run.size()
            while len(self._runs) > 1 and (len(self._runs) > self.most_runs or self._bytes > self._most_bytes):
                self._bytes -= self._runs.popleft().size()

    def last(self, most: int = MOST_RUNS) -> list[RunRecord]:
        """The last runs, the newest first."""
        with self._lock:
            kept = list(self._runs)
        return kept[::-1][:most]

    def find(self, run_id: str) -> list[RunRecord]:
        """The runs of an id, be it a run's or a trace's: one for each part of it in this process, the first first."""
        return [run for run in reversed(self.last()) if run_id and run_id in (run.run_id, run.trace_id)]

    def size(self) -> int:
        """Bytes that all of them take at most."""
        with self._lock:
            return self._bytes
