"""The spans of a workflow: its run, whose span sums up what the cache did for it, and its nodes.

Every operation in the run is counted, in threads and tasks that copied its context too. The sum
of a run is inclusive: a run inside a run keeps its own and adds to the outer one's.
"""

from __future__ import annotations

from types import TracebackType

from opentelemetry import trace
from opentelemetry.trace import NoOpTracer, Tracer, TracerProvider

from telemetry import schema, tally
from telemetry.recorder import Recorder
from telemetry.scopes import SpanScope, mark_failed
from telemetry.tally import Tally

Source = Recorder | Tracer | TracerProvider | None
"""Where spans come from: a recorder's provider, a tracer, a provider, or (None) the global one."""


def run(source: Source = None, name: str = schema.RUN_SPAN) -> RunScope:
    """The span of a whole run; gives its sums, which its span carries as ``cache.run.*`` at the end.

    Args:
        source: where its span comes from.
        name: of its span; a word from the code, never from the input.

    Example:
        >>> with run() as sums:
        ...     sums.hits
        0
    """
    return RunScope(source, name)


def node(name: str, source: Source = None) -> NodeScope:
    """The span of one node of a workflow.

    Args:
        name: the node's, from the code.
        source: where its span comes from.
    """
    return NodeScope(source, schema.node_span(name))


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

    def __enter__(self) -> None:
        self._scope.start(self._name, {})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._scope.guarded():
            if isinstance(error, Exception):
                mark_failed(self._scope.span, error)
        self._scope.finish(kind)


class RunScope:
    """The root span of a run and its sums."""

    def __init__(self, source: Source, name: str) -> None:
        self._scope = SpanScope(tracer(source))
        self._name = name
        self._tally = Tally()

    def __enter__(self) -> Tally:
        self._scope.start(self._name, {})
        self._token = tally.enter(self._tally)
        return self._tally

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        tally.leave(self._token)
        with self._scope.guarded():
            sums = self._tally
            self._scope.span.set_attributes(
                {
                    schema.RUN_HITS: sums.hits,
                    schema.RUN_MISSES: sums.misses,
                    schema.RUN_ERRORS: sums.errors,
                    schema.RUN_TIME_SAVED: sums.time_saved_s,
                }
            )
            if isinstance(error, Exception):
                mark_failed(self._scope.span, error)
        self._scope.finish(kind)
