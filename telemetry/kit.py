"""What the scopes of one recorder share: tracer, instruments, ledger, clock, and what of them is in force.

OpenTelemetry API only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import _internal as _metrics
from opentelemetry.trace import NoOpTracer, ProxyTracer, Tracer

from telemetry import schema
from telemetry.instruments import Instruments
from telemetry.ledger import Ledger
from telemetry.light_tracer import LightTracer
from telemetry.run_ring import RunRing
from telemetry.waits import Waits


class Kit:
    """What the scopes of one recorder share.

    Args:
        tracer: of the application's provider; one that stands in until a provider is set is followed.
        monotonic: the clock of durations, seconds.
        runs: keeps the runs that end; None keeps none.
    """

    __slots__ = ("instruments", "ledger", "light", "monotonic", "pending", "runs", "silent", "tracer", "waits")

    def __init__(
        self,
        tracer: Tracer,
        instruments: Instruments,
        ledger: Ledger,
        monotonic: Callable[[], float],
        runs: RunRing | None = None,
    ) -> None:
        self.tracer, self.instruments, self.ledger, self.monotonic = tracer, instruments, ledger, monotonic
        self.runs, self.waits = runs, Waits()
        self.silent, self.light = True, _NO_WORKSHOP
        """``silent``: nothing is traced. ``light``: makes spans that cost little, where that can be."""
        self.pending = True
        """True while a provider may yet be set."""
        self._try()

    def settle(self) -> None:
        """Find out what records; asked again for each operation as long as that is open."""
        if _anybody():
            self._try()

    def _try(self) -> None:
        try:
            self._settle()
        except Exception:
            self.ledger.drop()

    def _settle(self) -> None:
        tracer = self.tracer
        # the API has no public name for whether a provider is set; asking for it may read the environment
        unset = isinstance(tracer, ProxyTracer) and getattr(trace, "_TRACER_PROVIDER", self) is None
        if unset and self.instruments.waits():
            return
        self.instruments.settle()
        if unset:
            return
        if isinstance(tracer, ProxyTracer):
            tracer = trace.get_tracer(schema.SCOPE)
        self.silent = isinstance(tracer, NoOpTracer)
        if isinstance(tracer, LightTracer):
            self.light = tracer.workshop
        self.pending = self.instruments.pending


def _anybody() -> bool:
    """False while nobody has set a provider; the API has no public name for that, and asking for one may set it."""
    traces, metrics = getattr(trace, "_TRACER_PROVIDER", True), getattr(_metrics, "_METER_PROVIDER", True)
    return traces is not None or metrics is not None


class _NoWorkshop:
    """Stands where spans are not light."""

    light = False


_NO_WORKSHOP: Any = _NoWorkshop()
