"""The SDK's set-up in processes of its own: globals can be set but once in each."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).parents[2]
WORK = """
import os, redis
client = redis.Redis(unix_socket_path=os.environ["SOCKET"])
"""


def run(code: str, *before: str, **variables: str) -> Any:
    """What the program prints last, as JSON, after it has ended well."""
    program = "import json, telemetry\n" + code
    process = subprocess.run(
        [*before, sys.executable, "-c", program] if not before else [*before, "python", "-c", program],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**kept, "PYTHONPATH": str(ROOT), "PATH": path, "NO_PROXY": "127.0.0.1", **variables}


class Collector:
    """An OTLP/HTTP receiver that keeps the paths and bodies it is sent."""

    def __init__(self) -> None:
        received: list[tuple[str, bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing to say."""

        self.received = received
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)

    def body(self, path: str) -> bytes:
        return b"".join(body for where, body in self.received if where == path)


def labels(body: bytes) -> dict[str, set[str]]:
    """The attributes' names of every metric of an OTLP request."""
    found: dict[str, set[str]] = {}
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            points = getattr(metric, metric.WhichOneof("data")).data_points
            found[metric.name] = {attribute.key for point in points for attribute in point.attributes}
    return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    made.thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def test_importing_telemetry_imports_no_sdk() -> None:
    """A library may import the package without the SDK, and without setting anything."""
    code = "import sys, telemetry.commands, telemetry.logs, telemetry.recorder\n"
    code += "print(json.dumps([n for n in sys.modules if n.startswith(('opentelemetry.sdk', 'prometheus_client'))]))"
    assert run(code) == []


def test_otlp_gets_spans_and_metrics(collector: Collector, server_socket: str) -> None:
    """With an endpoint, the Redis span and redis-py's pool metrics go out at the end of the process."""
    code = WORK + "telemetry.setup(); client.get('k'); print('null')"
    run(code, SOCKET=server_socket, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert b"db.operation.name" in collector.body("/v1/traces")
    points = labels(collector.body("/v1/metrics"))
    assert points["db.client.connection.count"] == {"db.system", "db.client.connection.state", "redis.client.library"}
    assert "otel.sdk.span.started" in points
    assert not any("db.client.connection.pool.name" in names for names in points.values())


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({"OTEL_TRACES_EXPORTER": "none"}, False, True),
        ({"OTEL_METRICS_EXPORTER": "none"}, True, False),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, True, False),
        ({"OTEL_SDK_DISABLED": "true"}, False, False),
    ],
)
def test_the_standard_variables_choose_the_exporters(
    collector: Collector, server_socket: str, variables: dict[str, str], traces: bool, metrics: bool
) -> None:
    """Each signal goes where its variable says."""
    code = WORK + "telemetry.setup(); client.get('k'); print('null')"
    run(code, SOCKET=server_socket, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **variables)
    assert bool(collector.body("/v1/traces")) is traces
    assert bool(collector.body("/v1/metrics")) is metrics


def test_nothing_is_exported_without_an_endpoint(server_socket: str) -> None:
    """No endpoint, no wish: there is no exporter's thread."""
    code = "import threading\ntelemetry.setup()\nprint(json.dumps([t.name for t in threading.enumerate()]))"
    assert run(code) == ["MainThread"]
    assert len(run(code.replace("setup()", "setup(otlp=True)"))) == 3


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_dead_collector_costs_nothing_and_delays_no_end(kind: str) -> None:
    """With nobody or a mute at the endpoint, spans cost the caller nothing and the end takes a second at most."""
    code = """
import sys, time, telemetry
from opentelemetry import trace
handle = telemetry.setup()
tracer = trace.get_tracer("t")
longest = 0.0
for _ in range(3000):
    began = time.perf_counter()
    tracer.start_span("s").end()
    longest = max(longest, time.perf_counter() - began)
began = time.monotonic()
handle.shutdown()
print(longest, time.monotonic() - began, flush=True)
"""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        if kind == "closed":
            listening.close()
        process = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(OTEL_EXPORTER_OTLP_ENDPOINT=url),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert process.returncode == 0, process.stderr
    longest, ending = map(float, process.stdout.split())
    assert longest < 0.25
    # 0.8 s for the exporters; the interpreter's own end is none of ours
    assert ending < 1.0


