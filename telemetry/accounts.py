"""Where a ledger counts: one account for each category and operation, its label sets resolved beforehand.

An account is added to by the ledger, under its lock; what it holds is moved into figures when somebody reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from telemetry.buckets import Buckets, Ids
from telemetry.events import Lookup, OperationEvent
from telemetry.figures import Figures
from telemetry.histogram import Histogram
from telemetry.schema import (
    AGE_BUCKETS,
    COMPUTE_DURATION_METRIC,
    DURATION_BUCKETS,
    ENTRY_AGE_METRIC,
    ENTRY_SIZE_METRIC,
    FLIGHT_WAIT_DURATION,
    OPERATION_DURATION,
    SIZE_BUCKETS,
    Metric,
    operation_span,
)
from telemetry.vocabulary import ErrorType, FlightScope, Operation, Outcome, Tier
from telemetry.worth import LOOK_EVERY, Worth, of_another, of_computation, of_hits

Ended = tuple[Outcome, Tier | None]
"""How a whole operation ended: what its duration is counted under."""

Series = tuple[tuple[str | None, ...], Buckets]
"""A histogram and its labels, in the order of the metric's attributes."""

Waiting = tuple[float, float, float, Ids | None]
"""A lookup that was served and nothing else: its duration, the entry's age (or ``NO_AGE``), the seconds it avoided."""

NO_AGE = -1.0
_NO_LOOKUP: Ended = (Outcome.OK, None)


class Cell:
    """How often one label set was looked up, and the durations that it shares with those that end alike.

    Args:
        waiting: operations of one such lookup that are yet to be added; appended to by any thread without a lock.
    """

    __slots__ = ("durations", "n", "waiting")

    def __init__(self, durations: Buckets) -> None:
        self.durations = durations
        self.n = 0
        self.waiting: list[Waiting] = []


