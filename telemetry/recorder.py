"""The recorder: one context manager per operation that makes the span, the event and the numbers.

Nothing here raises into the caller: a fault of the telemetry is counted as dropped, and the
ledger has its event all the same. OpenTelemetry API only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider, NoOpMeter
from opentelemetry.trace import NoOpTracer, Span, SpanContext, Tracer, TracerProvider

from telemetry import at_once, events, local, schema
from telemetry.events import OperationEvent
from telemetry.instruments import Instruments
from telemetry.kit import Kit
from telemetry.ledger import Ledger
from telemetry.local import LocalAccounts
from telemetry.operations import OperationScope
from telemetry.run_ring import RunRing
from telemetry.scopes import ComputeScope, RefreshScope, WaitScope
from telemetry.verifying import VerifyScope
from telemetry.vocabulary import GENERAL, BreakerState, FlightScope, Operation


class Recorder:
    """Makes one event of every operation.

    One recorder for a meter provider: two that share one would both claim its series.

    Args:
        tracer_provider: the application's; None takes the global one, set now or later, or none at all.
        meter_provider: likewise.
        ledger: the accounts; None begins new ones.
        monotonic: the clock of durations, seconds.
        runs: keeps the last runs that something of was recorded here, with their steps; None makes one, and one of no
            runs keeps none.

    Attributes:
        now: that clock.
        runs: the last runs.
        waits: who waited for whom longest.
        hit_at_once: records an operation that was answered while nothing ran that could look at it (``at_once``):
            takes account, beginning by ``now``, SHA-256 of the key, what was served and, where Redis answered, the
            command; False when nothing was recorded, for it can only be recorded the ordinary way.

    Example:
        >>> from telemetry.vocabulary import Operation, Outcome
        >>> recorder = Recorder()
        >>> with recorder.operation("context", Operation.GET) as event:
        ...     event.looked(Outcome.HIT)
        >>> recorder.ledger.figures().requests.total()
        1
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        ledger: Ledger | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
        runs: RunRing | None = None,
    ) -> None:
        self.ledger = ledger if ledger is not None else Ledger()
        self.local = LocalAccounts()
        self.tracer = self._tracer(tracer_provider)
        self.runs = RunRing() if runs is None else runs
        kept = self.runs if self.runs.most_runs else None
        self._kit = Kit(self.tracer, self._instruments(meter_provider), self.ledger, monotonic, kept)
        self.waits = self._kit.waits
        # no methods around them: they are on the path of every hit
        self.now, self.hit_at_once = monotonic, partial(at_once.record, self._kit)

    def _tracer(self, provider: TracerProvider | None) -> Tracer:
        try:
            return trace.get_tracer(schema.SCOPE, tracer_provider=provider)
        except Exception:
            self.ledger.drop()
            return NoOpTracer()

    def _instruments(self, provider: MeterProvider | None) -> Instruments:
        try:
            meter = metrics.get_meter(schema.SCOPE, meter_provider=provider)
            local.register(meter, self.local, self.ledger.drop)
            return Instruments(meter, self.ledger)
        except Exception:
            self.ledger.drop()
            return Instruments(NoOpMeter(schema.SCOPE), self.ledger)

    def register_category(self, name: str, ttl_s: float | None = None) -> None:
        """Count a category under its own name and begin its series at zero; from the 17th on it is ``other``.

        Args:
            ttl_s: what its policy promises, seconds, shown as ``cache.policy.ttl``.
        """
        self.ledger.register_category(name, ttl_s)

    def operation(
        self,
        category: str,
        operation: Operation,
        *,
        digest: str | None = None,
        batch_size: int | None = None,
        began: float | None = None,
    ) -> OperationScope:
        """Record what happens inside the ``with``; gives the event to fill in.

        Args:
            digest: first 16 hex of the key's SHA-256, for the span only.
            batch_size: how many keys; None for a single one.
            began: when it began, by the recorder's clock; None is now.
        """
        return OperationScope(self._kit, OperationEvent(category, operation, digest, batch_size), began)

    def compute(self, event: OperationEvent) -> ComputeScope:
        """Record the caller's computation, under a span of its own."""
        return ComputeScope(self._kit, event)

    def wait(
        self, event: OperationEvent, scope: FlightScope, leader: Span | SpanContext | None, digest: str | None = None
    ) -> WaitScope:
        """Record the wait for another caller's computation; links to its span.

        Args:
            leader: its span; None where that is not known, or not yet (``WaitScope.follows``).
            digest: first 16 hex of the key's SHA-256; None takes the operation's.
        """
        context = leader if isinstance(leader, SpanContext) else self._context(leader)
        return WaitScope(self._kit, event, scope, context, digest)

    def refresh(self, category: str, cause: SpanContext | None) -> RefreshScope:
        """A root span for a background refresh, linked to what caused it."""
        return RefreshScope(self._kit, category, cause)

    def verify(self, category: str, digest: str, cause: SpanContext | None) -> VerifyScope:
        """A root span for a hit that is computed again, linked to what caused it.

        Args:
            digest: first 16 hex of the key's SHA-256.
        """
        return VerifyScope(self._kit, category, digest, cause)

    def breaker(self, store: str, state: BreakerState) -> None:
        """Note the state of a store's breaker; the same state again is no transition."""
        self.ledger.breaker(store, state)

    def current_span_context(self) -> SpanContext | None:
        """Of the span that is current; None without a valid one."""
        return self._context(self.current_span())

    def current_span(self) -> Span | None:
        """The span that is current: for who may follow, which costs less than its context and is seldom looked at."""
        try:
            return trace.get_current_span()
        except Exception:
            self.ledger.drop()
            return None

    def current_trace(self) -> int:
        """Trace id of the span that is current; 0 where that is not sampled, or there is none."""
        context = self._context(self.current_span())
        return context.trace_id if context is not None and context.trace_flags.sampled else 0

    def _context(self, span: Span | None) -> SpanContext | None:
        try:
            found = span.get_span_context() if span is not None else None
        except Exception:
            self.ledger.drop()
            return None
        return found if found is not None and found.is_valid else None

    def count_hit(self, category: str = GENERAL) -> None:
        """Count a hit of a cache of the application's own; makes no span."""
        self.ledger.count(events.counted_hit(category))

    def count_miss(self, category: str = GENERAL) -> None:
        """Count a miss of a cache of the application's own; makes no span."""
        self.ledger.count(events.counted_miss(category))

    def count_set(self, category: str = GENERAL) -> None:
        """Count a write of a cache of the application's own; makes no span."""
        self.ledger.count(events.counted_set(category))

    def count_delete(self, category: str = GENERAL) -> None:
        """Count a key removed from a cache of the application's own; makes no span."""
        self.ledger.count(events.counted_delete(category))

    def count_error(self, category: str = GENERAL) -> None:
        """Count an error of a cache of the application's own; makes no span."""
        self.ledger.count(events.counted_error(category))