def test_a_full_queue_is_counted(server_socket: str) -> None:
    """Spans that the queue has no room for show in the SDK's own metrics."""
    code = """
from opentelemetry import trace
with __import__("socket").create_server(("127.0.0.1", 0)) as mute:
    handle = telemetry.setup(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:%d" % mute.getsockname()[1],
                                      "OTEL_BSP_MAX_QUEUE_SIZE": "10"})
    tracer = trace.get_tracer("t")
    for _ in range(100):
        tracer.start_span("s").end()
    text = handle.scrape()[0].decode()
    handle.shutdown(0.1)
print(json.dumps([l for l in text.splitlines() if "processed" in l and "queue_full" in l]))
"""
    (line,) = run(code)
    assert float(line.rsplit(" ", 1)[1]) > 0


def test_the_scrape_has_the_contracts_names(server_socket: str) -> None:
    """Counters, histograms and gauges come out under the names that dashboards ask for."""
    code = (
        WORK
        + """
from telemetry.recorder import Recorder
from telemetry.vocabulary import BreakerState, MissReason, Operation, Outcome, Tier
handle = telemetry.setup(environ={})
recorder = Recorder()
recorder.breaker("redis", BreakerState.OPEN)
with recorder.operation("tool", Operation.GET) as event:
    event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0, cost_s=2.0)
client.get("k")
text, kind = handle.scrape()
print(json.dumps([text.decode(), kind]))
"""
    )
    text, kind = run(code, SOCKET=server_socket)
    assert kind.startswith("text/plain; version=")
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert {
        "cache_requests_total",
        "cache_operation_duration_seconds_bucket",
        "cache_compute_avoided_seconds_total",
        "cache_breaker_state",
        "db_client_connection_count",
        "target_info",
    } <= names
    (hit,) = [line for line in text.splitlines() if line.startswith("cache_requests_total{") and line.endswith(" 1.0")]
    for label in ('cache_category="tool"', 'cache_operation="get"', 'cache_outcome="hit"', 'cache_tier="redis"'):
        assert label in hit
    assert "otel_scope" not in text and "pool_name" not in text


def test_connections_that_the_store_holds_stand_in_redis_pys_gauge(server_socket: str) -> None:
    """Idle and used, as they are at the moment of the scrape; none once the store is closed."""
    code = """
import os, re, threading, time
from cache.clock import Deadline, SystemClock
from cache.core.steps import Call
from cache.stores.connect import StoreOptions, open_store
handle = telemetry.setup(environ={})
clock = SystemClock()
store = open_store("unix://" + os.environ["SOCKET"], StoreOptions(), on_breaker=lambda *_: None, clock=clock)
def call(*args): return store.execute(Call(args, Deadline(clock, 2)))
def count():
    text = handle.scrape()[0].decode()
    return {
        re.search('db_client_connection_state="([^"]*)"', line)[1]: float(line.rpartition(" ")[2])
        for line in text.splitlines() if line.startswith("db_client_connection_count{")
    }
call("PING")
seen = [count()]
waiting = threading.Thread(target=call, args=("BLPOP", "nothing", "1.5"))
waiting.start()
give_up = time.monotonic() + 1.4
while count().get("used") != 1 and time.monotonic() < give_up: pass
seen.append(count())
waiting.join()
seen.append(count())
store.close()
seen.append(count())
print(json.dumps([seen, "connections_in_use" in handle.scrape()[0].decode()]))
"""
    seen, named = run(code, SOCKET=server_socket)
    assert seen[0] == {"idle": 1}
    assert seen[1:] == [{"idle": 0, "used": 1}, {"idle": 1, "used": 0}, {"idle": 0, "used": 0}]
    assert not named


def test_prometheus_can_be_declined() -> None:
    """Without the reader, or with OTEL_METRICS_EXPORTER=none, there is nothing to scrape."""
    assert run("print(len(telemetry.setup(prometheus=False).scrape()[0]))") == 0
    assert run("print(len(telemetry.setup().scrape()[0]))", OTEL_METRICS_EXPORTER="none") == 0


