"""Rows, the file they are kept in, the tables, the pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import docs, table
from benchmarks.goals import GOALS, Goal, goal_of
from benchmarks.local_tier import MARKS
from benchmarks.method import Estimate
from benchmarks.report import Report, Row, row, single, void
from benchmarks.rows_local import counted
from benchmarks.states import dropped, variables

HIT = "hit/json200/unix/glasscache/sampled"


def report() -> Report:
    return Report(
        {"processor": "a fast one"},
        False,
        12.5,
        [
            row(HIT, "hit: glasscache, sampled", Estimate(0.81234567, 0.8, 0.83, 30), us=70.5),
            single("loop/worst", "loop blocked", 3.25, "ms"),
            void("hit/json200/unix/cashews/sampled", "cashews", "not installed"),
        ],
    )


def test_a_kept_run_comes_back(tmp_path: Path) -> None:
    report().write(tmp_path / "results" / "run.json")
    back = Report.read(tmp_path / "results" / "run.json")

    assert [each.name for each in back.rows] == [each.name for each in report().rows]
    assert back.rows[0].value == 0.812346
    assert back.rows[0].detail == {"us": 70.5}
    assert (back.machine, back.quick, back.seconds) == ({"processor": "a fast one"}, False, 12.5)


def test_merged_rows_keep_their_places() -> None:
    one = report()
    one.merged([single("loop/worst", "again", 1.0, "ms"), single("new/row", "new", 1.0, "ms")])

    assert [each.value for each in one.rows] == [0.81234567, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("value", "said"), [(0.85, "reached"), (1.1, "missed, above the floor"), (1.2, "below the floor")]
)
def test_a_row_is_held_to_its_goal(value: float, said: str) -> None:
    assert table.verdict(single(HIT, "", value, "x")) == said


def test_goals_know_which_way_is_better() -> None:
    assert Goal(5, more=True).reached(7) and not Goal(5, more=True).reached(3)
    assert Goal(5).reached(3) and not Goal(5).reached(7)
    assert str(Goal(0.9, floor=1.15)) == "≤ 0.9 (floor 1.15)"
    assert goal_of("hit/json2k/tcp/glasscache/sampled") is GOALS["hit/json*/*/glasscache/sampled"]
    assert goal_of("hit/json2k/tcp/dogpile/sampled") is None
    assert goal_of("hit/json200/unix/glasscache-plain/sampled") is None


def test_the_table_shows_figures_spread_and_voids() -> None:
    lines = table.text(report().rows).splitlines()

    assert lines[2].split("  ")[0] == "hit: glasscache, sampled"
    assert "0.81" in lines[2] and "0.80-0.83" in lines[2] and "reached" in lines[2]
    assert lines[3] == ""
    assert "3.25 ms" in lines[4] and "missed" in lines[4]
    assert "void" in lines[6] and "not installed" in lines[6]
    assert table.summary(report()) == "full run, 12 s: 3 rows, 1 of 2 goals reached, 1 void"


@pytest.mark.parametrize(("value", "text"), [(3.0, "3"), (0.25, "0.25"), (12.34, "12.3"), (4321.9, "4,322")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert table.number(value) == text


def test_a_page_gets_the_run_between_its_markers(tmp_path: Path) -> None:
    page, readme = tmp_path / "page.md", tmp_path / "readme.md"
    names = [*docs.PARTS, "machine", "summary", "missed"]
    page.write_text("\n".join(f"<!-- bench:{name} -->\nold\n<!-- /bench -->" for name in names))
    readme.write_text("before\n<!-- bench:six -->\n<!-- /bench -->\nafter\n")

    docs.write(report(), page, readme)

    assert "old" not in page.read_text()
    assert "| hit: glasscache, sampled | 0.81 | 0.80-0.83 |" in page.read_text()
    assert "| a hit, traced, counted, fenced and decoded | 0.81 |" in readme.read_text()
    assert "not measured" in readme.read_text()
    assert readme.read_text().startswith("before\n") and readme.read_text().endswith("after\n")
    docs.write(report(), page, readme)
    with pytest.raises(ValueError, match="no marker for six"):
        docs.replaced("", {"six": ""})


def test_the_pages_have_their_markers() -> None:
    found = re.findall(r"<!-- bench:(\w+) -->", docs.PAGE.read_text())

    assert sorted(found) == sorted([*docs.PARTS, "machine", "summary", "missed"])
    assert re.findall(r"<!-- bench:(\w+) -->", docs.README.read_text()) == ["six"]


def test_system_calls_are_counted_between_the_marks() -> None:
    begin, end = MARKS
    lines = ["read(0)", f'newfstatat(AT_FDCWD, "/{begin}")', "write(1)", "write(1)", f'newfstatat("/{end}")', "exit()"]

    assert counted(lines) == 2
    with pytest.raises(ValueError, match="no marks"):
        counted(lines[:3])


def test_dropped_spans_are_read_from_an_exposition() -> None:
    text = """# TYPE otel_sdk_processor_span_processed_total counter
otel_sdk_processor_span_processed_total{otel_component_type="batching_span_processor"} 900.0
otel_sdk_processor_span_processed_total{error_type="queue_full",otel_component_type="batching"} 7.0
cache_telemetry_dropped_total 2.0
"""
    assert dropped(text) == 9
    assert dropped("") == 0


def test_only_states_with_a_provider_have_variables() -> None:
    assert variables("bare", "http://x", "s") == variables("absent", "http://x", "s") == {}
    assert "OTEL_TRACES_SAMPLER" not in variables("sampled", "http://x", "s")
    assert variables("unsampled", "http://x", "s")["OTEL_TRACES_SAMPLER"] == "always_off"


def test_a_group_is_the_first_part_of_a_name() -> None:
    assert Row("loop/worst", "", 1.0, 1.0, 1.0, "ms").group == "loop"
