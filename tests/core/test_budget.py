"""Budgets: what is counted, when the store is told and asked, and what a process does not forget."""

from __future__ import annotations

import pytest

from cache.core import budget as budgets
from cache.core.budget import ASK_AGAIN_S, KEY_BYTES, PORTIONS, Budget, Budgets
from cache.testing.clock import ManualClock

LIMIT = 256_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def budget(clock: ManualClock) -> Budget:
    """One of which the store has said that nothing is used."""
    made = Budget(LIMIT, clock.monotonic)
    made.told(0)
    return made


def told(budget: Budget, used: int = 0) -> dict[int, int]:
    """Report, and hear what all have used; bytes by the seconds that they are kept."""
    report = budget.report()
    rest = list(budget.arguments(report))
    budget.told(used + sum(report.values()))
    return dict(zip(rest[::3], rest[2::3], strict=True))


def test_nothing_is_written_before_the_store_was_asked(clock: ManualClock) -> None:
    """What others have written counts from the first write on."""
    made = Budget(LIMIT, clock.monotonic)
    assert made.due
    made.told(LIMIT - 100)
    assert not made.due
    assert not made.take(101, 60)
    assert made.take(100, 60)


def test_a_report_is_due_at_each_part(budget: Budget) -> None:
    """Not before a 256th of the budget is unreported, and not after it was reported."""
    part = LIMIT // PORTIONS
    assert budget.take(part - 1, 60)
    assert not budget.due
    assert budget.take(1, 60)
    assert budget.due
    assert sum(told(budget).values()) == part
    assert not budget.due


@pytest.mark.parametrize("seconds", [0.4, 1, 15, 16, 60, 3900, 86_700, 315_360_000])
def test_what_is_written_counts_as_long_as_it_lives(seconds: float, budget: Budget, clock: ManualClock) -> None:
    """At least that, at most an eighth longer and three seconds, however late it is told."""
    clock.tick(12_345.678)
    budget.take(1, seconds)
    clock.tick(0.25)
    report = budget.report()
    (left, width, size) = budget.arguments(report)
    assert size == 1
    assert seconds - 0.25 <= left <= left + width <= seconds * 1.125 + 3


def test_what_ends_at_about_the_same_time_is_one_sum(budget: Budget, clock: ManualClock) -> None:
    """However much is written, a report is short."""
    for n in range(1000):
        budget.take(1, 3600 + n % 300)
        clock.tick(0.01)
    assert len(budget.report()) <= 16


def test_who_refuses_asks_again_a_second_later(budget: Budget, clock: ManualClock) -> None:
    """Not at each refusal; and what the others' ends have made room for is known then."""
    assert budget.take(LIMIT, 60)
    told(budget)
    assert budget.spent
    assert not budget.take(1, 60)
    assert not budget.due
    clock.tick(ASK_AGAIN_S)
    assert budget.due
    told(budget, LIMIT)
    assert not budget.due
    assert not budget.take(1, 60)
    assert not budget.due
    clock.tick(ASK_AGAIN_S)
    told(budget)
    assert not budget.spent
    assert budget.take(1, 60)


def test_what_is_refused_is_not_counted(budget: Budget) -> None:
    """A large value that has no room leaves the room to smaller ones."""
    assert not budget.take(LIMIT + 1, 60)
    assert budget.take(LIMIT - KEY_BYTES, 60)
    assert not budget.spent
    budget.charge(KEY_BYTES, 60)
    assert budget.spent
    assert sum(told(budget).values()) == LIMIT


def test_a_report_that_failed_is_made_again(budget: Budget, clock: ManualClock) -> None:
    """Nothing is lost, and nothing is taken for known."""
    budget.take(500, 60)
    report = budget.report()
    budget.take(300, 60)
    budget.failed(report)
    assert budget.due
    assert sum(told(budget).values()) == 800


def test_what_is_under_way_counts(budget: Budget) -> None:
    """While a report travels others write on, and not beyond the budget."""
    assert budget.take(LIMIT - 10, 60)
    budget.report()
    assert not budget.due
    assert not budget.take(11, 60)
    assert budget.take(10, 60)


def test_a_forked_child_reports_its_own_alone(clock: ManualClock) -> None:
    """What the parent has not told yet the parent will tell."""
    made = Budgets(LIMIT, clock.monotonic)
    budget = made.of("a")
    budget.told(0)
    budget.take(500, 60)
    made.begin_anew()
    assert budget.due
    assert budget.report() == {}
    assert made.of("a") is budget


def test_the_memory_of_tenants_is_bounded(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> None:
    """The latest used are remembered, and what they have not told."""
    monkeypatch.setattr(budgets, "REMEMBERED", 3)
    made = Budgets(LIMIT, clock.monotonic)
    first = made.of("0")
    for n in range(1, 4):
        made.of(str(n))
        first_again = made.of("0")
        assert first_again is first
    assert len(made._budgets) == 3
