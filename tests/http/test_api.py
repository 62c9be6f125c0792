"""The HTTP API, served by the real command over a real store: its JSON, its problems, its token."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.serving import TOKEN, served

from cache import Cache
from cache.testing import EmbeddedServer

AUTH = {"Authorization": f"Bearer {TOKEN}"}
DEAD = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A store for the module."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture(scope="module")
def api(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API with a token."""
    with served(server.url, CACHE_API_TOKEN=TOKEN, CACHE_READ_DEADLINE="2", CACHE_WRITE_DEADLINE="2") as client:
        yield client


@pytest.fixture(scope="module")
def orphan() -> Iterator[httpx.Client]:
    """The API without a token, before a store that is not there."""
    with served(DEAD) as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> None:
    """The answer is a problem with this status and code, and shows nothing of the inside."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body.keys() == {"type", "title", "status", "code", "detail"}
    assert "Traceback" not in answer.text


def test_health_and_metrics_are_as_specified(api: httpx.Client) -> None:
    """Every field that the specification shows, with its type."""
    health, metrics = api.get("/cache/health").json(), api.get("/cache/metrics").json()

    assert (health["enabled"], health["connected"], health["message"]) == (True, True, "Connected")
    assert isinstance(health["hits"], int)
    for name in ("total_requests", "hits", "misses", "sets", "deletes", "errors"):
        assert isinstance(metrics[name], int)
    assert metrics["hit_rate"].endswith("%")
    assert metrics["scope"] == "process"


def test_a_wrong_scope_is_a_problem(orphan: httpx.Client) -> None:
    """A scope is ``process`` or ``fleet``."""
    for scope in ("", "all", "FLEET"):
        problem(orphan.get("/cache/metrics", params={"scope": scope}), 422, "invalid_parameter")
    assert orphan.get("/cache/metrics", params={"scope": "process"}).json()["scope"] == "process"


def test_a_pattern_is_invalidated(api: httpx.Client, server: EmbeddedServer) -> None:
    """dry_run tells how many, then they go, and other tasks' stay."""
    with Cache.from_url(server.url, read_deadline=2, write_deadline=2) as cache:
        for task, turn in (("t1", 1), ("t1", 2), ("t2", 1)):
            cache.set("context", (task, turn), "x")
        query = {"pattern": "context:t1:*"}
        dry = api.post("/cache/invalidate", params=query | {"dry_run": "true"}, headers=AUTH)
        done = api.post("/cache/invalidate", params=query, headers=AUTH)

        assert dry.json() == {"deleted": 2, "pattern": "context:t1:*", "dry_run": True, "complete": True}
        assert done.json() == {"deleted": 2, "pattern": "context:t1:*", "dry_run": False, "complete": True}
        assert cache.get("context", ("t2", 1)) == "x"


def test_explain(api: httpx.Client, server: EmbeddedServer) -> None:
    """Where a key is, and why it would miss."""
    with Cache.from_url(server.url, read_deadline=2, write_deadline=2) as cache:
        cache.set("tool", ("read_file", {"path": "a"}), {"n": 1})
    query = {"category": "tool", "key": '["read_file", {"path": "a"}]'}
    told = api.get("/cache/explain", params=query, headers=AUTH).json()

    assert (told["outcome"], told["tier"], told["tags"]) == ("hit", "redis", ["tool:read_file"])
    problem(api.get("/cache/explain", params=query | {"category": "nope"}, headers=AUTH), 422, "unknown_category")
    problem(api.get("/cache/explain", params={"category": "context", "key": "x"}, headers=AUTH), 422, "key")


def test_a_key_is_what_its_text_says(api: httpx.Client, server: EmbeddedServer) -> None:
    """A large integer is itself and no float; what is no key is refused; JSON beyond all depth is text."""
    with Cache.from_url(server.url, read_deadline=2, write_deadline=2) as cache:
        cache.set("prompt", 2**64, "an integer")

    def explain(key: str) -> httpx.Response:
        return api.get("/cache/explain", params={"category": "prompt", "key": key}, headers=AUTH)

    assert explain(str(2**64)).json()["outcome"] == "hit"
    assert explain("[" * 2000).json()["outcome"] == "miss"
    for key in ("NaN", '"\\ud800"'):
        problem(explain(key), 422, "key")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("pattern=context:once:*&dryrun=true", "unknown_parameter"),
        ("pattern=context:once:*&pattern=prompt:*", "doubled_parameter"),
    ],
)
def test_a_query_that_may_mean_something_else_deletes_nothing(
    query: str, code: str, api: httpx.Client, server: EmbeddedServer
) -> None:
    """A misspelt dry_run or a second pattern is refused."""
    with Cache.from_url(server.url, read_deadline=2, write_deadline=2) as cache:
        cache.set("context", ("once", 1), "x")
        problem(api.post(f"/cache/invalidate?{query}", headers=AUTH), 422, code)

        assert cache.get("context", ("once", 1)) == "x"


