"""Runs: the root span of a workflow run sums up what the cache did for it, in threads and tasks too.

A run inside a run keeps its own sum and adds to the outer one's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider

from telemetry import schema
from telemetry.events import OperationEvent
from telemetry.vocabulary import Outcome


@dataclass(slots=True)
class Tally:
    """What the cache did during one run; safe for threads."""

    hits: int = 0
    misses: int = 0
    errors: int = 0
    time_saved_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, event: OperationEvent) -> None:
        """Add one operation."""
        with self._lock:
            self.hits += event.count(Outcome.HIT)
            self.misses += event.count(Outcome.MISS)
            self.errors += event.error is not None
            self.time_saved_s += event.avoided_s


_runs: ContextVar[tuple[Tally, ...]] = ContextVar("glasscache_runs", default=())


def add(event: OperationEvent) -> None:
    """Add an operation to every run that it happens in."""
    for tally in _runs.get():
        tally.add(event)


def tracer(provider: TracerProvider | None = None) -> Tracer:
    """Our tracer, from ``provider`` or the global one."""
    return trace.get_tracer(schema.SCOPE, tracer_provider=provider)


@contextmanager
def run(provider: TracerProvider | None = None, *, name: str = "workflow.run") -> Iterator[Tally]:
    """The span of a whole run; at its end it carries ``cache.run.*``.

    Example:
        >>> with run() as tally:
        ...     tally.hits
        0
    """
    tally = Tally()
    with tracer(provider).start_as_current_span(name) as span:
        token = _runs.set((*_runs.get(), tally))
        try:
            yield tally
        finally:
            _runs.reset(token)
            span.set_attributes(
                {
                    schema.RUN_HITS: tally.hits,
                    schema.RUN_MISSES: tally.misses,
                    schema.RUN_ERRORS: tally.errors,
                    schema.RUN_TIME_SAVED: tally.time_saved_s,
                }
            )


@contextmanager
def node(name: str, provider: TracerProvider | None = None) -> Iterator[None]:
    """The span of one node of a workflow; ``name`` is the node's, from the code."""
    with tracer(provider).start_as_current_span(f"workflow.node {name}"):
        yield
