"""A run against the last: what counts as worse, what does not, and the second chance."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.compare import settled, worse
from benchmarks.report import Report, Row

HIT = "hit/json200/unix/glasscache/sampled"
CROWD = "tasks/json200/throughput/glasscache/sampled"


def row(value: float, name: str = HIT, *, spread: float = 0.02, unit: str = "x", void: str = "") -> Row:
    return Row(name, name, value, value * (1 - spread), value * (1 + spread), unit, 30, void)


def report(*rows: Row) -> Report:
    return Report({}, True, 1.0, list(rows))


def never(_: Sequence[str]) -> list[Row]:
    raise AssertionError("nothing was suspicious")


@pytest.mark.parametrize(("now", "faults"), [(0.80, 0), (0.90, 0), (0.91, 0), (0.93, 1), (2.0, 1), (0.1, 0)])
def test_a_ratio_may_get_worse_by_the_margin(now: float, faults: int) -> None:
    assert len(worse(report(row(0.80)), report(row(now)))) == faults


def test_where_more_is_better_less_is_worse() -> None:
    last = report(row(10.0, CROWD))

    assert worse(last, report(row(30.0, CROWD))) == []
    (found,) = worse(last, report(row(5.0, CROWD)))
    assert str(found) == f"{CROWD}: 10.00 -> 5.00, more than 15% worse"


@pytest.mark.parametrize("noisy", ["last", "this"])
def test_a_noisy_run_allows_more(noisy: str) -> None:
    last = report(row(1.0, spread=0.3 if noisy == "last" else 0.0))
    this = report(row(1.5, spread=0.3 if noisy == "this" else 0.0))

    assert worse(last, this) == []
    assert len(worse(report(row(1.0)), report(row(1.5)))) == 1


def test_only_ratios_of_ours_are_compared() -> None:
    others = [("hit/json200/unix/dogpile/sampled", "x"), ("hit/json200/unix/base", "µs"), ("loop/worst", "ms")]
    last = report(*(row(1.0, name, unit=unit) for name, unit in others))

    assert worse(last, report(*(row(9.0, name, unit=unit) for name, unit in others))) == []


def test_a_row_of_one_run_alone_is_not_compared() -> None:
    assert worse(report(row(1.0)), report(row(9.0, CROWD))) == []


def test_a_row_that_counted_and_is_void_now_is_worse() -> None:
    assert [found.name for found in worse(report(row(1.0)), report(row(1.0, void="3 were dropped")))] == [HIT]
    assert worse(report(row(1.0, void="dropped")), report(row(9.0))) == []


def test_what_looks_worse_is_measured_once_more() -> None:
    asked: list[Sequence[str]] = []

    def again(groups: Sequence[str]) -> list[Row]:
        asked.append(groups)
        return [row(0.82), row(99.0, CROWD)]

    this = report(row(1.5), row(10.0, CROWD))

    assert settled(report(row(0.80), row(10.0, CROWD)), this, again) == []
    assert asked == [["hit"]]
    assert [each.value for each in this.rows] == [0.82, 10.0]


def test_what_stays_worse_fails() -> None:
    this = report(row(1.5))

    assert len(settled(report(row(0.80)), this, lambda _: [row(1.6)])) == 1
    assert this.rows[0].value == 1.5


def test_a_void_row_takes_the_second_measurement() -> None:
    assert settled(report(row(0.80)), report(row(0.0, void="dropped")), lambda _: [row(0.81)]) == []


def test_a_run_that_is_as_good_is_measured_once() -> None:
    assert settled(report(row(0.80)), report(row(0.81)), never) == []


@pytest.mark.parametrize("processor", ["another", "some, virtual (KVM), L2 1, L3 2"])
def test_another_machine_may_be_much_worse(processor: str) -> None:
    """Neither another machine nor a lent one tells a few per cent; twice as much is a fault on any."""
    last, this = report(row(0.80)), report(row(1.2))
    last.machine = {"processor": "some, virtual (KVM), L2 1, L3 2"}
    this.machine = {"processor": processor}
    assert worse(last, this) == []
    this.rows = [row(1.7)]
    assert len(worse(last, this)) == 1
