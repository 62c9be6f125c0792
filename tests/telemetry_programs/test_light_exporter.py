"""Light spans that are written as bytes: what arrives is, field by field, what the SDK would have sent."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import _common, trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from redis.exceptions import ResponseError
from support.otlp_sink import Sink, otlp_sink

from telemetry import redis as instrumentation
from telemetry import redis_endings, runs, schema
from telemetry.commands import CommandSpans, command_spans
from telemetry.light import LightSpan, Told
from telemetry.light_exporter import LightSpanExporter
from telemetry.light_provider import LightProvider, Thawing
from telemetry.otlp_spans import MOST_REMEMBERED
from telemetry.recorder import Recorder
from telemetry.vocabulary import ErrorType, FlightScope, MissReason, Operation, Outcome, Tier, WriteResult

RESOURCE = Resource({"service.name": "tëst", "n": 3}, "https://example.org/schema")


class Given(SpanExporter):
    """Keeps what it is given, light spans as they are."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held."""


class Bench:
    """A provider of ours whose light spans are kept, and an exporter."""

    def __init__(self, endpoint: str = "http://127.0.0.1:1/v1/traces") -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.provider, self._given = LightProvider(RESOURCE, self.meters), Given()
        self.provider.add_exporter(self._given, 2048, 512, takes_light=True)
        self.recorder = Recorder(tracer_provider=self.provider)
        self.exporter = LightSpanExporter(endpoint, 2, self.meters)

    def spans(self) -> list[Any]:
        """Those that have ended, as an exporter is given them."""
        self.provider.force_flush()
        return self._given.spans

    def commands(self) -> CommandSpans:
        return command_spans(database=3, address="127.0.0.1", port=6379, dropped=_dropped)

    def tracer(self, scope: str = schema.SCOPE) -> Any:
        return self.provider.get_tracer(scope, "1.2", "https://example.org/scope")

    def exported(self) -> dict[str | None, int]:
        """Spans in the exporter's own metrics, by the type of the error that they met."""
        return {p.attributes.get("error.type"): p.value for p in self.points("otel.sdk.exporter.span.exported")}

    def points(self, name: str) -> list[Any]:
        """Of one of the SDK's own metrics."""
        data = self.reader.get_metrics_data()
        found = [m for r in (data.resource_metrics if data else ()) for s in r.scope_metrics for m in s.metrics]
        return [point for metric in found if metric.name == name for point in metric.data.data_points]


def _dropped() -> None:
    raise AssertionError("a span was dropped")


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK tells of itself, as under our set-up."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")


@pytest.fixture
def bench() -> Iterator[Bench]:
    """With Redis instrumented by its provider."""
    made = Bench()
    instrumentation.instrument(made.provider)
    yield made
    instrumentation.uninstrument()


