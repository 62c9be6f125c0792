"""Snapshots: the JSON of ``GET /cache/metrics``, read back with nothing taken on trust; the stretch between two."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cache.errors import SnapshotError
from telemetry.histogram import Histogram

LARGEST = 1 << 53
"""Largest count: beyond it JSON's numbers are not exact."""

MOST_NAMES = 256
"""Categories, reasons or buckets of one snapshot."""

TIMED = ("hit", "miss", "compute")
"""What has a histogram of durations."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Category:
    """What one category did.

    Args:
        reasons: misses by reason.
        errors: operations in trouble with the store, by kind.
        saved_s: seconds of computation that hits avoided.
        spent_s: seconds that the cache itself cost.
        durations: histograms of seconds, by ``TIMED``.
    """

    hits: int = 0
    misses: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    saved_s: float = 0.0
    spent_s: float = 0.0
    durations: Mapping[str, Histogram] = field(default_factory=dict)

    @property
    def lookups(self) -> int:
        """Hits and misses."""
        return self.hits + self.misses

    def since(self, earlier: Category) -> Category:
        """What was counted after ``earlier``.

        Raises:
            SnapshotError: something was counted less often.
        """
        hits, misses = self.hits - earlier.hits, self.misses - earlier.misses
        durations = {
            name: found.minus(earlier.durations[name] if earlier.durations[name].count else None)
            for name, found in self.durations.items()
        }
        if min(hits, misses, *(n for found in durations.values() for n in found.counts)) < 0:
            raise SnapshotError("the second snapshot counts less than the first: give the earlier one first")
        return Category(
            hits,
            misses,
            _less(self.reasons, earlier.reasons),
            _less(self.errors, earlier.errors),
            max(0.0, self.saved_s - earlier.saved_s),
            max(0.0, self.spent_s - earlier.spent_s),
            durations,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a process, or a fleet, did since it began to count.

    Args:
        lineage: what two snapshots of the same accounts have in common: scope, process, beginning.
        bounds: upper bounds of the buckets, seconds.
    """

    lineage: tuple[Any, ...]
    bounds: tuple[float, ...]
    categories: Mapping[str, Category]

    def since(self, earlier: Snapshot) -> Snapshot:
        """What happened after ``earlier``, which is of the same accounts.

        Raises:
            SnapshotError: it is not earlier.
        """
        if not earlier.categories.keys() <= self.categories.keys():
            raise SnapshotError("the second snapshot lacks a category of the first: give the earlier one first")
        nothing = Category(durations={name: Histogram(self.bounds) for name in TIMED})
        found = {name: part.since(earlier.categories.get(name, nothing)) for name, part in self.categories.items()}
        return Snapshot(self.lineage, self.bounds, found)


def read(document: Any) -> Snapshot:
    """Read what ``GET /cache/metrics`` gave.

    Raises:
        SnapshotError: it is something else; the text names the field.
    """
    top = _table(document, "the document")
    bounds = tuple(_number(value, "bucket_bounds_s") for value in _list(top, "bucket_bounds_s"))
    if not bounds or len(bounds) > MOST_NAMES or any(b <= a for a, b in itertools.pairwise(bounds)):
        raise SnapshotError("bucket_bounds_s: not a few ascending numbers")
    found = _names(_table(_of(top, "categories"), "categories"), "categories", lambda part, _: part)
    categories = {name: _category(part, bounds, f"categories.{name}") for name, part in found.items()}
    scope = "fleet" if top.get("scope") == "fleet" else "process"
    # whichever process answers for a fleet
    process = top.get("process") if scope == "process" else None
    return Snapshot((scope, process, _number(_of(top, "since"), "since")), bounds, categories)


def between(first: Snapshot, second: Snapshot) -> tuple[Snapshot, Snapshot, bool]:
    """What to compare: of the same accounts, what came after the first snapshot with what was there before it.

    Returns:
        Before, after, and whether both are of the same accounts.

    Raises:
        SnapshotError: the second of the same accounts is the earlier one, or their buckets differ.
    """
    if first.bounds != second.bounds:
        raise SnapshotError("the snapshots have different buckets: they are of versions that cannot be compared")
    if first.lineage != second.lineage:
        return first, second, False
    return first, second.since(first), True


def _category(part: Any, bounds: tuple[float, ...], where: str) -> Category:
    part = _table(part, where)
    buckets = _table(_of(part, "buckets", where), f"{where}.buckets")
    return Category(
        _count(_of(part, "hits", where), f"{where}.hits"),
        _count(_of(part, "misses", where), f"{where}.misses"),
        _names(_of(part, "miss_reasons", where), f"{where}.miss_reasons", _count),
        _names(_of(part, "error_types", where), f"{where}.error_types", _count),
        _number(_of(part, "seconds_avoided", where), f"{where}.seconds_avoided"),
        _number(_of(part, "seconds_spent", where), f"{where}.seconds_spent"),
        {name: _histogram(_of(buckets, name, where), bounds, f"{where}.buckets.{name}") for name in TIMED},
    )


def _histogram(part: Any, bounds: tuple[float, ...], where: str) -> Histogram:
    part = _table(part, where)
    counts = [_count(n, f"{where}.counts") for n in _list(part, "counts", where)]
    if len(counts) != len(bounds) + 1:
        raise SnapshotError(f"{where}.counts: {len(counts)} counts for {len(bounds)} bounds")
    made = Histogram(bounds)
    made.counts, made.count, made.total = counts, sum(counts), _number(_of(part, "sum", where), f"{where}.sum")
    return made


def _of(table: Mapping[str, Any], name: str, where: str = "the document") -> Any:
    if name not in table:
        raise SnapshotError(f"{where} has no {name!r}: it is no JSON of /cache/metrics of this version")
    return table[name]


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SnapshotError(f"{where} is no object")
    return value


def _list(table: Mapping[str, Any], name: str, where: str = "the document") -> Sequence[Any]:
    found = _of(table, name, where)
    if not isinstance(found, list):
        raise SnapshotError(f"{name} is no list")
    return found


def _names(value: Any, where: str, of: Callable[[Any, str], V]) -> dict[str, V]:
    table = _table(value, where)
    if len(table) > MOST_NAMES or any(len(name) > MOST_NAMES or not name.isprintable() for name in table):
        raise SnapshotError(f"{where}: more names, or longer ones, than there can be")
    return {name: of(found, f"{where}.{name}") for name, found in table.items()}


def _count(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise SnapshotError(f"{where} is no count")
    return value


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not 0 <= value <= LARGEST or not math.isfinite(value):
        raise SnapshotError(f"{where} is no number from 0 on")
    return float(value)


def _less(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    found = {name: n - before.get(name, 0) for name, n in now.items()}
    if min(found.values(), default=0) < 0:
        raise SnapshotError("the second snapshot counts less than the first: give the earlier one first")
    return found
