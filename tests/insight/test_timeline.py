"""The last minutes in bins, and what the page makes of them: against figures that are counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cache.insight.board import board
from cache.insight.signs import signs
from cache.insight.timeline import Timeline
from telemetry.figures import Figures
from telemetry.recorder import Recorder
from telemetry.vocabulary import BreakerState, ErrorType, MissReason, Operation, Outcome, Tier

WHOLE = {"complete": True, "note": None}


@pytest.fixture
def recorder() -> Recorder:
    """Accounts of the test's own."""
    return Recorder()


def look(recorder: Recorder, category: str, outcome: Outcome, times: int = 1, reason: MissReason | None = None) -> None:
    """So many lookups that end so; a hit saves half a second."""
    for _ in range(times):
        with recorder.operation(category, Operation.GET) as event:
            event.looked(outcome, tier=Tier.REDIS if outcome is Outcome.HIT else None, reason=reason, cost_s=0.5)
            if outcome is Outcome.ERROR:
                event.error = ErrorType.TIMEOUT


def test_each_bin_has_what_was_counted_in_it(recorder: Recorder) -> None:
    """What was there before the first look is nobody's traffic; later counts are in the bin of their look."""
    line = Timeline(bin_s=10, bins=3)
    look(recorder, "prompt", Outcome.HIT, 50)
    for at, hits, misses in ((100, 0, 0), (104, 2, 1), (111, 3, 0), (112, 1, 1)):
        look(recorder, "prompt", Outcome.HIT, hits)
        look(recorder, "prompt", Outcome.MISS, misses, MissReason.COLD)
        line.add(at, recorder.ledger.figures(), "fleet")
    rows = line.rows()
    assert [(row["t"], row["categories"]["prompt"][:2]) for row in rows] == [(100, [2, 1]), (110, [4, 1])]
    assert [row["seconds"] for row in rows] == [4, 8]
    assert rows[0]["categories"]["prompt"][5] == pytest.approx(1.0)
    assert rows[0]["hit"] is not None and rows[0]["hit"][0] <= rows[0]["hit"][1]
    assert sum(line.window().requests.values()) == 8


def test_old_bins_go_and_the_window_with_them(recorder: Recorder) -> None:
    """So many bins are kept, whether they came one after another or with gaps between them."""
    line = Timeline(bin_s=10, bins=3)
    for number in range(1000):
        look(recorder, "tool", Outcome.HIT)
        line.add(number * 10, recorder.ledger.figures(), "fleet")
    assert [row["t"] for row in line.rows()] == [9970, 9980, 9990]
    assert sum(line.window().requests.values()) == 3
    line.add(10_015, recorder.ledger.figures(), "fleet")
    assert [row["t"] for row in line.rows()] == [9990, 10_010]
    line.add(99_990, recorder.ledger.figures(), "fleet")
    assert [row["t"] for row in line.rows()] == [99_990]
    assert sum(line.window().requests.values()) == 0


def test_other_figures_continue_nothing(recorder: Recorder) -> None:
    """From the fleet's totals to one process's and back: no traffic is made up, and none is taken back."""
    line, mine = Timeline(bin_s=10, bins=9), Recorder()
    look(recorder, "tool", Outcome.HIT, 1000)
    look(mine, "tool", Outcome.HIT, 3)
    line.add(100, recorder.ledger.figures(), "fleet")
    line.add(102, mine.ledger.figures(), "process")
    look(mine, "tool", Outcome.HIT, 2)
    line.add(104, mine.ledger.figures(), "process")
    line.add(106, recorder.ledger.figures(), "fleet")
    assert sum(line.window().requests.values()) == 2

    before = recorder.ledger.figures()
    line.add(108, replace(before, requests=before.requests - before.requests), "fleet")
    line.add(109, before, "fleet")
    assert sum(line.window().requests.values()) == 1002
    line.add(110, replace(before, since=before.since + 1), "fleet")
    assert sum(line.window().requests.values()) == 1002


def shown(recorder: Recorder, line: Timeline) -> dict[str, object]:
    """The board of this moment."""
    return board(120.0, recorder.ledger.figures(), line, ("context", "tool"))


def test_the_board_adds_up(recorder: Recorder) -> None:
    """Totals are the sum of the categories, in all and in the window; names come in the given order."""
    line = Timeline(bin_s=10, bins=9)
    line.add(100, recorder.ledger.figures(), 1)
    for category, n in (("tool", 4), ("prompt", 2), ("context", 3)):
        look(recorder, category, Outcome.HIT, n)
        look(recorder, category, Outcome.MISS, 1, MissReason.EXPIRED)
    look(recorder, "tool", Outcome.MISS)
    look(recorder, "tool", Outcome.ERROR)
    line.add(101, recorder.ledger.figures(), 1)
    found = shown(recorder, line)
    categories = found["categories"]
    assert list(categories) == ["context", "tool", "prompt"]
    for part in ("total", "window"):
        for name in ("hit", "miss", "stale", "error", "bypass", "avoided_s"):
            assert sum(one[part][name] for one in categories.values()) == pytest.approx(found[part][name])
        assert found[part]["reasons"] == {"expired": 3, "not told": 1}
        assert (found[part]["hit"], found[part]["miss"], found[part]["errors"]) == (9, 4, {"timeout": 1})
    assert categories["tool"]["total"]["hit_s"][0] > 0


def test_nothing_is_wrong_with_nothing() -> None:
    """An empty board and no signs."""
    found = board(1.0, Figures(since=1.0), Timeline(), ())
    assert (found["bins"], found["categories"], found["total"]["hit_s"]) == ([], {}, None)
    assert signs(Figures(), Figures(), WHOLE) == []


def told(recorder: Recorder, about: dict[str, object] = WHOLE) -> list[tuple[str, str]]:
    """Level and subject of each sign."""
    figures = recorder.ledger.figures()
    found = signs(figures, figures, about)
    assert all(one["cure"] and one["found"] for one in found)
    return [(one["level"], one["what"]) for one in found]


def test_a_category_that_misses_for_one_reason_is_named_with_its_cure(recorder: Recorder) -> None:
    """The setting to change is written out; a few lookups say nothing, and neither does a good hit rate."""
    look(recorder, "tool", Outcome.HIT, 30)
    look(recorder, "tool", Outcome.MISS, 69, MissReason.EXPIRED)
    assert told(recorder) == []
    look(recorder, "tool", Outcome.MISS, 1, MissReason.COLD)
    assert told(recorder) == [("warn", "tool")]
    figures = recorder.ledger.figures()
    assert "CACHE_TTL_TOOL" in signs(figures, figures, WHOLE)[0]["cure"]
    look(recorder, "tool", Outcome.HIT, 100)
    assert told(recorder) == []


def test_trouble_stands_first(recorder: Recorder) -> None:
    """An open breaker and errors fail; what is not complete is to be looked at."""
    look(recorder, "prompt", Outcome.HIT, 90)
    look(recorder, "prompt", Outcome.ERROR, 2)
    recorder.ledger.breaker("redis", BreakerState.OPEN)
    recorder.ledger.drop()
    assert told(recorder, {"complete": False, "note": "of this process alone"}) == [
        ("fail", "store"),
        ("fail", "errors"),
        ("warn", "figures"),
        ("warn", "telemetry"),
    ]


def test_a_category_that_costs_more_than_it_saves_is_named(recorder: Recorder) -> None:
    """Only misses: every lookup was for nothing."""
    look(recorder, "prompt", Outcome.MISS, 100)
    assert told(recorder) == [("warn", "prompt")]
