"""One run, one page: over a real API, out of Jaeger's JSON over real HTTP, by the command; all tell the same.

Jaeger itself runs in the container stack only. What answers here is a real HTTP server whose JSON has the documented
shape of Jaeger's ``/api/services``, ``/api/traces?service=`` and ``/api/traces/{id}``, made from spans of a real run.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import uvicorn
from support.serving import TOKEN

from cache import AsyncCache, Cache
from cache.api import create_app
from cache.api.access import Access
from cache.cli import main
from cache.insight import jaeger, waterfall
from cache.metrics import CacheMetrics
from cache.terminal import seconds
from telemetry.recorder import Recorder
from telemetry.runs import node, run
from telemetry.testing import Captured
from telemetry.vocabulary import MissReason

PATIENT: dict[str, Any] = {"read_deadline": 2, "write_deadline": 2}
AUTH = {"Authorization": f"Bearer {TOKEN}"}


def workflow(url: str, captured: Captured) -> Recorder:
    """One run: a build that calls a tool, a batch, hits in a row, a miss."""
    # by the clock that spans have: both roads are compared
    recorder = Recorder(tracer_provider=captured.tracer_provider)
    with Cache.from_url(url, recorder=recorder, **PATIENT) as cache, run(recorder):
        with node("context", recorder):
            cache.get_or_compute("context", ("t", 1), lambda: cache.get_or_compute("tool", ("a", {}), lambda: 1))
        with node("embed", recorder):
            cache.get_or_compute_many("prompt", ["a", "b"], lambda keys: [1] * len(keys))
            for _ in range(3):
                cache.get("prompt", "a")
            cache.get("prompt", "absent")
    return recorder


@contextmanager
def serving(url: str, recorder: Recorder, access: Access | None = None, token: str = "") -> Iterator[str]:
    """The API of the process that ran it, on a port of its own."""
    cache = AsyncCache.from_url(url, recorder=recorder, **PATIENT)
    app = create_app(cache, CacheMetrics(recorder), token=token, access=access)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def answering(answer: Callable[[str], Any]) -> Iterator[str]:
    """A real HTTP server; ``answer`` gives the JSON of a path, bytes as they are, None for 404, an int for a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answer(self.path)
            status = 404 if found is None else found if isinstance(found, int) else 200
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def as_jaeger(captured: Captured) -> dict[str, Any]:
    """The captured trace in the shape that Jaeger's query service documents."""

    def kind(value: Any) -> str:
        return {bool: "bool", int: "int64", float: "float64"}.get(type(value), "string")

    def tag(name: str, value: Any) -> dict[str, Any]:
        return {"key": name, "type": kind(value), "value": list(value) if isinstance(value, tuple) else value}

    spans = []
    for span in captured.spans():
        trace_id = f"{span.context.trace_id:032x}"
        above = span.parent
        reference = {"refType": "CHILD_OF", "traceID": trace_id, "spanID": f"{above.span_id:016x}"} if above else None
        spans.append(
            {
                "traceID": trace_id,
                "spanID": f"{span.context.span_id:016x}",
                "operationName": span.name,
                "references": [reference] if reference else [],
                "startTime": (span.start_time or 0) // 1000,
                "duration": ((span.end_time or 0) - (span.start_time or 0)) // 1000,
                "tags": [tag(name, value) for name, value in (span.attributes or {}).items()],
                "logs": [],
                "processID": "p1",
                "warnings": None,
            }
        )
    trace = {"traceID": spans[0]["traceID"], "spans": spans, "processes": {"p1": {"serviceName": "x", "tags": []}},
             "warnings": None}  # fmt: skip
    return {"data": [trace], "total": 0, "limit": 0, "offset": 0, "errors": None}


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """The command in this process: exit code, output, complaints."""
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_api_lists_runs_and_shows_one(glasscache_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The list, the page of one by its id, and the command that draws them from there."""
    recorder = workflow(glasscache_url, Captured())
    (kept,) = recorder.runs.last()
    with serving(glasscache_url, recorder) as url, httpx.Client(base_url=url) as client:
        listed, one = client.get("/cache/runs").json(), client.get(f"/cache/runs/{kept.run_id}").json()
        assert listed["runs"] == [json.loads(json.dumps(kept.summary()))]
        assert listed["bytes"] == recorder.runs.size()
        assert one["runs"] == [json.loads(json.dumps(kept.whole()))]
        assert client.get("/cache/runs?most=1").json()["runs"] == listed["runs"]
        for path, status, code in (
            ("/cache/runs?most=0", 422, "invalid_parameter"),
            ("/cache/runs?most=65", 422, "invalid_parameter"),
            ("/cache/runs?other=1", 422, "unknown_parameter"),
            ("/cache/runs?most=1&most=2", 422, "doubled_parameter"),
            (f"/cache/runs/{'0' * 32}", 404, "run_not_found"),
            (f"/cache/runs/{'A' * 32}", 422, "invalid_parameter"),
            ("/cache/runs/..%2fmetrics", 404, "not_found"),
        ):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (status, code), path
        document = client.get("/openapi.json").json()
        assert {"/cache/runs", "/cache/runs/{run_id}"} <= document["paths"].keys()
        for name, told in (("Runs", listed), ("RunSummary", listed["runs"][0]), ("WholeRun", one["runs"][0]),
                           ("RunStep", one["runs"][0]["steps"][0])):  # fmt: skip
            assert document["components"]["schemas"][name]["properties"].keys() == told.keys(), name

        code, out, _ = command(capsys, "runs", "--url", url)
        assert code == 0
        assert kept.run_id in out
        code, out, _ = command(capsys, "runs", "--url", url, "--json")
        assert json.loads(out) == listed
        code, out, _ = command(capsys, "run", kept.run_id.upper(), "--url", url)
        assert code == 0
        assert f"{kept.hits} hits, {kept.misses} misses" in out
        code, out, err = command(capsys, "run", "0" * 32, "--url", url)
        assert (code, out) == (1, "")
        assert "does not know the run" in err


def test_beyond_loopback_runs_want_the_token(glasscache_url: str, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """As the metrics of Prometheus: open where they are shown, else 401 and 403; the command brings the token."""
    recorder = workflow(glasscache_url, Captured())
    (kept,) = recorder.runs.last()
    for token, status, code in ((TOKEN, 401, "token_missing"), ("", 403, "token_not_configured")):
        with (
            serving(glasscache_url, recorder, Access(metrics=False), token) as url,
            httpx.Client(base_url=url) as client,
        ):
            for path in ("/cache/runs", f"/cache/runs/{kept.run_id}"):
                answer = client.get(path)
                assert (answer.status_code, answer.json()["code"]) == (status, code)
            if token:
                assert client.get("/cache/runs", headers=AUTH).status_code == 200
                assert client.get("/cache/runs", headers={"Authorization": "Bearer x"}).status_code == 401
                assert "CACHE_API_TOKEN" in command(capsys, "runs", "--url", url)[2]
                monkeypatch.setenv("CACHE_API_TOKEN", token)
                assert command(capsys, "runs", "--url", url)[0] == 0


def test_the_token_is_sent_nowhere_else(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A redirect is not followed."""
    monkeypatch.setenv("CACHE_API_TOKEN", TOKEN)
    with answering(lambda _: 302) as url:
        code, _, err = command(capsys, "runs", "--url", url)
    assert code == 1
    assert "answers 302" in err


def test_jaeger_tells_what_the_ring_tells(glasscache_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same sums, steps, reasons and critical path out of Jaeger's JSON, within its microseconds."""
    captured = Captured()
    recorder = workflow(glasscache_url, captured)
    (kept,) = recorder.runs.last()
    document = as_jaeger(captured)

    def answer(path: str) -> Any:
        if path == "/api/services":
            return {"data": ["x"], "total": 1, "limit": 0, "offset": 0, "errors": None}
        found = path.startswith("/api/traces?service=x&operation=workflow.run&") or path.endswith(kept.trace_id)
        return document if found else None

    with answering(answer) as url:
        code, out, _ = command(capsys, "run", kept.trace_id, "--jaeger", f"{url}/", "--json")
        assert code == 0
        (told,) = json.loads(out)["runs"]
        code, out, _ = command(capsys, "runs", "--jaeger", url)
        assert code == 0
        assert kept.run_id in out
        code, out, err = command(capsys, "run", "f" * 32, "--jaeger", url)
        assert code == 1
        assert "does not know the run" in err
    mine = json.loads(json.dumps(kept.whole()))
    for name in ("run_id", "trace_id", "span_id", "name", "failed", "hits", "misses", "errors", "waits", "miss_reasons",
                 "saved_s", "cache_s", "compute_s", "wait_s"):  # fmt: skip
        assert told[name] == mine[name], name
    words = ("part", "name", "operation", "outcome", "tier", "reasons", "digest", "size", "hits")

    def shapes(whole: dict[str, Any]) -> list[str]:
        return sorted(repr([step[word] for word in words]) for step in whole["steps"])

    assert shapes(told) == shapes(mine)
    for part in ("application_s", "cache_s", "compute_s", "wait_s"):
        # a span begins and ends around what the ring times
        assert told["critical_path"][part] == pytest.approx(mine["critical_path"][part], abs=0.005)


def test_the_page_of_a_run(glasscache_url: str) -> None:
    """Its lines: nodes, operations below them, computations below those, neighbours as one; then why it missed."""
    (kept,) = workflow(glasscache_url, Captured()).runs.last()
    text = waterfall.page(json.loads(json.dumps(kept.whole())), seconds, lambda said, _: said)
    lines = [line.split("  |")[0].rsplit(maxsplit=2)[0].rstrip() for line in text.split("\n\n")[1].splitlines()]
    assert lines == [
        "context",
        "  get_or_compute context",
        "    compute context",
        "      get_or_compute tool",
        "        compute tool",
        "embed",
        "  get_or_compute_many prompt",
        "    compute prompt",
        "  get prompt x3",
        "  get prompt",
    ]
    assert "miss 0 of 2 cold 2" in text
    assert text.splitlines()[-1].startswith("  cold 5")
    assert "prompt 3, " in text
    assert all(len(line) <= 150 for line in text.splitlines())


def test_every_reason_is_explained() -> None:
    """What a page may show is what it can explain."""
    assert waterfall.WHY.keys() == set(MissReason)


def span(number: int, **more: Any) -> dict[str, Any]:
    """A span of Jaeger's."""
    plain = {"traceID": "t", "spanID": f"s{number}", "operationName": "workflow.run", "references": [], "startTime": 0,
             "duration": 10, "tags": []}  # fmt: skip
    return plain | more


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"data": 5}, {"data": [5]}, {"data": [{}]}, {"data": [{"spans": [{}]}]},
     {"data": [{"spans": [span(1, startTime="now")]}]}, {"data": [{"spans": [span(1, duration=-1)]}]},
     {"data": [{"spans": [span(1, duration=float("nan"))]}]}, {"data": [{"spans": [span(1, tags=[5])]}]}],
)  # fmt: skip
def test_what_is_no_answer_of_jaegers_is_a_named_error(document: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Read by the function it is a ValueError, by the command one line and exit code 1."""
    with pytest.raises(ValueError, match="Jaeger"):
        jaeger.runs_in(document)
    with answering(lambda _: json.dumps(document).encode()) as url:
        code, out, err = command(capsys, "run", "a" * 32, "--jaeger", url)
    assert (code, out, err.count("\n")) == (1, "", 1)


def test_spans_that_are_each_others_parents_end() -> None:
    """A circle of references, a span that names itself, a parent that is not there."""

    def child(number: int, parent: int) -> dict[str, Any]:
        return span(
            number, operationName="cache.compute x", references=[{"refType": "CHILD_OF", "spanID": f"s{parent}"}]
        )

    listed = [span(1, references=[{"refType": "CHILD_OF", "spanID": "s3"}]), child(2, 1), child(3, 2), child(4, 4),
              child(5, 77)]  # fmt: skip
    (told,) = jaeger.runs_in({"data": [{"spans": listed}]})
    assert [step["part"] for step in told["steps"]] == ["compute", "compute"]


def test_an_answer_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in what a server says are not printed."""
    evil = span(
        1, operationName="workflow.run\x1b[2J", tags=[{"key": "cache.run.id", "type": "string", "value": "\x1b]0;"}]
    )
    with answering(lambda _: {"data": [{"spans": [evil]}]}) as url:
        code, out, _ = command(capsys, "run", "a" * 32, "--jaeger", url)
    assert code == 0
    assert "\x1b" not in out
    assert "workflow.run?[2J" in out


@pytest.mark.parametrize(
    "argv",
    [
        ("runs", "--url", "ftp://x"),
        ("runs", "--url", "http://user:secret@127.0.0.1:1"),
        ("runs", "--url", "http://127.0.0.1:1"),
        ("runs", "--jaeger", "http://127.0.0.1:1"),
        ("run", "../../etc", "--url", "http://127.0.0.1:1"),
        ("run", "a" * 65, "--url", "http://127.0.0.1:1"),
        ("run", "ключ", "--url", "http://127.0.0.1:1"),
        ("run", "a" * 32, "--url", "http://127.0.0.1:1"),
    ],
)
def test_bad_input_is_one_line(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong address, a wrong id, nobody there: exit code 1 and one line without a secret."""
    code, out, err = command(capsys, *argv)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "secret" not in err


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b'{"runs": 5}', b'{"runs": [{}]}', b"[" * 100_000])
def test_what_is_no_list_of_runs_is_one_line(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Another server at that address."""
    with answering(lambda _: answer) as url:
        for argv in (("runs", "--url", url), ("run", "a" * 32, "--url", url)):
            code, out, err = command(capsys, *argv)
            assert (code, out, err.count("\n")) == (1, "", 1)
