"""Trees of ended spans, for programs that show them: what took long, and why the cache missed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from telemetry import schema


class EndedSpan(Protocol):
    """What a tree needs of an SDK's span."""

    @property
    def name(self) -> str: ...
    @property
    def context(self) -> Any: ...
    @property
    def parent(self) -> Any: ...
    @property
    def start_time(self) -> int | None: ...
    @property
    def end_time(self) -> int | None: ...
    @property
    def attributes(self) -> Any: ...


def _seconds(span: EndedSpan) -> float:
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def slowest_tree(spans: Sequence[EndedSpan], root: str = "workflow.run") -> list[dict[str, Any]]:
    """The slowest run as rows: depth, name, seconds, and what the cache said; equal rows in a row are counted."""
    roots = [span for span in spans if span.name == root]
    if not roots:
        return []
    children: dict[int, list[EndedSpan]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        if span.parent is not None:
            children[span.parent.span_id].append(span)
    return _block(max(roots, key=_seconds), children, 0)


def _block(span: EndedSpan, children: dict[int, list[EndedSpan]], depth: int) -> list[dict[str, Any]]:
    """A span's row and, below it, its children's; neighbours of one shape become one, with a count."""
    rows = [{"depth": depth, "name": span.name, "seconds": _seconds(span), "count": 1, **_said(span)}]
    last: list[dict[str, Any]] = []
    for child in children[span.context.span_id]:
        block = _block(child, children, depth + 1)
        if _shape(block) == _shape(last):
            _merge(last, block)
        else:
            rows += block
            last = block
    return rows


def _shape(block: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["depth"], row["name"], row.get("outcome"), tuple(row.get("reasons", ()))) for row in block]


def _merge(into: list[dict[str, Any]], block: list[dict[str, Any]]) -> None:
    for row, other in zip(into, block, strict=True):
        row["seconds"] += other["seconds"]
        row["count"] += other["count"]


def _said(span: EndedSpan) -> dict[str, Any]:
    """What a cache span says of its outcome."""
    found = dict(span.attributes or {})
    if "cache.outcome" not in found:
        return {}
    reasons = {
        name.rpartition(".")[2]: n for name, n in found.items() if name.startswith(f"{schema.BATCH_MISS_REASON}.")
    }
    if "cache.miss.reason" in found:
        reasons[found["cache.miss.reason"]] = 1
    said: dict[str, Any] = {"outcome": found["cache.outcome"]}
    if reasons:
        said["reasons"] = reasons
    if "cache.batch.size" in found:
        said["batch"] = found["cache.batch.size"]
        said["hits"] = found.get("cache.batch.hits", 0)
    return said


def median_durations(spans: Sequence[EndedSpan]) -> dict[str, dict[str, float]]:
    """Median seconds of single get_or_compute operations, by category (tools by name) and outcome."""
    names = {span.context.span_id: span.name for span in spans}
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for span in spans:
        attributes = dict(span.attributes or {})
        if attributes.get("cache.operation") != "get_or_compute":
            continue
        above = names.get(span.parent.span_id, "") if span.parent is not None else ""
        kind = above if above.startswith("execute_tool") else str(attributes["cache.category"])
        found[kind][str(attributes["cache.outcome"])].append(_seconds(span))
    return {
        kind: {outcome: statistics.median(values) for outcome, values in outcomes.items()}
        for kind, outcomes in found.items()
    }