class CategoryAccount:
    """What is counted by category alone."""

    __slots__ = (
        "ages", "avoided_s", "batches", "bytes_stored", "computations", "name", "overhead_s", "sizes", "timed", "waits",
        "worth"
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.begin()

    def begin(self) -> None:
        """Begin at nothing."""
        self.avoided_s = self.overhead_s = 0.0
        self.timed = False
        self.bytes_stored = self.batches = 0
        self.worth: dict[Worth, float] = {}
        self.ages: Buckets | None = None
        self.sizes: Buckets | None = None
        self.computations: dict[ErrorType | None, Buckets] = {}
        self.waits: dict[FlightScope, Buckets] = {}

    def ages_of(self, ages_s: list[float], ids: Ids | None) -> None:
        """Count the ages of the entries that one operation was served, seconds."""
        if self.ages is None:
            self.ages = Buckets(AGE_BUCKETS)
        self.ages.record_together(ages_s, ids)

    def size(self, size: int, ids: Ids | None) -> None:
        """Count the size of an entry that was stored, bytes."""
        if self.sizes is None:
            self.sizes = Buckets(SIZE_BUCKETS)
        self.bytes_stored += size
        where = self.sizes.record(size)
        if ids is not None:
            self.sizes.exemplars[where] = (size, *ids)

    def computed(self, seconds: float, failure: ErrorType | None, ids: Ids | None) -> None:
        """Count a computation, seconds."""
        buckets = self.computations.get(failure)
        if buckets is None:
            buckets = self.computations[failure] = Buckets(DURATION_BUCKETS)
        where = buckets.record(seconds)
        if ids is not None:
            buckets.exemplars[where] = (seconds, *ids)
        if failure is None:
            self.worthy(of_computation(seconds))

    def again(self, before_s: float, seconds: float) -> None:
        """Count that a key took another time than before, seconds."""
        self.worthy(of_another(before_s, seconds))

    def worthy(self, sums: Mapping[Worth, float]) -> None:
        """Add to what tells how sure the savings are."""
        worth = self.worth
        for what, n in sums.items():
            worth[what] = worth.get(what, 0.0) + n

    def waited(self, scope: FlightScope, seconds: float, ids: Ids | None) -> None:
        """Count a wait, seconds."""
        buckets = self.waits.get(scope)
        if buckets is None:
            buckets = self.waits[scope] = Buckets(DURATION_BUCKETS)
        where = buckets.record(seconds)
        if ids is not None:
            buckets.exemplars[where] = (seconds, *ids)

    def settle(self, figures: Figures) -> None:
        """Move the sums into ``figures``."""
        name = self.name
        for what, n in self.worth.items():
            figures.worth[name, what] = figures.worth.get((name, what), 0.0) + n
        self.worth.clear()
        if not self.timed:
            return
        figures.overhead_s[name] = figures.overhead_s.get(name, 0.0) + self.overhead_s
        figures.avoided_s[name] = figures.avoided_s.get(name, 0.0) + self.avoided_s
        if self.bytes_stored:
            figures.bytes_stored[name] += self.bytes_stored
        self.overhead_s, self.avoided_s, self.bytes_stored, self.timed = 0.0, 0.0, 0, False

    def histograms(self, figures: Figures) -> None:
        """Add the histograms to figures that have none of this category yet."""
        if self.ages is not None:
            self.ages.add_to(figures.ages.setdefault(self.name, Histogram(AGE_BUCKETS)))
        if self.sizes is not None:
            self.sizes.add_to(figures.sizes.setdefault(self.name, Histogram(SIZE_BUCKETS)))
        for buckets in self.computations.values():
            buckets.add_to(figures.computations.setdefault(self.name, Histogram(DURATION_BUCKETS)))
        for scope, buckets in self.waits.items():
            buckets.add_to(figures.wait_times.setdefault((self.name, scope), Histogram(DURATION_BUCKETS)))

    def series(self, metric: Metric) -> Iterator[Series]:
        """The histograms that are exported under ``metric``."""
        if metric is COMPUTE_DURATION_METRIC:
            yield from (((self.name, failure), buckets) for failure, buckets in self.computations.items())
        if metric is FLIGHT_WAIT_DURATION:
            yield from (((self.name, scope), buckets) for scope, buckets in self.waits.items())
        found = {ENTRY_AGE_METRIC.name: self.ages, ENTRY_SIZE_METRIC.name: self.sizes}.get(metric.name)
        if found is not None:
            yield (self.name,), found


class Account:
    """What is counted of one operation in one category.

    Args:
        category: as it is counted: a known one, or ``other``.
    """

    __slots__ = ("category", "cells", "durations", "operation", "span_name")

    def __init__(self, category: CategoryAccount, operation: Operation) -> None:
        self.category, self.operation = category, operation
        self.span_name = operation_span(operation, category.name)
        self.begin()

    def begin(self) -> None:
        """Begin at nothing."""
        self.cells: dict[Lookup, Cell] = {}
        self.durations: dict[Ended, Buckets] = {}

    def cell(self, lookup: Lookup) -> Cell:
        """Where a lookup that ended so is counted."""
        made = self.cells[lookup] = Cell(self.ended(lookup[:2]))
        return made

    def ended(self, ended: Ended) -> Buckets:
        """The durations of operations that ended so."""
        found = self.durations.get(ended)
        if found is None:
            found = self.durations[ended] = Buckets(DURATION_BUCKETS)
        return found

    def requests(self, event: OperationEvent) -> Buckets | None:
        """Count the lookups of an event; gives the durations that the operation's belongs to if there was but one."""
        if not event.lookups:
            return self.ended(_NO_LOOKUP)
        cells, cell = self.cells, None
        for lookup, n in event.lookups.items():
            cell = cells.get(lookup) or self.cell(lookup)
            cell.n += n
        return cell.durations if cell is not None and len(event.lookups) == 1 else None

    def add_waiting(self) -> int:
        """Add what waits; gives how many operations could not be added as they should."""
        return sum(self.add_cell(cell) for cell in tuple(self.cells.values()) if cell.waiting)

    def add_cell(self, cell: Cell) -> int:
        """Add what waits in one cell, all at once."""
        n = len(cell.waiting)
        part = cell.waiting[:n]
        # others may append meanwhile, behind these
        del cell.waiting[:n]
        cell.n += n
        if self._added(cell, part):
            return 0
        return sum(not self._added(cell, [one]) for one in part)

    def _added(self, cell: Cell, part: list[Waiting]) -> bool:
        """True when all of them are added; otherwise none is."""
        if not part:
            return True
        category = self.category
        try:
            durations, ages, avoided, ids = zip(*part, strict=True)
            aged = ids
            if min(ages) < 0.0:
                aged = tuple(span for age_s, span in zip(ages, ids, strict=True) if age_s >= 0.0)
                ages = tuple(age_s for age_s in ages if age_s >= 0.0)
            overhead_s, avoided_s = sum(durations), sum(avoided)
            worth = of_hits(avoided, look=category.batches % LOOK_EVERY == 0) if avoided_s else None
            cell.durations.record_all(durations, ids)
        except Exception:
            return False
        category.timed = True
        category.overhead_s += overhead_s
        category.avoided_s += avoided_s
        if worth is not None:
            category.batches += 1
            category.worthy(worth)
        if ages:
            if category.ages is None:
                # the first of these was measured some time ago
                category.ages = Buckets(AGE_BUCKETS, cell.durations.start_ns)
            category.ages.record_all(ages, aged)
        return True

    def settle(self, figures: Figures) -> None:
        """Move the counts into ``figures``."""
        name, operation = self.category.name, self.operation
        for (outcome, tier, reason), cell in self.cells.items():
            if cell.n:
                figures.requests[name, operation, outcome, tier, reason] += cell.n
                cell.n = 0

    def histograms(self, figures: Figures) -> None:
        """Add the durations to figures that have none of them yet; they know of no operation and no tier."""
        for (outcome, _), buckets in self._timed():
            key = self.category.name, outcome
            buckets.add_to(figures.durations.setdefault(key, Histogram(DURATION_BUCKETS)))

    def series(self, metric: Metric) -> Iterator[Series]:
        """The histograms that are exported under ``metric``."""
        if metric is OPERATION_DURATION:
            name, operation = self.category.name, self.operation
            yield from (((name, operation, *ended), buckets) for ended, buckets in self._timed())

    def _timed(self) -> Iterator[tuple[Ended, Buckets]]:
        """Those that operations ended in; a lookup of a batch may end in another way than the batch."""
        return ((ended, buckets) for ended, buckets in self.durations.items() if buckets.count)
