"""What the files of the stack promise; nothing is started here."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from telemetry import schema

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
COLLECTOR: dict[str, Any] = yaml.safe_load((ROOT / "otel-collector.yaml").read_text())
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text())
JAEGER: dict[str, Any] = yaml.safe_load((ROOT / "dashboards/jaeger/config.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG_LIVED = sorted(SERVICES.keys() - {"volume-owner"})
SHELLLESS = {"otel-collector", "jaeger"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_held_tight(name: str) -> None:
    """Read-only root, no capability but the one-shot's, no new privilege, bounds on memory, tasks and logs."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "volume-owner" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+m", service["mem_limit"])
    assert service["pids_limit"] <= 128
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    """Every image has a full version; ours have the project's."""
    image = SERVICES[name]["image"]
    assert re.search(r":v?\d+\.\d+\.\d+$", image)
    if "build" in SERVICES[name]:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert image.endswith(f":{version}")
        assert f'version="{version}"' in (ROOT / "Dockerfile").read_text()
        assert image in (ROOT / "tools/build_images.sh").read_text()


def test_published_ports_are_on_loopback() -> None:
    """Four services publish one port each, on 127.0.0.1; the store and the Collector none."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"app", "prometheus", "jaeger", "grafana"}
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port) for (port,) in published.values())


@pytest.mark.parametrize("name", LONG_LIVED)
def test_every_service_that_can_be_asked_has_a_health_check(name: str) -> None:
    """All but those whose images hold nothing that could ask; and who depends on one waits for its health."""
    assert ("healthcheck" in SERVICES[name]) is (name not in SHELLLESS)
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_started" if needed in SHELLLESS else "service_healthy"
        assert how["condition"] == ("service_completed_successfully" if needed == "volume-owner" else wanted)


def test_the_store_is_reached_by_those_who_use_it() -> None:
    """The store's network has no way out, and neither Prometheus, Jaeger nor Grafana is on it."""
    assert COMPOSE["networks"]["store"] == {"internal": True}
    on_it = {name for name, service in SERVICES.items() if "store" in service.get("networks", [])}
    assert on_it == {"app", "traffic", "redis", "otel-collector"}
    assert SERVICES["redis"]["networks"] == ["store"]


def test_no_password_is_written_down() -> None:
    """A password is an empty variable until somebody sets it, and no command line has one."""
    text = (ROOT / "docker-compose.yml").read_text()
    defaults = re.findall(r"\$\{(\w*PASSWORD\w*):[-+](\w*)\}", text)
    assert {name for name, _ in defaults} == {"REDIS_PASSWORD", "REDIS_MONITOR_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD"}
    # "nopass" is what a user without a password is sent: any word will do
    assert {default for _, default in defaults} == {"", "nopass", "false", "true"}
    assert "PASSWORD" not in str([SERVICES[name].get("command") for name in SERVICES])


def test_programs_may_be_given_every_setting() -> None:
    """Each setting of ``Settings`` reaches both programs, or is set for them."""
    from cache.settings import Settings

    aliases = {
        name for one in Settings.model_fields.values() for name in one.validation_alias.choices if name.isupper()
    }
    for name in ("app", "traffic"):
        assert aliases - SERVICES[name]["environment"].keys() <= {"CACHE_API_TOKEN"}
    assert "CACHE_API_TOKEN" in SERVICES["app"]["environment"]


def test_memory_limiter_is_first_and_nothing_batches_but_the_queues() -> None:
    """Every pipeline that takes something in refuses before it runs full; exporters batch behind a queue on disk."""
    for name, pipeline in COLLECTOR["service"]["pipelines"].items():
        if pipeline["receivers"] != ["forward"]:
            assert pipeline["processors"][0] == "memory_limiter", name
    assert not any(name.startswith("batch") for name in COLLECTOR["processors"])
    for exporter in COLLECTOR["exporters"].values():
        assert exporter["sending_queue"]["storage"] == "file_storage"
        assert exporter["sending_queue"]["batch"]
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert "file_storage" in COLLECTOR["service"]["extensions"]


def test_span_metrics_see_every_span() -> None:
    """The connector is fed before the sampling, which has a pipeline of its own."""
    pipelines = COLLECTOR["service"]["pipelines"]
    assert pipelines["traces/in"]["exporters"] == ["spanmetrics", "forward"]
    assert "tail_sampling" not in pipelines["traces/in"]["processors"]
    assert pipelines["traces/kept"]["receivers"] == ["forward"]
    assert COLLECTOR["connectors"]["spanmetrics"]["exemplars"]["enabled"] is True


def test_sampling_reads_attributes_that_spans_have() -> None:
    """A policy on a name that no span carries would keep nothing, and nobody would notice."""
    policies = COLLECTOR["processors"]["tail_sampling"]["policies"]
    conditions = str([policy["ottl_condition"] for policy in policies if policy["type"] == "ottl_condition"])
    named = set(re.findall(r'attributes\["([^"]+)"\]', conditions))
    assert named <= {*schema.OPERATION_SPAN.attributes, *schema.VERIFY_SPAN.attributes}
    assert named >= {schema.OUTCOME, schema.BATCH_ERRORS, schema.BATCH_STALE, schema.FENCE_REFUSED, schema.ERROR_TYPE}
    assert {policy["type"] for policy in policies} >= {"status_code", "latency", "probabilistic"}


