"""Light spans: what is exported of them, and all that others see of them, is as of the SDK's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from telemetry import redis_endings, runs, schema, tally
from telemetry.light import LightSpan
from telemetry.light_provider import LightProvider
from telemetry.recorder import Recorder
from telemetry.tally import Tally
from telemetry.vocabulary import ErrorType, FlightScope, MissReason, Operation, Outcome, Tier, WriteResult

RESOURCE = Resource({"service.name": "test"})
TRACE, SPAN = 0x1234 << 96 | 7, 0x99


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK tells of itself, as under our set-up."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")


class Traced:
    """A provider of ours with an exporter that keeps spans.

    Args:
        light: False shows the spans to a processor too, so that they are the SDK's from their start.
    """

    def __init__(self, light: bool = True) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.provider, self._kept = LightProvider(RESOURCE, self.meters), InMemorySpanExporter()
        if light:
            self.provider.add_exporter(self._kept, 2048, 512)
        else:
            self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.recorder = Recorder(tracer_provider=self.provider)

    def spans(self) -> list[ReadableSpan]:
        """Those that have ended."""
        self.provider.force_flush()
        return list(self._kept.get_finished_spans())

    def said(self) -> list[dict[str, Any]]:
        """All that they say, ids and times apart: who is whose parent is told by names."""
        names = {span.context.span_id: span.name for span in self.spans() if span.context is not None}
        return [said(span, names) for span in self.spans()]

    def numbers(self, name: str) -> dict[Any, Any]:
        """Points of one of the SDK's own metrics."""
        data = self.reader.get_metrics_data()
        found = [m for r in (data.resource_metrics if data else ()) for s in r.scope_metrics for m in s.metrics]
        points = [point for metric in found if metric.name == name for point in metric.data.data_points]
        return {tuple(sorted((point.attributes or {}).items())): point.value for point in points}


def said(span: ReadableSpan, names: dict[int, str]) -> dict[str, Any]:
    assert span.start_time and span.end_time and span.start_time <= span.end_time and span.context is not None
    scope = span.instrumentation_scope
    assert scope is not None
    return {
        "name": span.name,
        "kind": span.kind,
        "parent": names.get(span.parent.span_id, "gone") if span.parent else None,
        "same trace": span.parent is None or span.parent.trace_id == span.context.trace_id,
        "flags": span.context.trace_flags,
        "state": span.context.trace_state.to_header(),
        "remote": span.context.is_remote,
        "scope": (scope.name, scope.version, scope.schema_url),
        "attributes": {name: measured(name, value) for name, value in (span.attributes or {}).items()},
        "status": (span.status.status_code, span.status.description),
        "events": [(event.name, dict(event.attributes or {})) for event in span.events],
        "links": [(names.get(link.context.span_id), dict(link.attributes or {})) for link in span.links],
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
        "resource": span.resource,
    }


def measured(name: str, value: Any) -> Any:
    """What was measured, or drawn by lot, differs from run to run: that it is there is compared."""
    by_clock = name.startswith(("cache.run.time_in_", "cache.run.critical_path")) or name == "cache.run.id"
    return type(value) if by_clock else value


def hit(traced: Traced) -> None:
    with traced.recorder.operation("context", Operation.GET, digest="0123456789abcdef") as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=3.0, cost_s=0.5)
        event.ttl_s = 60.0


def batch(traced: Traced) -> None:
    with traced.recorder.operation("embedding", Operation.GET_MANY, batch_size=3) as event:
        event.looked(Outcome.HIT, tier=Tier.REDIS, n=2)
        event.looked(Outcome.MISS, reason=MissReason.COLD)


def computed(traced: Traced) -> None:
    with traced.recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
        with traced.recorder.compute(event):
            mine = trace.get_tracer("mine", tracer_provider=traced.provider)
            with mine.start_as_current_span("mine"):
                pass
        event.computed[0] = (0.25, None)
        event.compute_s = 0.25
        event.looked(Outcome.MISS, reason=MissReason.EXPIRED)
        event.wrote(WriteResult.STORED, size=10)


def failed(traced: Traced) -> None:
    def fails() -> None:
        with traced.recorder.operation("tool", Operation.GET_OR_COMPUTE) as event, traced.recorder.compute(event):
            raise KeyError("text")

    with pytest.raises(KeyError):
        fails()