def parts(request: Any) -> dict[Any, Any]:
    """Spans by their id, each with its resource and scope: in whatever order and grouping they stand."""
    return {
        span.span_id: (resource.resource, resource.schema_url, scope.scope, scope.schema_url, span)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def ours(bench: Bench, spans: Sequence[Any]) -> Any:
    body, lost = bench.exporter.encoded(spans)
    assert lost == 0
    return ExportTraceServiceRequest.FromString(body)


def theirs(spans: Sequence[Any]) -> Any:
    return encode_spans([span.readable() if isinstance(span, LightSpan) else span for span in spans])


def everything(bench: Bench) -> None:
    """Spans of all kinds that the product makes."""
    recorder, commands = bench.recorder, bench.commands()
    account, now = recorder.ledger.account("prompt", Operation.GET), recorder.now
    commands.tell(("GET", "k"), 0.001, 0.0, None, b"v")
    assert recorder.hit_at_once(account, now(), bytes(range(32)), (3.25, 0.5, -1.0))
    assert recorder.hit_at_once(account, now(), bytes(32), (0.0, 0.5, 7), (commands, ("GET", "k"), now(), now()))
    with recorder.operation("context", Operation.GET, digest="0123456789abcdef") as event:
        commands.tell(("MGET", "a", "b"), 0.001, 0.0, None, [b"v", None])
        commands.tell(("LPUSH", "a", "b"), 0.001, 0.0, ResponseError("WRONGTYPE no"), None)
        commands.tell(("GET", "a"), 0.001, 0.0, ConnectionError(), None)
        pipeline = commands.start([("GET", "a"), ("SET", "b", 1)], pipeline=True)
        assert pipeline is not None
        pipeline.finish(None, [b"a", ResponseError("OOM no")])
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=3.0, cost_s=0.5)
        event.ttl_s = 60.0
    with runs.run(recorder), runs.node("one", recorder):
        with recorder.operation("embedding", Operation.GET_MANY, batch_size=300) as event:
            event.looked(Outcome.HIT, tier=Tier.REDIS, n=299)
            event.looked(Outcome.MISS, reason=MissReason.COLD)
        with recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
            leader = recorder.current_span_context()
            with recorder.wait(event, FlightScope.PROCESS, leader):
                pass
            event.looked(Outcome.MISS, reason=MissReason.EXPIRED)
            event.wrote(WriteResult.STORED, size=10)
        with pytest.raises(KeyError), recorder.operation("tool", Operation.GET_OR_COMPUTE) as event:
            with recorder.compute(event):
                raise KeyError("text")
        with recorder.operation("tool", Operation.GET) as event:
            event.fail(ErrorType.TIMEOUT)
            event.looked(Outcome.ERROR)
    with trace.get_tracer("mine", tracer_provider=bench.provider).start_as_current_span("mine"):
        with recorder.refresh("tool", leader), recorder.operation("tool", Operation.SET):
            pass