def test_without_a_token_the_door_is_closed(orphan: httpx.Client) -> None:
    """No token in the settings: 403, whatever is sent."""
    for headers in ({}, AUTH):
        answer = orphan.post("/cache/invalidate", params={"pattern": "context:*"}, headers=headers)
        problem(answer, 403, "token_not_configured")
        answer = orphan.get("/cache/explain", params={"category": "prompt", "key": "x"}, headers=headers)
        problem(answer, 403, "token_not_configured")


BAD_AUTH: tuple[Any, ...] = (
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": TOKEN},
    {"Authorization": "Bearer " + "x" * 10_000},
    [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")],
)


@pytest.mark.parametrize("headers", BAD_AUTH, ids=range(len(BAD_AUTH)))
def test_bad_tokens_are_refused(headers: Any, api: httpx.Client) -> None:
    """Missing, garbled, doubled, of another scheme: 401 with a challenge."""
    answer = api.post("/cache/invalidate", params={"pattern": "context:*"}, headers=headers)

    problem(answer, 401, "token_invalid" if headers else "token_missing")
    assert answer.headers["www-authenticate"].startswith("Bearer")


BAD_PATTERNS = (
    "", "*", "**", "context", "context:", "nope:*", "gen:*", "seen:*", "context:**", "context:[a-z]*",
    "context:a\\*", "context:a\x00b", "context:é*", "context:" + "a" * 600, "*:context", "context:*a*b*c*d*e*f*g*h*i*",
)  # fmt: skip


@pytest.mark.parametrize("pattern", BAD_PATTERNS, ids=lambda pattern: repr(pattern)[:20])
def test_bad_patterns_are_refused(pattern: str, api: httpx.Client, server: EmbeddedServer) -> None:
    """Unbounded, unknown, reserved, costly, too long: 422, and nothing is deleted."""
    with Cache.from_url(server.url, read_deadline=2, write_deadline=2) as cache:
        cache.set("context", ("a", 1), "x")
        problem(api.post("/cache/invalidate", params={"pattern": pattern}, headers=AUTH), 422, "invalid_parameter")

        assert cache.get("context", ("a", 1)) == "x"


def test_wrong_methods_and_paths_are_problems(api: httpx.Client) -> None:
    """404 and 405 speak the same language."""
    problem(api.get("/nope"), 404, "not_found")
    problem(api.get("/cache/%2e%2e%2fmetrics"), 404, "not_found")
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        problem(api.request(method, "/cache/invalidate"), 405, "method_not_allowed")
    problem(api.post("/cache/metrics"), 405, "method_not_allowed")


def test_nobody_is_sent_to_another_host(api: httpx.Client) -> None:
    """A slash too many is not found, rather than a redirect to the host that the request names."""
    for path in ("/cache/health/", "/live%2f"):
        problem(api.get(path, headers={"Host": "evil"}), 404, "not_found")


def test_a_large_body_is_not_read(api: httpx.Client) -> None:
    """A body that nobody asked for does no harm."""
    answer = api.post("/cache/invalidate", params={"pattern": "context:x"}, headers=AUTH, content=b"x" * (8 << 20))

    problem(answer, 413, "body_too_large")


def test_probes_do_not_depend_on_the_store(orphan: httpx.Client) -> None:
    """/live, /ready, /metrics, health and metrics answer 200 while the store is down; health says so."""
    for path in ("/live", "/ready", "/metrics", "/cache/metrics", "/cache/health", "/openapi.json"):
        assert orphan.get(path).status_code == 200
    health = orphan.get("/cache/health").json()
    assert (health["enabled"], health["connected"]) == (True, False)
    assert health.keys() >= {"message"}
    assert "hits" not in health


def test_the_exposition_names_every_metric(api: httpx.Client) -> None:
    """Each metric of the schema is in /metrics by its Prometheus name, and no key or pattern is."""
    from telemetry import schema

    api.get("/cache/explain", params={"category": "prompt", "key": "canary-key"}, headers=AUTH)
    text = api.get("/metrics").text

    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    counters = [m.prometheus for m in schema.METRICS if m.kind is not schema.Kind.HISTOGRAM]
    assert [name for name in counters if name not in names] == []
    assert "cache_operation_duration_seconds_bucket" in names
    assert "canary" not in text


def test_every_field_is_documented(api: httpx.Client) -> None:
    """Each field of each answer and each parameter has a description in the OpenAPI document."""
    document = api.get("/openapi.json").json()

    bare = [
        f"{name}.{field}"
        for name, found in document["components"]["schemas"].items()
        for field, said in found.get("properties", {}).items()
        if not said.get("description")
    ]
    assert bare == []
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["description"]


def answer_to(api: httpx.Client, data: bytes) -> httpx.Response:
    """What the server sends to these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", httpx.URL(str(api.base_url)).port or 80), 5) as raw:
        raw.sendall(data)
        with HTTPResponse(raw) as found:
            found.begin()
            return httpx.Response(found.status, headers=found.getheaders(), content=found.read())


NO_HTTP = (
    b"\x00\xff\r\n\r\n",
    b"GET /live HTTP/1.1\r\n\r\n",
    b"GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\x00b\r\n\r\n",
    b"POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
)


@pytest.mark.parametrize("data", NO_HTTP, ids=range(len(NO_HTTP)))
def test_what_is_no_http_is_a_problem_too(data: bytes, api: httpx.Client) -> None:
    """Garbage, no host, NUL, a negative length, a path of other bytes: the server answers in the one language."""
    problem(answer_to(api, data), 400, "bad_request")


def test_a_head_without_end_is_a_problem(api: httpx.Client) -> None:
    """A head beyond the bound is refused as such, whether it would have ended or not."""
    problem(answer_to(api, b"GET /live HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 16)), 431, "head_too_large")


def test_a_body_that_goes_wrong_after_the_answer_ends_the_connection() -> None:
    """There is no second answer to one request, and no traceback of one that was tried."""
    head = b"POST /cache/invalidate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served("redis://127.0.0.1:1/0") as api:
        with socket.create_connection(("127.0.0.1", httpx.URL(str(api.base_url)).port or 80), 5) as raw:
            raw.sendall(head)
            with HTTPResponse(raw) as found:
                found.begin()
                assert found.status == 411
                found.read()
                raw.sendall(b"no chunk\r\n")
                assert raw.recv(1) == b""


def test_an_upgrade_is_not_taken(api: httpx.Client) -> None:
    """A websocket's request is answered as the plain one that it is, whatever is installed."""
    head = b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    assert answer_to(api, head).status_code == 200


def test_nothing_is_answered_that_is_not_documented(api: httpx.Client) -> None:
    """Every field of the answers stands in the OpenAPI document."""
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    api.post("/cache/invalidate", params={"pattern": "context:x"}, headers=AUTH)
    metrics = api.get("/cache/metrics").json()
    answers = {"Metrics": metrics, "CategoryMetrics": metrics["categories"]["context"]}
    answers["Health"] = api.get("/cache/health").json()
    answers["Explained"] = api.get("/cache/explain", params={"category": "prompt", "key": "x"}, headers=AUTH).json()

    bare = {
        (name, field) for name, found in answers.items() for field in found if field not in schemas[name]["properties"]
    }
    assert bare == set()


def test_a_broken_request_harms_nobody(api: httpx.Client) -> None:
    """Garbage, a huge header and a client that leaves half-way: the next request is answered."""
    port = httpx.URL(str(api.base_url)).port
    for data in (
        b"\x00\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
        b"POST /cache/invalidate",
    ):
        with socket.create_connection(("127.0.0.1", port), 5) as raw:
            try:
                raw.sendall(data)
            except OSError:
                continue

    assert api.get("/live").json() == {"status": "ok"}


def test_a_call_is_one_trace_down_to_redis(server: EmbeddedServer, tmp_path: Path) -> None:
    """SERVER span, cache span, CLIENT span: one trace, and no key in it."""
    from support.otlp_sink import otlp_sink, values

    with otlp_sink() as sink:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with served(server.url, CACHE_API_TOKEN=TOKEN, **variables) as client:
            client.get("/cache/explain", params={"category": "prompt", "key": "canary-key"}, headers=AUTH)
        spans = {span.name: span for span in sink.spans}

    request, cache, command = spans["GET /cache/explain"], spans["cache.explain prompt"], spans["MGET"]
    assert request.trace_id == cache.trace_id == command.trace_id
    assert (cache.parent_span_id, command.parent_span_id) == (request.span_id, cache.span_id)
    told = [repr(values(span.attributes)) + span.name for span in sink.spans]
    assert [text for text in told if "canary" in text] == []
