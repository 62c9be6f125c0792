"""The machinery over a real server and a real sink: workers, interleaved rounds, spans that are counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import rows_hits
from benchmarks.crew import Bench, WorkerError
from benchmarks.peers import HAND
from benchmarks.place import cores
from benchmarks.report import RATIO


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    where = cores()
    started = Bench.start(quick=True)
    yield started
    started.close()
    assert cores() == where


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "rounds", lambda *_: 3)


def test_every_call_has_its_span_at_the_sink(bench: Bench) -> None:
    """redis-py by hand under the Redis instrumentation: one span a call, no more, no fewer; unsampled none."""
    team = [(HAND, "sampled"), (HAND, "unsampled")]

    base, sampled, unsampled = rows_hits.measured(bench, "hit", "json200", "unix", team)

    assert (base.unit, base.rounds) == ("µs", 3)
    assert (sampled.void, sampled.detail["spans_per_call"]) == ("", 1.0)
    assert (unsampled.void, unsampled.detail["spans_per_call"]) == ("", 0.0)
    assert sampled.unit == RATIO
    assert 0 < sampled.low <= sampled.value <= sampled.high


def test_a_contender_that_cannot_is_a_void_row(bench: Bench) -> None:
    """Who has no such job stands in the table with the reason; the others are measured."""
    rows = list(rows_hits.measured(bench, "many", "json200", "unix", [(HAND, "sampled")]))

    assert [row.name for row in rows] == ["many/json200/unix/base", "many/json200/by-hand/sampled"]
    assert rows[1].void == "KeyError: 'many'"


def test_a_missing_span_makes_a_row_void(bench: Bench) -> None:
    """The account has teeth: calls that the sink knows nothing of are seen."""
    (hand,) = bench.crew([(HAND.name, "sampled", {})])
    hand.ask("open", job="hit", name="json200", url=bench.server.url)
    hand.account()
    hand.service = "nobody"
    replies = {hand.service: [hand.ask("paced", n=5, rate=500.0)]}
    try:
        reason, _ = rows_hits.audited(hand, replies)
    finally:
        hand.service = f"{HAND.name}.sampled"

    assert reason == "5 calls, but 0 spans"


def test_a_wrong_question_ends_no_worker(bench: Bench) -> None:
    """An error is an answer."""
    (hand,) = bench.crew([(HAND.name, "sampled", {})])

    with pytest.raises(WorkerError, match="paced"):
        hand.ask("paced", rate="?")
    assert hand.ask("pin", cores=[]) == {}