def in_trouble(traced: Traced) -> None:
    with traced.recorder.operation("tool", Operation.GET) as event:
        event.fail(ErrorType.TIMEOUT)
        event.looked(Outcome.ERROR)


def waited(traced: Traced) -> None:
    with traced.recorder.operation("tool", Operation.GET) as event:
        leader = traced.recorder.current_span_context()
        with traced.recorder.wait(event, FlightScope.PROCESS, leader):
            pass
    with traced.recorder.refresh("tool", leader), traced.recorder.operation("tool", Operation.SET):
        pass


def running(traced: Traced) -> None:
    with runs.run(traced.recorder), runs.node("one", traced.recorder):
        hit(traced)


def written_to(traced: Traced) -> None:
    """Others write to the current span in every way there is."""
    with traced.recorder.operation("tool", Operation.GET_OR_COMPUTE):
        current = trace.get_current_span()
        current.set_attribute("one", 1)
        current.set_attributes({"two": 2, "many": ["a", "b"]})
        current.add_event("seen", {"by": "me"})
        current.add_link(SpanContext(TRACE, SPAN, is_remote=True), {"why": "so"})
        current.update_name("mine now")
        current.set_status(Status(StatusCode.OK))
        assert current.is_recording()


def recorded(traced: Traced) -> None:
    """An exception that somebody records, on the current span, by the API's own helper."""
    with traced.recorder.operation("tool", Operation.GET):
        with pytest.raises(ValueError), trace.use_span(trace.get_current_span()):
            raise ValueError("text")


def within(traced: Traced) -> None:
    """Below and above spans of the application's own."""
    mine = trace.get_tracer("mine", "1.0", traced.provider)
    with mine.start_as_current_span("above", kind=SpanKind.SERVER), traced.recorder.operation("tool", Operation.GET):
        with mine.start_as_current_span("below"):
            hit(traced)


def traced_elsewhere(traced: Traced) -> None:
    """Below a span of another process."""
    state, flags = TraceState([("vendor", "x")]), TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)
    far = NonRecordingSpan(SpanContext(TRACE, SPAN, is_remote=True, trace_flags=flags, trace_state=state))
    with trace.use_span(far):
        hit(traced)


def unsampled_elsewhere(traced: Traced) -> None:
    """Below a span of another process that is not sampled, nothing is; nor below one of this process."""
    for remote in (True, False):
        with trace.use_span(NonRecordingSpan(SpanContext(TRACE, SPAN, is_remote=remote))):
            computed(traced)
            assert not trace.get_current_span().is_recording()