def test_every_span_of_the_product_is_what_the_sdk_would_send(bench: Bench) -> None:
    """The light ones among them make the same message, to the order of its parts; so do all together."""
    everything(bench)
    spans = bench.spans()
    light = [span for span in spans if isinstance(span, LightSpan) and not span.links]
    assert len(light) > 12
    assert len(spans) > len(light) + 4
    assert ours(bench, light) == theirs(light)
    assert parts(ours(bench, spans)) == parts(theirs(spans))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "0"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "0"),
    ],
)
def test_what_a_limit_touches_is_cut_as_the_sdk_cuts_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it dropped is told."""
    monkeypatch.setenv(variable, value)
    bench = Bench()
    instrumentation.instrument(bench.provider)
    try:
        everything(bench)
    finally:
        instrumentation.uninstrument()
    spans = bench.spans()
    assert parts(ours(bench, spans)) == parts(theirs(spans))


class Spoken(LightSpan):
    """Says what it is given to say."""

    saying: Told

    def told(self) -> Told:
        return self.saying


BENCH = Bench()
IDS = st.integers(1, (1 << 64) - 1)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
NUMBERS = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-2, 2), st.floats(allow_nan=False))
SINGLE = st.one_of(st.booleans(), NUMBERS, WORDS, st.just(""))
ATTRIBUTES = st.dictionaries(WORDS, st.one_of(SINGLE, st.lists(SINGLE, max_size=4), st.lists(WORDS).map(tuple)))
STATES = st.dictionaries(st.from_regex("[a-z]{1,8}", fullmatch=True), st.from_regex("[a-z0-9]{1,8}", fullmatch=True))
STATUSES = st.one_of(
    st.none(), st.sampled_from(list(StatusCode)).map(Status), WORDS.map(lambda text: Status(StatusCode.ERROR, text))
)


@st.composite
def parents(draw: Any) -> Any:
    """None, one that is not valid, a span of this process or of another, a light one."""
    kind = draw(st.sampled_from(["none", "invalid", "here", "there", "light"]))
    if kind in ("none", "invalid"):
        return None if kind == "none" else trace.INVALID_SPAN
    if kind == "light":
        return Spoken(BENCH.tracer().workshop, (draw(IDS), draw(IDS), 1, None), None)
    return NonRecordingSpan(SpanContext(draw(IDS), draw(IDS), kind == "there", TraceFlags(1)))


@st.composite
def spoken(draw: Any, attributes: Any = ATTRIBUTES) -> Spoken:
    """Any span that has ended."""
    state = draw(st.one_of(st.none(), STATES.map(lambda pairs: TraceState(list(pairs.items())))))
    scope = draw(st.sampled_from([schema.SCOPE, redis_endings.SCOPE]))
    ids = (draw(IDS) << 64 | draw(IDS), draw(IDS), draw(st.integers(0, 255)), state)
    span = Spoken(BENCH.tracer(scope).workshop, ids, draw(parents()), draw(st.sampled_from(list(SpanKind))))
    events = draw(st.lists(st.tuples(WORDS, ATTRIBUTES), max_size=2))
    span.saying = Told(draw(WORDS), draw(attributes), draw(STATUSES), events)
    span.started_ns, span.ended_ns = draw(IDS), draw(IDS)
    return span


@given(st.lists(spoken(), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_whatever_a_span_says_is_what_the_sdk_would_send(spans: list[Spoken]) -> None:
    """Text, numbers, sequences, parents here and elsewhere, states, events and status: the same message."""
    assert ours(BENCH, spans) == theirs(spans)


ODD = st.one_of(
    st.just("\ud800"),
    st.integers(1 << 63, 1 << 70),
    st.binary(),
    st.none(),
    st.just({"a": 1}),
    st.just(object()),
    SINGLE,
)


@given(st.lists(spoken(st.dictionaries(WORDS, ODD, max_size=5)), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_what_cannot_be_written_here_is_left_to_the_sdk(spans: list[Spoken]) -> None:
    """Text that is none, numbers of more than 64 bits, bytes, nothing at all: sent or left out as it does."""
    made = ours(BENCH, spans)
    assert parts(made) == parts(theirs(spans))
    assert all(scope.spans for one in made.resource_spans for scope in one.scope_spans)


def test_numbers_that_are_equal_keep_their_types(bench: Bench) -> None:
    """1, 1.0 and True, and what is no number."""
    tracer = bench.tracer()
    for value in (1, 1.0, True, 0, 0.0, -0.0, False, math.inf, math.nan):
        tracer.start_span("same", attributes={"same": value, "x": "y"}).end()
    spans = bench.spans()
    assert [str(span) for _, span in _listed(ours(bench, spans))] == [str(span) for _, span in _listed(theirs(spans))]


def _listed(request: Any) -> list[tuple[Any, Any]]:
    return [(scope, span) for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]


def test_what_was_forgotten_is_written_again(bench: Bench) -> None:
    """More names, attributes and lasting tellings than are remembered, twice."""
    workshop, spans = bench.tracer().workshop, []
    for number in [*range(2 * MOST_REMEMBERED), *range(10)]:
        span = Spoken(workshop, (7, number + 1, 1, None), None)
        span.saying = Told(f"name {number}", {"number": number, "text": f"{number}"}, lasting=number % 2 == 0)
        span.ended_ns = span.started_ns + number
        spans.append(span)
    # tellings that go on: one is said by two kinds of spans
    again = Spoken(workshop, (7, 7, 1, None), None, SpanKind.CLIENT)
    again.saying, again.ended_ns = spans[-2].saying, 9
    spans.append(again)
    for _ in range(2):
        assert ours(bench, spans) == theirs(spans)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with otlp_sink() as made:
        yield made


def test_a_collector_is_sent_the_same_by_both_ways(sink: Sink) -> None:
    """Light spans, the SDK's and those with links, in one request; and the exporter counts them alike."""
    bench = Bench(f"{sink.url}/v1/traces")
    instrumentation.instrument(bench.provider)
    try:
        everything(bench)
    finally:
        instrumentation.uninstrument()
    spans = bench.spans()
    assert bench.exporter.export(spans) is SpanExportResult.SUCCESS
    sent, sink.spans = sink.spans, []
    assert bench.exported() == {None: len(spans)}
    other = OTLPSpanExporter(f"{sink.url}/v1/traces")
    assert Thawing(other).export(spans) is SpanExportResult.SUCCESS
    assert {span.span_id: span for span in sent} == {span.span_id: span for span in sink.spans}
    assert len(sent) == len(sink.spans) == len(spans)


