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
    rows: list[dict[str, Any]] = []
    _walk(max(roots, key=_seconds), children, 0, rows)
    return rows


def _walk(span: EndedSpan, children: dict[int, list[EndedSpan]], depth: int, rows: list[dict[str, Any]]) -> None:
    row = {"depth": depth, "name": span.name, "seconds": _seconds(span), "count": 1, **_said(span)}
    inner: list[dict[str, Any]] = []
    for child in children[span.context.span_id]:
        _walk(child, children, depth + 1, inner)
    last = _last_sibling(rows, depth)
    if last is not None and not inner and _like(rows[last]) == _like(row) and last == len(rows) - 1:
        rows[last]["count"] += 1
        rows[last]["seconds"] += row["seconds"]
        return
    rows.append(row)
    rows += inner


def _last_sibling(rows: list[dict[str, Any]], depth: int) -> int | None:
    return len(rows) - 1 if rows and rows[-1]["depth"] == depth else None


def _like(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["name"], row.get("outcome"), row.get("reasons")


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