SCENES = [
    hit,
    batch,
    computed,
    failed,
    in_trouble,
    waited,
    running,
    written_to,
    recorded,
    within,
    traced_elsewhere,
    unsampled_elsewhere,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("limits", [False, True])
def test_what_is_exported_is_what_the_sdks_spans_would_have_said(
    scene: Callable[[Traced], None], limits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, parents, flags, attributes, events, links, status, and what limits dropped; and the SDK's own counts."""
    if limits:
        monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3")
        monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4")
    light, ordinary = Traced(), Traced(light=False)
    for traced in (light, ordinary):
        scene(traced)
    kept = [without_frames(one) for one in light.said()]
    assert kept == [without_frames(one) for one in ordinary.said()]
    assert bool(kept) is (scene is not unsampled_elsewhere)
    for name in ("otel.sdk.span.started", "otel.sdk.span.live"):
        assert light.numbers(name) == ordinary.numbers(name)
    assert trace.get_current_span() is trace.INVALID_SPAN


def without_frames(one: dict[str, Any]) -> dict[str, Any]:
    """What a span says; a computation's duration and a stack trace are those of the run."""
    for _, attributes in one["events"]:
        attributes.pop("exception.stacktrace", None)
    one["attributes"].pop("cache.compute.duration", None)
    return one


SAMPLERS = [
    f"{prefix}{name}" for prefix in ("", "parentbased_") for name in ("always_on", "always_off", "traceidratio")
]
PARENTS = [None] + [
    SpanContext(TRACE, SPAN, is_remote=remote, trace_flags=TraceFlags(flags), trace_state=TraceState([("a", "b")]))
    for remote in (False, True)
    for flags in (0, 1, 2, 3)
]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("parent", PARENTS, ids=lambda p: "root" if p is None else f"{p.is_remote}-{p.trace_flags}")
def test_a_sampler_decides_as_it_does_for_the_sdk(
    name: str, parent: SpanContext | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every parent that there can be: recorded or not, trace, flags and state are the SDK's."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    traced = Traced()
    # one trace id for both: what a ratio decides by
    number = iter([TRACE, TRACE])
    monkeypatch.setattr(traced.provider.id_generator, "generate_trace_id", lambda: next(number))
    tracer: Any = traced.provider.get_tracer(redis_endings.SCOPE)
    within = trace.set_span_in_context(NonRecordingSpan(parent), context.Context()) if parent else context.Context()
    mine, theirs = tracer.start_span("s", within), tracer.ordinary.start_span("s", within)
    assert mine.is_recording() == theirs.is_recording()
    assert isinstance(mine, LightSpan) == mine.is_recording()
    a, b = mine.get_span_context(), theirs.get_span_context()
    assert (a.trace_id, a.trace_flags, a.trace_state, a.is_valid) == (b.trace_id, b.trace_flags, b.trace_state, True)


def test_a_sampler_of_ones_own_is_asked_by_the_sdk() -> None:
    """It sees name, attributes and links, and what it adds is kept."""

    class Own(sampling.Sampler):
        def should_sample(self, parent_context: Any, trace_id: int, name: str, *args: Any, **kw: Any) -> Any:
            attributes = {**(args[1] if len(args) > 1 else kw["attributes"]), "sampled.by": name}
            return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE, attributes)

        def get_description(self) -> str:
            return "own"

    traced = Traced()
    tracer: Any = traced.provider.get_tracer(schema.SCOPE)
    tracer.ordinary.sampler = Own()
    hit(traced)
    (span,) = traced.spans()
    assert (span.attributes or {})["sampled.by"] == "cache.get context"
    assert (span.attributes or {})["cache.outcome"] == "hit"


def test_a_light_span_shows_itself_as_the_sdks_does() -> None:
    """What the API does not know is there too, before and after the end; who writes too late is told so."""
    traced = Traced()
    with traced.recorder.operation("tool", Operation.GET):
        live: Any = trace.get_current_span()
        assert isinstance(live, LightSpan) and isinstance(live, Span)
        assert (live.name, live.kind, live.end_time) == ("cache.get tool", SpanKind.INTERNAL, None)
        assert live.attributes["cache.category"] == "tool"
        assert live.context == live.get_span_context() and live.context.is_valid
    (span,) = traced.spans()
    assert span.context == live.context and (span.attributes or {})["cache.outcome"] == "ok"


def test_what_is_written_after_the_end_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK's own warning, and nothing else happens."""
    traced = Traced()
    with traced.recorder.operation("tool", Operation.GET):
        ended = trace.get_current_span()
    ended.set_attribute("late", 1)
    ended.end()
    assert [record.message for record in caplog.records] == [
        "Setting attribute on ended span.",
        "Calling end() on an ended span.",
    ]
    (span,) = traced.spans()
    assert "late" not in (span.attributes or {}) and not ended.is_recording()


def test_a_processor_that_comes_later_sees_what_ends_from_then_on() -> None:
    """Also a span that was light when it started, with all that it says; and the exporter has all of them, once."""
    traced, late = Traced(), InMemorySpanExporter()
    hit(traced)
    with traced.recorder.operation("tool", Operation.GET) as event:
        traced.provider.add_span_processor(SimpleSpanProcessor(late))
        event.looked(Outcome.HIT, tier=Tier.LOCAL)
    hit(traced)
    names = ["cache.get context", "cache.get tool", "cache.get context"]
    assert [span.name for span in traced.spans()] == names
    assert [span.name for span in late.get_finished_spans()] == names[1:]
    assert (late.get_finished_spans()[0].attributes or {})["cache.tier"] == "local"


class Blocked(SpanExporter):
    """An exporter that waits until it may go on."""

    def __init__(self) -> None:
        self.asked, self.free = threading.Event(), threading.Event()
        self.exported = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.asked.set()
        self.free.wait(10)
        self.exported += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.free.set()


def test_a_full_queue_drops_and_counts_as_the_sdk_does() -> None:
    """Of 100 spans 10 are under way, 10 wait, and each of the others is counted as dropped."""
    traced, exporter = Traced(), Blocked()
    traced.provider.add_exporter(exporter, 10, 10)
    for _ in range(10):
        hit(traced)
    assert exporter.asked.wait(10)
    for _ in range(90):
        hit(traced)
    processed = traced.numbers("otel.sdk.processor.span.processed")
    assert sum(n for labels, n in processed.items() if ("error.type", "queue_full") in labels) == 80
    exporter.free.set()
    traced.provider.force_flush()
    assert exporter.exported == 20


def test_every_thread_has_its_own_current_span() -> None:
    """Operations that overlap in threads nest under nobody else's span."""
    traced, barrier = Traced(), threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            with traced.recorder.operation("tool", Operation.GET):
                hit(traced)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    by_id = {span.context.span_id: span for span in traced.spans() if span.context is not None}
    assert len(by_id) == 400
    inner = [span for span in by_id.values() if span.name == "cache.get context"]
    assert {by_id[span.parent.span_id].name for span in inner if span.parent} == {"cache.get tool"}
    assert len({span.parent.span_id for span in inner if span.parent}) == 200


def test_threads_that_write_to_one_span_write_to_the_same() -> None:
    """Whoever is first makes the real one; nothing that anybody says is lost."""
    traced, barrier = Traced(), threading.Barrier(8)
    with traced.recorder.operation("tool", Operation.GET):
        span = trace.get_current_span()

        def say(number: int) -> None:
            barrier.wait()
            span.set_attribute(f"said.{number}", number)

        threads = [threading.Thread(target=say, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (one,) = traced.spans()
    assert {f"said.{number}" for number in range(8)} <= dict(one.attributes or {}).keys()


def test_a_batchs_event_is_not_kept_until_it_is_exported() -> None:
    """What waits for the exporter is as long as a span, not as its batch."""
    traced = Traced()
    with traced.recorder.operation("tool", Operation.GET_MANY, batch_size=1000) as event:
        span: Any = trace.get_current_span()
        for _ in range(1000):
            event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0)
    assert event not in vars(span).values()
    (one,) = traced.spans()
    assert (one.attributes or {})["cache.batch.hits"] == 1000


def test_a_span_that_cannot_be_made_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The rest of its batch is exported."""
    traced = Traced()
    with traced.recorder.operation("tool", Operation.GET) as event:
        pass
    event.lookups = {None: 1}  # type: ignore[dict-item]
    hit(traced)
    assert [span.name for span in traced.spans()] == ["cache.get context"]
    assert ["could not be exported" in record.message for record in caplog.records] == [True]


def ordinarily(recorder: Recorder) -> None:
    with recorder.operation("prompt", Operation.GET, digest="00" * 8) as event:
        event.looked(Outcome.HIT, tier=Tier.LOCAL, age_s=3.0, cost_s=0.5)
        event.ttl_s = 7.0


def at_once(recorder: Recorder) -> None:
    account = recorder.ledger.account("prompt", Operation.GET)
    assert recorder.hit_at_once(account, recorder.now(), bytes(32), (3.0, 0.5, 7.0))


@pytest.mark.parametrize("sampler", ["always_on", "always_off", "parentbased_always_on"])
@pytest.mark.parametrize("within", ["a run", "nothing"])
def test_a_hit_at_once_says_what_the_ordinary_way_says(
    sampler: str, within: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same span, figures, exemplars and sums of the run, whichever way the first and the later hits take."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    told: list[Any] = []
    for way in (ordinarily, at_once):
        traced = Traced()
        recorder = traced.recorder
        tally_of_run = Tally()
        token = tally.enter(tally_of_run) if within == "a run" else None
        for _ in range(3):
            way(recorder)
        if token is not None:
            tally.leave(token)
        figures = recorder.ledger.figures()
        ages, durations = figures.ages["prompt"].counts, sum(figures.durations["prompt", Outcome.HIT].counts)
        sums = (tally_of_run.hits, tally_of_run.time_saved_s)
        told.append((traced.said(), dict(figures.requests), figures.avoided_s, ages, durations, sums))
    assert told[0] == told[1]
    assert len(told[0][0]) == (0 if sampler == "always_off" else 3)
    assert told[0][-1] == ((3, 1.5) if within == "a run" else (0, 0.0))


def test_where_spans_are_others_no_hit_is_recorded_at_once() -> None:
    """Who wants to see real spans begin and end sees all of them: the ordinary way has to be taken."""
    recorder = Traced(light=False).recorder
    account = recorder.ledger.account("prompt", Operation.GET)
    assert not recorder.hit_at_once(account, recorder.now(), bytes(32), (3.0, 0.5, 7.0))
    assert not recorder.ledger.figures().requests