def test_without_the_parts_it_takes_the_sdk_does_it_all(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another SDK, say."""
    monkeypatch.delattr(_common, "_is_request_too_large")
    bench = Bench(f"{sink.url}/v1/traces")
    for name in ("one", "two"):
        bench.tracer().start_span(name).end()
    assert bench.exporter.export(bench.spans()) is SpanExportResult.SUCCESS
    assert [span.name for span in sink.spans] == ["one", "two"]
    assert bench.exported() == {None: 2}


def test_one_faulty_span_costs_no_other(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    """Light or the SDK's; each is logged, and counted as one that was not exported."""
    bench = Bench(f"{sink.url}/v1/traces")
    for _ in range(3):
        bench.tracer().start_span("good").end()
        with trace.get_tracer("mine", tracer_provider=bench.provider).start_as_current_span("good too"):
            pass
    spans: list[Any] = bench.spans()
    spans[0].told = lambda: None
    next(span for span in spans if not isinstance(span, LightSpan))._name = b"\xff"
    assert bench.exporter.export(spans) is SpanExportResult.SUCCESS
    assert sorted(span.name for span in sink.spans) == ["good", "good", "good too", "good too"]
    assert ["could not be exported" in record.message for record in caplog.records] == [True, True]
    assert bench.exported() == {None: 4, "UnencodedError": 2}


def test_nothing_is_sent_when_no_span_can_be(sink: Sink) -> None:
    """The export has failed."""
    bench = Bench(f"{sink.url}/v1/traces")
    bench.tracer().start_span("bad").end()
    (span,) = bench.spans()
    span.told = lambda: None
    assert bench.exporter.export([span]) is SpanExportResult.FAILURE
    assert sink.spans == []
    assert bench.exported() == {"UnencodedError": 1}


def test_a_request_that_is_too_large_is_not_sent(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted by the SDK's own word."""
    monkeypatch.setattr(trace_exporter, "_DEFAULT_MAX_REQUEST_SIZE", 100)
    bench = Bench(f"{sink.url}/v1/traces")
    bench.tracer().start_span("long" * 30).end()
    assert bench.exporter.export(bench.spans()) is SpanExportResult.FAILURE
    assert sink.spans == []
    assert bench.exported() == {"RequestPayloadTooLargeError": 1}


def test_a_collector_that_refuses_makes_the_export_fail() -> None:
    """Its status is told as the SDK tells it; after the end nothing is sent."""
    # it knows no POST
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        bench = Bench(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
        bench.tracer().start_span("one").end()
        assert bench.exporter.export(bench.spans()) is SpanExportResult.FAILURE
        server.shutdown()
        thread.join()
    (told,) = bench.points("otel.sdk.exporter.operation.duration")
    assert told.attributes["http.response.status_code"] == 501
    assert sum(bench.exported().values()) == 1
    bench.exporter.shutdown()
    assert bench.exporter.export(bench.spans()) is SpanExportResult.FAILURE
    assert sum(bench.exported().values()) == 1


def test_links_go_with_their_span(bench: Bench) -> None:
    """What cannot be light is whole."""
    link = Link(SpanContext(5, 6, True, TraceFlags(1)), {"why": "so"})
    bench.tracer().start_span("linked", links=[link]).end()
    spans = bench.spans()
    assert ours(bench, spans) == theirs(spans)
    ((_, span),) = _listed(ours(bench, spans))
    assert span.links[0].span_id == (6).to_bytes(8, "big")
