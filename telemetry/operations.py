"""The ``with`` block of one operation: span, duration, numbers. It is on the path of every hit.

Where our own set-up traces, its span is a light one; where nothing is traced there is none; with
the providers of others it is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import time_ns
from types import TracebackType

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from telemetry import spans, tally
from telemetry.accounts import Account
from telemetry.buckets import Ids
from telemetry.current import KEY
from telemetry.events import OperationEvent
from telemetry.kit import Kit
from telemetry.light import LightSpan, Told, Undecided, Workshop
from telemetry.scopes import SpanScope, give_back
from telemetry.tally import Tally
from telemetry.vocabulary import Operation


class OperationSpan(LightSpan):
    """The span of an operation; what it says is made of the event, when the exporter asks."""

    account: Account
    event: OperationEvent
    kept: Told | None = None

    def told(self) -> Told:
        if self.kept is not None:
            return self.kept
        attributes = spans.start_attributes(self.event, self.account.category.name)
        return self.whole(attributes) if self.ended_ns else Told(self.account.span_name, attributes)

    def whole(self, attributes: dict[str, AttributeValue]) -> Told:
        """What it says at the end, beside what was known at its start."""
        attributes |= spans.end_attributes(self.event)
        return Told(self.account.span_name, attributes, _FAILED if self.event.failed else None)

    def keep(self) -> None:
        """Let go of an event that may be as long as its batch, for a summary of it or for what it will say."""
        if not self.event.rest:
            self.event = self.event.summary()
            return
        self.kept = self.whole(spans.start_attributes(self.event, self.account.category.name))
        del self.event


LEAVES = frozenset(Operation) - {
    Operation.GET_OR_COMPUTE,
    Operation.GET_OR_COMPUTE_MANY,
    Operation.WARM,
}
"""Operations that run nothing of the application's."""

_FAILED = Status(StatusCode.ERROR)
_UNTRACED = trace.INVALID_SPAN


class OperationScope(SpanScope):
    """One operation: span, duration, numbers."""

    __slots__ = ("_account", "_began", "_kit", "_since", "event")

    def __init__(self, kit: Kit, event: OperationEvent, since: float | None = None) -> None:
        # not the class above's: this is on the path of every hit
        self._kit, self.event = kit, event
        ledger = kit.ledger
        self._account = ledger.accounts.get((event.category, event.operation)) or ledger.account(
            event.category, event.operation
        )
        self._token, self._since = None, since

    def __enter__(self) -> OperationEvent:
        kit, event = self._kit, self.event
        if kit.pending:
            kit.settle()
        self.span = _UNTRACED
        if not kit.silent and not (kit.light.light and self._start_light(kit.light)):
            self._tracer, self._ledger = kit.tracer, kit.ledger
            account = self._account
            self.start(account.span_name, spans.start_attributes(event, account.category.name), started_ns=self._past())
        if self._since is not None:
            self._began = self._since
            return event
        # inside the span: what an exemplar calls slow, the span calls slow too, and its trace is kept
        self._began = kit.monotonic()
        return event

    def _past(self) -> int | None:
        """When it began, nanoseconds since the epoch; None when it begins now."""
        # no later than what its duration says
        return None if self._since is None else time_ns() - int((self._kit.monotonic() - self._since) * 1e9) - 1

    def _start_light(self, workshop: Workshop) -> bool:
        try:
            variable = workshop.variable
            current = variable.get()
            parent = current.get(KEY)
            ids = (workshop.leaf if self.event.operation in LEAVES else workshop.ids)(parent)
            if ids is None:
                return True
            if isinstance(ids, tuple):
                self.span = span = OperationSpan(workshop, ids, parent)
                span.account, span.event = self._account, self.event
                if self._since is not None:
                    span.started_ns = self._past() or span.started_ns
                attached = Context({**current, KEY: span})
            else:
                attached = Context({**current, KEY: ids})
            self._attached = attached
            self._token = variable.set(attached)
        except Undecided:
            return False
        except Exception:
            self.drop()
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        kit, event, span = self._kit, self.event, self.span
        duration_s = kit.monotonic() - self._began
        instruments, ids, end_ns, light = kit.instruments, None, 0, None
        if span is not _UNTRACED:
            # not isinstance: the spans' classes are abstract, and asking those takes long
            if type(span) is OperationSpan:
                light, end_ns = span, time_ns()
                if instruments.exemplars:
                    ids = (end_ns, *light.ids[:2])
            elif instruments.exemplars:
                ids = self._ids()
        kit.ledger.apply(event, duration_s, self._account, ids)
        runs = tally.running()
        if runs or instruments.recorded:
            self._record(duration_s, runs)
        if span is not _UNTRACED and (light is None or not self._closed(light, end_ns)):
            self._end_real(span, kind)
            return
        token, self._token = self._token, None
        if token is None:
            return
        if kind is not None or light is None:
            give_back(token, self._attached, abandoned=kind is GeneratorExit)
            return
        try:
            token.var.reset(token)
        except (ValueError, RuntimeError):
            # another context than the one it was taken in
            return

    def _record(self, duration_s: float, runs: Iterable[Tally]) -> None:
        """Tell those who do not read the ledger."""
        try:
            for sums in runs:
                sums.add(self.event, duration_s, self._account.category.name, self._kit.runs)
            if self._kit.instruments.recorded:
                self._kit.instruments.record(self.event, self._account.category.name, duration_s)
        except Exception:
            self.drop()

    def _end_real(self, span: Span, kind: type[BaseException] | None) -> None:
        try:
            if span.is_recording():
                span.set_attributes(spans.end_attributes(self.event))
                if self.event.failed:
                    span.set_status(_FAILED)
        except Exception:
            self.drop()
        self.finish(kind)

    def _closed(self, span: OperationSpan, end_ns: int) -> bool:
        """End a light span; False when it is to be ended the ordinary way."""
        try:
            if self.event.batch_size is not None:
                # before the exporter has it
                span.keep()
            return span.close(end_ns)
        except Exception:
            self.drop()
            return True

    def _ids(self) -> Ids | None:
        """Of a span that is not light, when it is sampled."""
        try:
            context = self.span.get_span_context()
            return (time_ns(), context.trace_id, context.span_id) if context.trace_flags.sampled else None
        except Exception:
            self.drop()
            return None

    def drop(self) -> None:
        """Count a fault of the telemetry."""
        self._kit.ledger.drop()