def test_setup_twice_is_one_setup() -> None:
    """The second call hands the first one's handle back."""
    assert run("a = telemetry.setup(); b = telemetry.setup(console=True); print(json.dumps(a is b))") is True


def test_setup_does_not_touch_the_default_registry() -> None:
    """An application's own Prometheus registry gets nothing of ours."""
    code = "import prometheus_client as p\nbefore = len(p.REGISTRY._collector_to_names)\ntelemetry.setup()\n"
    assert run(code + "print(json.dumps(len(p.REGISTRY._collector_to_names) - before))") == 0


def test_foreign_providers_stay(server_socket: str) -> None:
    """An application's providers are used, not replaced, and not shut down by us."""
    code = (
        WORK
        + """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
tracers, meters, kept = TracerProvider(), MeterProvider([InMemoryMetricReader()]), InMemorySpanExporter()
tracers.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(meters)
handle = telemetry.setup()
client.get("k")
handle.shutdown()
client.get("k")
print(json.dumps([handle.tracer_provider is tracers, handle.meter_provider is meters, handle.own,
                  [s.name for s in kept.get_finished_spans()]]))
"""
    )
    assert run(code, SOCKET=server_socket) == [True, True, [], ["GET", "GET"]]


@pytest.mark.parametrize("agent_has_providers", [False, True])
def test_under_opentelemetry_instrument(server_socket: str, collector: Collector, agent_has_providers: bool) -> None:
    """Redis instrumented by opentelemetry-instrument makes our completed spans, once, whoever made the providers."""
    if agent_has_providers:
        pytest.importorskip("opentelemetry.distro", reason="the agent makes providers where its distro is installed")
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_CONFIGURATOR": "configurator" if agent_has_providers else "none",
    }
    code = WORK + "handle = telemetry.setup(); client.set('k', 'v'); print(len(handle.own))"
    own = run(code, "opentelemetry-instrument", SOCKET=server_socket, **variables)
    assert own == (0 if agent_has_providers else 2)
    body = collector.body("/v1/traces")
    assert body.count(b"db.operation.name") == 1
    # the agent read the opt-in before it was set, so the older names are there too
    assert b"server.address" in body and b"db.system.name" in body and b"net.peer.name" in body


@pytest.mark.parametrize("disabled", ["", "redis", "urllib3, redis"])
def test_the_redis_instrumentation_can_be_declined(server_socket: str, disabled: str) -> None:
    """OTEL_PYTHON_DISABLED_INSTRUMENTATIONS is kept to, by redis-py's commands and by those of a driver of our own."""
    code = (
        WORK
        + """
from telemetry.commands import command_spans
handle = telemetry.setup()
spans = handle.keep_spans()
client.get("k")
made = command_spans(database=0, address="s", port=None, dropped=lambda: None).start([("GET", "k")])
print(json.dumps([len(spans()), made is not None]))
"""
    )
    found = run(code, SOCKET=server_socket, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled)
    assert found == ([0, False] if disabled else [1, True])