def test_limits_stand_in_order() -> None:
    """The limiter refuses before Go collects hard, and that is before the container is killed."""
    limiter = COLLECTOR["processors"]["memory_limiter"]["limit_mib"]
    service = SERVICES["otel-collector"]
    assert limiter < int(service["environment"]["GOMEMLIMIT"].removesuffix("MiB")) < int(service["mem_limit"][:-1])
    store = re.search(r"^maxmemory (\d+)mb$", (ROOT / "dashboards/redis/valkey.conf").read_text(), re.MULTILINE)
    assert store
    assert 10 <= int(store[1]) <= 50 < int(SERVICES["redis"]["mem_limit"][:-1])


def test_every_interval_is_the_same() -> None:
    """Exports, scrapes, span metrics and Grafana's step agree, or rates show gaps."""
    sources = yaml.safe_load((ROOT / "dashboards/grafana/provisioning/datasources/glasscache.yaml").read_text())
    intervals = {
        PROMETHEUS["global"]["scrape_interval"],
        COLLECTOR["connectors"]["spanmetrics"]["metrics_flush_interval"],
        COLLECTOR["receivers"]["redis"]["collection_interval"],
        sources["datasources"][0]["jsonData"]["timeInterval"],
        f"{int(SERVICES['app']['environment']['OTEL_METRIC_EXPORT_INTERVAL']) // 1000}s",
    }
    assert intervals == {"15s"}


def test_every_worker_of_the_defaults_is_scraped() -> None:
    """There is a target for each worker that the defaults start, in each service, and none beyond."""
    scrape = next(job for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "glasscache-scrape")
    targets = {(name, found["port"]) for found in scrape["dns_sd_configs"] for name in found["names"]}
    started = set()
    for name in ("app", "traffic"):
        workers = next(word for word in SERVICES[name]["command"] if "WORKERS" in word)
        base = int(SERVICES[name]["environment"]["OTEL_EXPORTER_PROMETHEUS_PORT"])
        started |= {(name, base + index) for index in range(int(re.findall(r"\d+", workers)[0]))}
    assert targets == started


def test_both_stores_are_bounded() -> None:
    """Prometheus and Jaeger forget after a while, and the queues have an end."""
    assert PROMETHEUS["storage"]["tsdb"]["retention"].keys() == {"time", "size"}
    assert JAEGER["extensions"]["jaeger_storage"]["backends"]["badger"]["badger"]["ttl"]["spans"]
    assert all(one["sending_queue"]["queue_size"] <= 128 << 20 for one in COLLECTOR["exporters"].values())


def test_users_of_the_store_have_no_more_than_they_need() -> None:
    """Three users, each from nothing; the default one may ping, nobody may administer."""
    rights = {
        words[1]: {word for word in words[2:] if word.startswith("+")}
        for line in (ROOT / "dashboards/redis/users.acl").read_text().splitlines()
        if (words := line.split()) and "-@all" in words
    }
    assert rights["default"] == {"+ping"}
    assert rights["monitor"] == {"+ping", "+info", "+client|setinfo"}
    assert not {
        word for word in rights["glasscache"] if "@" in word or word in ("+config", "+acl", "+flushall", "+keys")
    }


def test_start_script_hashes_what_it_is_given() -> None:
    """No password is left in the file that the server reads: its SHA-256, or nopass where there is none."""
    script = (ROOT / "dashboards/redis/start.sh").read_text()
    word = script[script.index("word() {") : script.index("}\n", script.index("word() {")) + 2]
    shell = ["sh", "-c", f'{word}\nword "$1"; echo; word ""', "sh", "pass word/&#1"]
    first, second = subprocess.run(shell, capture_output=True, text=True, check=True).stdout.split()
    assert re.fullmatch(r"#[0-9a-f]{64}", first)
    assert second == "nopass"


def test_grafana_stays_closed_and_silent() -> None:
    """No login, no admin with a known password, nothing asked of the internet."""
    import configparser

    ini = configparser.ConfigParser()
    ini.read(ROOT / "dashboards/grafana/grafana.ini")
    assert ini["auth"]["disable_login_form"] == "true"
    assert ini["auth.basic"]["enabled"] == "false"
    assert ini["security"]["disable_initial_admin_creation"] == "true"
    assert ini["auth.anonymous"]["org_role"] == "Viewer"
    off = ("reporting_enabled", "check_for_updates", "check_for_plugin_updates", "feedback_links_enabled")
    assert {ini["analytics"][name] for name in off} == {"false"}
    assert ini["plugins"]["preinstall_disabled"] == "true"


def test_provisioning_doubles_its_dollars() -> None:
    """Grafana expands ``$NAME`` in these files: what it shall keep is doubled, what is left is set by compose."""
    text = (ROOT / "dashboards/grafana/provisioning/datasources/glasscache.yaml").read_text()
    single = set(re.findall(r"(?<!\$)\$(?!\$)\{?(\w+)", text))
    assert single == {"JAEGER_PORT"} <= SERVICES["grafana"]["environment"].keys()


def test_only_what_the_images_need_is_sent_to_the_builder() -> None:
    """``.dockerignore`` begins by leaving everything out, and lets in what the Dockerfile copies."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {name for words in copied for name in words.split()}
