"""A word put into keys, values, prompts, paths, task ids and errors is found nowhere that people or programs look."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

import pytest
from support.stack import ROOT, Stack, run, until

pytestmark = [pytest.mark.container, pytest.mark.slow]

WORD = "canarybird4711"


@pytest.fixture(scope="module")
def sung(stack: Stack) -> Stack:
    """The stack after a caller has put the word everywhere, and the API was asked for it too."""
    singer = stack.inside("traffic", (ROOT / "tests/support/canary.py").read_text(), WORD)
    out, errors = singer.communicate(timeout=120)
    assert out.strip() == "sung", errors
    for path in (f"/cache/explain?category=prompt&key={WORD}", f"/cache/{WORD}", f"/cache/metrics?scope={WORD}"):
        with pytest.raises(urllib.error.HTTPError):
            stack.app(path)
    address = f"http://127.0.0.1:{stack.ports[0]}/cache/invalidate?pattern={quote(f'context:{WORD}:*')}"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(address, method="POST"), timeout=10)
    return stack


def test_jaeger_has_the_run_but_not_the_word(sung: Stack) -> None:
    """The whole trace is there, of every part of the product, and says nothing of what it was about."""
    operations = {f"cache.{word} prompt" for word in ("get_or_compute", "set", "delete", "explain", "compute")}
    parts = {"workflow.run", "workflow.node layer", "execute_tool read_file", "MGET", "EVALSHA"} | operations

    def whole() -> list[dict[str, Any]]:
        # a trace comes to Jaeger piece by piece
        found = sung.traces("glasscache-canary", time.time() - 600, time.time())
        names = {span["operationName"] for trace in found for span in trace["spans"]}
        return found if parts <= names else []

    traces = until(whole, 120, f"a trace with {sorted(parts)}")
    assert WORD not in json.dumps(traces)
    api = sung.traces("glasscache", time.time() - 600, time.time())
    assert WORD not in json.dumps(api)


def test_prometheus_has_not_heard_the_word(sung: Stack) -> None:
    """No series, label, exemplar or description of any job has it."""
    own = 'cache_requests_total{job="glasscache-canary"}'
    until(lambda: sung.query(own), 60, "the caller's figures")
    now = time.time()
    everything = sung.prometheus("series", **{"match[]": '{__name__=~".+"}'})
    exemplars = sung.prometheus("query_exemplars", query='{__name__=~".+"}', start=now - 900, end=now)
    about = sung.prometheus("metadata")

    assert len(everything) > 1000
    assert WORD not in json.dumps([everything, exemplars, about])


def test_no_log_and_no_exposition_has_the_word(sung: Stack) -> None:
    """Every container's log, the JSON and both kinds of exposition."""
    assert WORD not in sung.compose("logs", "--no-color")
    assert WORD not in json.dumps([sung.app("/cache/metrics"), sung.app("/cache/metrics?scope=fleet")])
    with urllib.request.urlopen(f"http://127.0.0.1:{sung.ports[0]}/metrics", timeout=10) as answer:
        assert WORD not in answer.read().decode()


def test_no_queue_on_the_collectors_disk_has_the_word(sung: Stack) -> None:
    """What waits for Prometheus and Jaeger lies in files; they are read as they are."""
    volume = next(
        mount["Name"]
        for one in sung.containers("otel-collector")
        for mount in one["Mounts"]
        if mount["Destination"] == "/var/lib/otelcol"
    )
    look = f"ls /queues; grep -rl {WORD} /queues || true"
    shown = run(
        "docker", "run", "--rm", "--user", "0", "--volume", f"{volume}:/queues:ro", "--entrypoint", "sh",
        "valkey/valkey:9.1.2", "-c", look,
    )  # fmt: skip
    assert shown.split()
    assert not [line for line in shown.splitlines() if line.startswith("/queues/")]
