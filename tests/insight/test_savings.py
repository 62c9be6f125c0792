"""Does it pay: the estimate and its interval, against simulated streams whose truth the test knows."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest

from cache.insight import savings
from cache.metrics import summarise
from telemetry.events import OperationEvent
from telemetry.ledger import Ledger
from telemetry.savings import Spread, Sums, by_category, estimate, quantile, spread, table, total
from telemetry.vocabulary import Bound, FlightScope, MissReason, Operation, Outcome, Tier
from telemetry.worth import Worth, of_another, of_computation

RUNS = 1000
OVERHEAD_S = 0.0005


class Stream:
    """Requests to one category: keys of different cost and popularity, times that spread by ``cv`` within a key.

    Args:
        turns: keys are asked for in turns instead of by chance, so that a key is never asked for twice in a row.
    """

    def __init__(self, rand: random.Random, *, keys: int, requests: int, cv: float, turns: bool = False) -> None:
        self.rand, self.ledger = rand, Ledger()
        self.sigma = math.sqrt(math.log1p(cv * cv))
        self.means = [rand.lognormvariate(-3.0, 1.0) for _ in range(keys)]
        self.weights = [1.0 / (rank + 1) for rank in range(keys)]
        rand.shuffle(self.weights)
        self.requests, self.turns, self.truth_s = requests, turns, 0.0

    def time_of(self, key: int) -> float:
        """What one computation takes."""
        return self.means[key] * self.rand.lognormvariate(-self.sigma * self.sigma / 2, self.sigma)

    def asked(self) -> Iterator[int]:
        """The keys, in the order in which they are asked for."""
        if self.turns:
            return (n % len(self.means) for n in range(self.requests))
        return iter(self.rand.choices(range(len(self.means)), self.weights, k=self.requests))

    def run(self, lifetime: int) -> None:
        """Ask for all; an entry answers ``lifetime`` requests after it was made, then its key is computed again."""
        entries: dict[int, tuple[int, float]] = {}
        for at, key in enumerate(self.asked()):
            made, cost_s = entries.get(key, (-lifetime, 0.0))
            event = OperationEvent("tool", Operation.GET_OR_COMPUTE)
            took = self.time_of(key)
            if at - made < lifetime:
                event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0, cost_s=cost_s)
                # what this very hit would have cost: nobody but the test can know
                self.truth_s += took
                self.ledger.apply(event, OVERHEAD_S)
                self.truth_s -= OVERHEAD_S
                continue
            event.looked(Outcome.MISS, reason=MissReason.EXPIRED if cost_s else MissReason.COLD)
            event.computed_again(cost_s, took)
            event.computed_in(took, None)
            entries[key] = at, took
            self.ledger.apply(event, took + OVERHEAD_S)
            self.truth_s -= OVERHEAD_S


SHAPES = {
    "popular keys": {"keys": 30, "requests": 240, "cv": 0.3},
    "times that spread": {"keys": 30, "requests": 240, "cv": 0.8},
    "keys in turns": {"keys": 50, "requests": 300, "cv": 0.5, "turns": True},
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_interval_holds_the_truth(shape: str) -> None:
    """95 % intervals hold it in 93 % of a thousand runs at least, and are no wider than they are worth."""
    held, widths = 0, 0.0
    for seed in range(RUNS):
        stream = Stream(random.Random(f"{shape}{seed}"), **SHAPES[shape])
        stream.run(lifetime=stream.requests // 4)
        (saving,) = by_category(stream.ledger.figures()).values()
        assert saving.interval is not None
        low, high = saving.interval
        held += low <= stream.truth_s <= high
        widths += (high - low) / saving.seconds
    print(f"{shape}: {held / RUNS:.1%} of {RUNS} intervals hold the truth, mean width {widths / RUNS:.1%} of it")
    assert held >= 0.93 * RUNS
    assert widths / RUNS < 1.5


def counted(*costs_s: float, overhead_s: float = 0.001, category: str = "tool", computed: int = 2) -> Ledger:
    """A ledger with computations of 0.1 s and hits that spare ``costs_s``."""
    ledger = Ledger()
    for n in range(computed):
        event = OperationEvent(category, Operation.GET_OR_COMPUTE)
        event.looked(Outcome.MISS, reason=MissReason.COLD)
        event.computed_in(0.1 + 0.001 * n, None)
        ledger.apply(event, 0.1 + 0.001 * n + overhead_s)
    for cost_s in costs_s:
        event = OperationEvent(category, Operation.GET_OR_COMPUTE)
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=1.0, cost_s=cost_s)
        ledger.apply(event, overhead_s)
    return ledger


def test_all_that_the_cache_cost_is_taken_off() -> None:
    """Lookups, misses and writes, waiting; what a waiting caller was given is put on the other side."""
    ledger = counted(0.1, 0.1, 0.1)
    event = OperationEvent("tool", Operation.GET_OR_COMPUTE)
    event.looked(Outcome.MISS, reason=MissReason.COLD)
    event.waited(FlightScope.PROCESS)
    event.wait_s, event.shared_s = 0.06, 0.1
    ledger.apply(event, 0.061)
    saving = by_category(ledger.figures())["tool"]
    assert saving.sums.avoided_s == pytest.approx(0.3) and saving.sums.shared_s == 0.1
    assert saving.sums.waited_s == pytest.approx(0.06) and saving.sums.spent_s == pytest.approx(0.006)
    assert saving.seconds == pytest.approx(0.3 + 0.1 - 0.06 - 0.006)


def test_a_category_that_loses_is_named_and_one_that_may_by_chance_is_not() -> None:
    """In the JSON; also one without a single hit; never one that nobody measured."""
    losing = counted(0.001, 0.001, overhead_s=0.05)
    winning = counted(0.1, 0.1)
    for category, ledger in (("tool", losing), ("prompt", winning)):
        said = summarise(ledger.figures(), ("tool",))
        assert said["losing"] == (["tool"] if ledger is losing else []), category
        assert said["categories"]["tool"]["savings"]["loses"] is (ledger is losing)
    assert summarise(counted(overhead_s=0.01).figures(), ())["losing"] == ["tool"]
    assert summarise(counted(0.0, 0.0, computed=0).figures(), ())["losing"] == []


def test_every_road_says_the_same() -> None:
    """The metric's points are the JSON's numbers."""
    figures = counted(0.1, 0.2, 0.1).figures()
    said = summarise(figures, ())["categories"]["tool"]["savings"]
    assert table(figures) == {
        ("tool", Bound.LOW): said["low"],
        ("tool", Bound.MIDDLE): said["seconds"],
        ("tool", Bound.HIGH): said["high"],
    }


def test_without_two_computations_there_is_no_interval() -> None:
    """A process that only reads what others computed says what it saved, and that it cannot say how surely."""
    saving = by_category(counted(0.1, 0.1, computed=1).figures())["tool"]
    assert saving.seconds > 0 and saving.interval is None and not saving.loses
    assert "too few" in savings.as_json(saving)["note"]
    assert total([saving, by_category(counted(0.1).figures())["tool"]]).interval is None


def test_sums_of_processes_are_the_sums_of_all() -> None:
    """Figures that were added up say what one process would that had done it all."""
    parts = [counted(0.1, 0.2), counted(0.3)]
    both = parts[0].figures().plus(parts[1].figures())
    (saving,) = by_category(both).values()
    assert saving.sums.avoided_s == pytest.approx(0.6) and saving.sums.hits == 3
    assert saving.interval is not None


def test_keys_that_were_computed_twice_tell_their_spread_better() -> None:
    """Ten pairs are believed more than the whole category, whose keys differ."""
    worth: dict[Worth, float] = {}
    for n in range(10):
        for sums in (of_another(n + 1.0, n + 1.0), of_computation(n + 1.0)):
            worth = {what: worth.get(what, 0.0) + sums.get(what, 0.0) for what in worth.keys() | sums.keys()}
    found = spread(worth)
    assert found is not None and found.share == 0.0
    alone = spread({what: n for what, n in worth.items() if not what.startswith("again")})
    assert alone is not None and 0.2 < alone.share < 0.3


def test_a_run_is_estimated_with_the_spread_of_all() -> None:
    """What a run counted is enough: the spread comes from the process."""
    figures = counted(0.1, 0.1).figures()
    run = savings.of_run({"tool": Sums(hits=3, avoided_s=0.3, spent_s=0.01)}, figures)
    assert run.seconds == pytest.approx(0.29) and run.interval is not None
    low, high = run.interval
    assert low < 0.29 < high


def test_the_quantile_is_students() -> None:
    """Values of the printed table."""
    printed = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 30: 2.042}
    assert all(quantile(freedom) == pytest.approx(value, rel=0.01) for freedom, value in printed.items())
    assert quantile(math.inf) == pytest.approx(1.96, abs=0.001)


def test_nothing_spread_is_nothing_unsure() -> None:
    """Computations that all take as long leave no doubt."""
    saving = estimate(Sums(2, 0.2, 0.0), Spread(0.0, 10.0))
    assert saving.interval == (0.2, 0.2)
