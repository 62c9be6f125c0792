"""The spans of a workflow: its run, whose span sums up what the cache did for it, and its nodes.

Every operation in the run is counted, in threads and tasks that copied its context too. The sum
of a run is inclusive: a run inside a run keeps its own and adds to the outer one's. Its id goes to
other processes as W3C baggage, by whatever carries that there (``opentelemetry.propagate.inject``).
"""

from __future__ import annotations

import contextvars
import os
import time
from collections.abc import Mapping
from types import TracebackType

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Tracer, TracerProvider
from opentelemetry.util.types import AttributeValue

from telemetry import carried, schema, tally
from telemetry.critical_path import critical_path
from telemetry.recorder import Recorder
from telemetry.run_ring import RunRecord
from telemetry.scopes import SpanScope, give_back, mark_failed
from telemetry.steps import Part, word
from telemetry.tally import Level, Tally

Source = Recorder | Tracer | TracerProvider | None
"""Where spans come from: a recorder's provider, a tracer, a provider, or (None) the global one."""


def run(source: Source = None, name: str = schema.RUN_SPAN, *, carrier: Mapping[str, str] | None = None) -> RunScope:
    """The span of a whole run; gives its sums, which its span carries as ``cache.run.*`` at the end.

    Args:
        source: where its span comes from.
        name: of its span; a word from the code, never from the input.
        carrier: headers of a request that another process's run made, whose part this is; None: as the current
            context says.

    Example:
        >>> with run() as sums:
        ...     sums.hits
        0
    """
    return RunScope(source, name, carrier)


def node(name: str, source: Source = None) -> NodeScope:
    """The span of one node of a workflow.

    Args:
        name: the node's, from the code.
        source: where its span comes from.
    """
    return NodeScope(source, name)


def tracer(source: Source = None) -> Tracer:
    """Our tracer, from ``source``; one that records nothing when there is none to be had."""
    if isinstance(source, Recorder):
        return source.tracer
    if isinstance(source, Tracer):
        return source
    try:
        return trace.get_tracer(schema.SCOPE, tracer_provider=source)
    except Exception:
        return NoOpTracer()


class NodeScope:
    """A span that is current inside its ``with``; an error that leaves it is named by its class alone."""

    def __init__(self, source: Source, name: str) -> None:
        self._scope = SpanScope(tracer(source))
        self._name = name
        self._level: Level | None = None

    def __enter__(self) -> None:
        self._scope.start(schema.node_span(self._name), {})
        self._level = _level(self._name, "node")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._level is not None:
            self._level.leave()
        with self._scope.guarded():
            if isinstance(error, Exception):
                mark_failed(self._scope.span, error)
        self._scope.finish(kind)


def _level(name: str, other: str) -> Level | None:
    """A step of the run that this happens in, when there is one."""
    runs = tally.running()
    return Level(Part.APPLICATION, word(name, other), runs) if runs else None


class RunScope:
    """The root span of a run and its sums."""

    def __init__(self, source: Source, name: str, carrier: Mapping[str, str] | None = None) -> None:
        self._scope = SpanScope(tracer(source))
        self._name, self._carrier = name, carrier
        self._run_id = ""
        self._baggage: tuple[contextvars.Token[Context], Context] | None = None
        self._level: Level | None = None

    def __enter__(self) -> Tally:
        parent = None
        with self._scope.guarded():
            parent = propagate.extract(self._carrier) if self._carrier is not None else None
        self._began = time.time()
        self._scope.start(self._name, {}, parent=parent)
        with self._scope.guarded():
            self._name_run()
        self._level = _level(self._name, "run")
        self._tally = Tally()
        self._token = tally.enter(self._tally)
        return self._tally

    def _name_run(self) -> None:
        """Take the id of the run that this is a part of, or begin one, for all that is called from here."""
        known, ids = carried.run_id(), self._scope.span.get_span_context()
        self._run_id = known or (f"{ids.trace_id:032x}" if ids.is_valid else carried.new_run_id())
        if known is None:
            attached = carried.with_run_id(self._run_id)
            self._baggage = context.attach(attached), attached

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        tally.leave(self._token)
        seconds = self._tally.elapsed()
        if self._level is not None:
            self._level.leave()
        with self._scope.guarded():
            record = self._record(seconds, isinstance(error, Exception))
            self._scope.span.set_attributes(attributes(record))
            for keeper in self._tally.keepers:
                keeper.add(record)
            if isinstance(error, Exception):
                mark_failed(self._scope.span, error)
        if self._baggage is not None:
            give_back(*self._baggage, abandoned=kind is GeneratorExit)
        self._scope.finish(kind)

    def _record(self, seconds: float, failed: bool) -> RunRecord:
        sums, ids = self._tally, self._scope.span.get_span_context()
        steps = tuple(sums.steps())
        return RunRecord(
            run_id=self._run_id,
            trace_id=f"{ids.trace_id:032x}" if ids.is_valid else "",
            span_id=f"{ids.span_id:016x}" if ids.is_valid else "",
            name=word(self._name, "run"),
            began=self._began,
            seconds=seconds,
            failed=failed,
            hits=sums.hits,
            misses=sums.misses,
            errors=sums.errors,
            waits=sums.waits,
            reasons=dict(sums.reasons),
            saved_s=sums.time_saved_s,
            cache_s=sums.cache_s,
            compute_s=sums.compute_s,
            wait_s=sums.wait_s,
            critical=critical_path(steps, seconds),
            steps=steps,
            left_out=sums.left_out,
            process=os.getpid(),
        )


def attributes(run: RunRecord) -> dict[str, AttributeValue]:
    """What a run's span says at its end."""
    said: dict[str, AttributeValue] = {
        schema.RUN_HITS: run.hits,
        schema.RUN_MISSES: run.misses,
        schema.RUN_ERRORS: run.errors,
        schema.RUN_TIME_SAVED: run.saved_s,
        schema.RUN_ID: run.run_id,
        schema.RUN_WAITS: run.waits,
        schema.RUN_TIME_IN_CACHE: run.cache_s,
        schema.RUN_TIME_IN_COMPUTE: run.compute_s,
        schema.RUN_TIME_IN_WAIT: run.wait_s,
        schema.RUN_CRITICAL_STEPS: run.critical.named(),
    }
    said |= {f"{schema.RUN_MISS_REASON}.{reason.value}": n for reason, n in run.reasons.items()}
    return said | {f"{schema.RUN_CRITICAL}.{part.value}": run.critical.seconds(part) for part in Part}
