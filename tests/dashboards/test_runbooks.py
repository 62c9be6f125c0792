"""Runbooks: one page an alert, each with the same four parts, and nothing in them that is not there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import foreign_metrics
from support.rule_files import QUERY, RUNBOOKS, alerts, named, recordings, selectors

from cache.cli import parser
from cache.core.policies import Policy
from cache.settings import Settings
from telemetry import schema
from telemetry.schema import Kind

PAGES = sorted(RUNBOOKS.glob("*.md"))
PARTS = ["What it means", "Confirm", "Do", "Silence"]
CODE = re.compile(r"`([^`\n]+)`")
OTEL = {
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_METRICS_EXPORTER",
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_SAMPLER",
}
"""Variables of the SDK that the pages name; those that ``telemetry.otel_settings`` reads, and the sampler's."""


def code(page: Path) -> list[str]:
    """Everything that a page sets as code inside its lines."""
    return CODE.findall(QUERY.sub("", page.read_text()))


def commands(page: Path) -> list[str]:
    """The ``glasscache`` commands that a page names."""
    return [text for text in code(page) if text.split()[0] == "glasscache"]


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    """A link from an alert leads somewhere, and no page is left over."""
    assert {page.stem for page in PAGES} == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_have_the_same_parts_and_are_short(page: Path) -> None:
    """Who is woken finds the part that is needed, on one screen."""
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert len(text.splitlines()) <= 60
    assert all(len(part.split()) >= 3 for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_say_how_to_confirm(page: Path) -> None:
    """By a query and by a command."""
    confirm = page.read_text().split("## Confirm")[1].split("## Do")[0]
    assert QUERY.search(confirm) is not None
    assert "`glasscache " in confirm


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_queries_name_what_there_is(page: Path) -> None:
    """Metrics of the schema, of the recordings, or of the list of foreign ones."""
    ours = {
        f"{metric.prometheus}{part}"
        for metric in schema.METRICS
        for part in (("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",))
    }
    known = ours | {rule["record"] for rule in recordings()} | foreign_metrics.LABELS.keys()
    known |= foreign_metrics.PROMETHEUS_OWN | {"otelcol_exporter_(send", "enqueue)_failed_.+_total"}
    names = [
        name for query in QUERY.findall(page.read_text()) for selector in selectors(query) for name in named(selector)
    ]
    assert [name for name in names if name not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_their_options_exist(page: Path) -> None:
    """Each is taken by the real command line."""
    for text in commands(page):
        words = shlex.split(text)[1:]
        if words == ["--version"]:
            continue
        # `glasscache explain` alone speaks of the command; its key is the reader's
        if words == ["explain"]:
            words += ["tool", "key"]
        parser().parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_exist(page: Path) -> None:
    """Variables are those of the settings, of the SDK, or of the compose file."""
    ours = _variables()
    for text in code(page):
        for word in re.findall(r"\b(?:CACHE|OTEL|REDIS)_[A-Z_]+[A-Z]\b", text):
            assert word in ours | OTEL or word == "CACHE_TTL", f"{page.stem}: {word}"


def _variables() -> set[str]:
    aliases = (field.validation_alias for field in Settings.model_fields.values())
    return {str(choice) for alias in aliases for choice in getattr(alias, "choices", ())}


def test_fields_of_a_policy_exist() -> None:
    """What a page tells to set in a policy can be set."""
    fields = {"refresh_ahead", "serve_stale", "fleet", "wait_s", "max_bytes"}
    mentioned = {text for page in PAGES for text in code(page)} & fields
    assert mentioned == fields
    assert fields <= set(Policy.__dataclass_fields__)


def test_objectives_in_the_page_are_those_of_the_rules() -> None:
    """The thresholds that the page works out for an objective of a half."""
    text = (RUNBOOKS / "CacheHitRatioBurning.md").read_text()
    budget: Mapping[str, float] = {"critical": 14.4, "warning": 6, "info": 3}
    assert [round(0.5 - factor * 0.05 * 0.5, 3) for factor in budget.values()] == [0.14, 0.35, 0.425]
    assert "0.14, 0.35 and 0.425" in text


def test_nothing_else_is_in_the_folder() -> None:
    """Grafana's dashboard makes a panel of every page."""
    assert sorted(path.name for path in RUNBOOKS.iterdir()) == [page.name for page in PAGES]