def test_a_hit_is_one_trace_with_its_command_and_its_exemplars(collector: Collector, server_socket: str) -> None:
    """Under our set-up the light spans of an operation and its command, and joined histograms, go out by OTLP."""
    code = (
        WORK
        + """
from telemetry.commands import command_spans
from telemetry.recorder import Recorder
from telemetry.vocabulary import Operation, Outcome, Tier
early = Recorder()
handle = telemetry.setup()
spans = command_spans(database=0, address="s", port=None, dropped=lambda: None)
for recorder in (early, Recorder()):
    with recorder.operation("tool", Operation.GET) as event:
        span = spans.start([("GET", "k")])
        span.finish(None, b"v")
        client.get("k")
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0, cost_s=2.0)
text = handle.scrape()[0].decode()
print(json.dumps([l for l in text.splitlines() if l.startswith("cache_operation_duration_seconds_count{")]))
"""
    )
    (line,) = run(code, SOCKET=server_socket, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert line.endswith(" 2.0") and 'cache_tier="redis"' in line
    request = ExportTraceServiceRequest.FromString(collector.body("/v1/traces"))
    sent = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    tops = {span.span_id: span for span in sent if span.name == "cache.get tool"}
    commands = [span for span in sent if span.name == "GET"]
    assert len(tops) == 2 and sorted(span.parent_span_id for span in commands) == sorted([*tops, *tops])
    light, ordinary = (commands[0], commands[1])
    assert {a.key for a in light.attributes} == {a.key for a in ordinary.attributes}
    exemplars = [
        (metric.name, exemplar.span_id)
        for resource in ExportMetricsServiceRequest.FromString(collector.body("/v1/metrics")).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.histogram.data_points
        for exemplar in point.exemplars
    ]
    assert {"cache.operation.duration", "cache.entry.age"} <= {name for name, _ in exemplars}
    assert {span_id for name, span_id in exemplars if name.startswith("cache.")} <= tops.keys()


def test_console_prints_spans(server_socket: str) -> None:
    """console=True writes the spans to standard output."""
    code = WORK + "import telemetry\nh = telemetry.setup(console=True)\nclient.get('k')\nh.shutdown()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(SOCKET=server_socket), capture_output=True, text=True, timeout=60
    )
    assert '"db.operation.name": "GET"' in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "glasscache"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a%20b,team=x"}, "a b"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=other", "OTEL_SERVICE_NAME": "mine"}, "mine"),
    ],
)
def test_the_service_is_named_by_the_environment(variables: dict[str, str], name: str) -> None:
    """OTEL_SERVICE_NAME goes before OTEL_RESOURCE_ATTRIBUTES, and that before our own name."""
    code = "r = dict(telemetry.setup().tracer_provider.resource.attributes)\n"
    code += "print(json.dumps([r['service.name'], r['service.instance.id'], r.get('team')]))"
    (one, first, team), (_, second, _) = run(code, **variables), run(code, **variables)
    assert one == name and first != second
    assert team == ("x" if "team" in str(variables) else None)


def test_a_request_is_one_trace_down_to_redis(server_socket: str) -> None:
    """The API's SERVER span is the parent of the Redis span; probes and scrapes have none."""
    code = (
        WORK
        + """
import anyio, httpx
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from telemetry.provider import instrument_fastapi
handle, kept = telemetry.setup(), InMemorySpanExporter()
handle.tracer_provider.add_span_processor(SimpleSpanProcessor(kept))
app = FastAPI()
@app.get("/cache/metrics")
@app.get("/metrics")
def metrics(): return str(client.get("k"))
instrument_fastapi(app, handle)
async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
        await http.get("/cache/metrics?key=canary")
        await http.get("/metrics")
anyio.run(main)
spans = kept.get_finished_spans()
assert not any("canary" in span.to_json() for span in spans), spans[1].to_json()
print(json.dumps([[s.name, s.kind.name, s.parent is not None] for s in spans]))
"""
    )
    assert run(code, SOCKET=server_socket) == [
        ["GET", "CLIENT", True],
        ["GET /cache/metrics", "SERVER", False],
        ["GET", "CLIENT", False],
    ]


WRONG = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318",
    "OTEL_TRACES_EXPORTER": "bogus",
    "OTEL_METRICS_EXPORTER": "bogus",
    "OTEL_SDK_DISABLED": "maybe",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_variable_sets_nothing_up(name: str) -> None:
    """It is named before any provider is set."""
    code = """
from opentelemetry import metrics, trace
import telemetry
try:
    telemetry.setup()
    said = ""
except ValueError as error:
    said = str(error)
print(json.dumps([said.partition(":")[0], type(metrics.get_meter_provider()).__name__,
                  type(trace.get_tracer_provider()).__name__]))
"""
    assert run(code, **{name: WRONG[name]}) == [name, "_ProxyMeterProvider", "ProxyTracerProvider"]


def test_what_others_set_up_reads_its_own_variables() -> None:
    """Under providers that are not ours another set of exporters may be right, and nothing is refused."""
    code = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
import telemetry
metrics.set_meter_provider(MeterProvider())
trace.set_tracer_provider(TracerProvider())
print(json.dumps(len(telemetry.setup().own)))
"""
    assert run(code, OTEL_TRACES_EXPORTER="otlp_proto_grpc", OTEL_METRICS_EXPORTER="otlp_proto_grpc") == 0
