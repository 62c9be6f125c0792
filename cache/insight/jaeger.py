"""Runs out of Jaeger's answers: the JSON of its query service, read with nothing taken on trust.

Source: Jaeger's ``/api/traces/{id}`` and ``/api/traces?service=``, the JSON of its own user interface
(``model/json/model.go``): times in microseconds, tags as a list of key, type and value.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from telemetry import schema
from telemetry.critical_path import critical_path
from telemetry.steps import Part, Step
from telemetry.vocabulary import ErrorType, MissReason, Operation, Outcome, Tier

MOST_SPANS = 20_000
"""Spans of one trace that are looked at; the others are counted as left out."""

LONGEST_NAME = 64
"""Characters of a span's name."""

_NODE = schema.WORKFLOW_NODE_SPAN.name.partition("{")[0]
_PARTS = {
    schema.COMPUTE_SPAN.name.partition("{")[0]: Part.COMPUTE,
    schema.WAIT_SPAN.name.partition("{")[0]: Part.WAIT,
}


@dataclass(frozen=True, slots=True)
class _Span:
    """One span as Jaeger tells of it; times in seconds."""

    trace: str
    number: int
    parent: str
    name: str
    began: float
    seconds: float
    tags: Mapping[str, Any] = field(default_factory=dict)


def runs_in(document: Any) -> list[dict[str, Any]]:
    """The runs in an answer, as ``GET /cache/runs/{run_id}`` shows them; by when they began.

    Raises:
        ValueError: this is no answer of Jaeger's.
    """
    try:
        traces = document["data"] or []
        found = [run for trace in traces for run in _runs(trace["spans"])]
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no traces as Jaeger tells of them: {type(error).__name__}") from None
    return sorted(found, key=lambda run: run["began"])


def _runs(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    spans = {str(raw["spanID"]): _span(raw, number) for number, raw in enumerate(listed[:MOST_SPANS], 1)}
    below: dict[str, list[str]] = defaultdict(list)
    for name, span in spans.items():
        below[span.parent].append(name)
    roots = [name for name, span in spans.items() if span.name == schema.RUN_SPAN or schema.RUN_ID in span.tags]
    return [_run(name, spans, below, len(listed) - len(spans)) for name in roots]


def _span(raw: dict[str, Any], number: int) -> _Span:
    parents = [str(ref["spanID"]) for ref in raw.get("references") or () if ref.get("refType") == "CHILD_OF"]
    tags = {str(tag["key"]): tag.get("value") for tag in raw.get("tags") or ()}
    began, seconds = _number(raw["startTime"]) / 1e6, _number(raw["duration"]) / 1e6
    name = str(raw["operationName"])[:LONGEST_NAME]
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return _Span(str(raw["traceID"]), number, parents[0] if parents else "", shown, began, seconds, tags)


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError("no time as Jaeger tells of it")
    return float(value)


def _run(root: str, spans: Mapping[str, _Span], below: Mapping[str, list[str]], left_out: int) -> dict[str, Any]:
    run = spans[root]
    steps = list(_steps(root, spans, below))
    tags = run.tags
    reasons = {reason: _count(tags, f"{schema.RUN_MISS_REASON}.{reason}") for reason in MissReason}
    return {
        "run_id": str(tags.get(schema.RUN_ID) or run.trace),
        "trace_id": run.trace,
        "span_id": root,
        "name": run.name,
        "began": run.began,
        "seconds": run.seconds,
        "failed": bool(tags.get("error")),
        "hits": _count(tags, schema.RUN_HITS),
        "misses": _count(tags, schema.RUN_MISSES),
        "errors": _count(tags, schema.RUN_ERRORS),
        "waits": _count(tags, schema.RUN_WAITS),
        "saved_s": _seconds(tags, schema.RUN_TIME_SAVED),
        "cache_s": _seconds(tags, schema.RUN_TIME_IN_CACHE),
        "compute_s": _seconds(tags, schema.RUN_TIME_IN_COMPUTE),
        "wait_s": _seconds(tags, schema.RUN_TIME_IN_WAIT),
        "left_out": left_out,
        "process": 0,
        "miss_reasons": {reason.value: n for reason, n in sorted(reasons.items()) if n},
        "critical_path": critical_path(steps, run.seconds).as_dict(),
        "steps": [step.as_dict() for step in sorted(steps, key=lambda step: step.began_s)],
    }


def _steps(root: str, spans: Mapping[str, _Span], below: Mapping[str, list[str]]) -> Iterable[Step]:
    """What lies below a run; each span once, whatever Jaeger says of their parents."""
    run, seen = spans[root], {root}
    waiting = [(name, 0, Part.APPLICATION) for name in below[root]]
    while waiting:
        name, parent, around = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        span = spans[name]
        step = _step(span, run, parent, around)
        yield step
        waiting += [(child, span.number, step.part) for child in below.get(name, ())]


def _step(span: _Span, run: _Span, parent: int, around: Part) -> Step:
    """A span as a step; what is none of ours takes the time of what it lies in."""
    tags, name = span.tags, span.name
    plain = (parent, span.number, span.began - run.began, span.seconds)
    for head, part in _PARTS.items():
        if name.startswith(head):
            return Step(part, name.removeprefix(head), *plain)
    operation = _word(Operation, tags.get(schema.OPERATION))
    if operation is None:
        part = Part.CACHE if "db.system.name" in tags or "db.system" in tags else around
        return Step(part, name.removeprefix(_NODE), *plain)
    return Step(
        Part.CACHE,
        str(tags.get(schema.CATEGORY) or "other")[:LONGEST_NAME],
        *plain,
        operation,
        _word(Outcome, tags.get(schema.OUTCOME)),
        _word(Tier, tags.get(schema.TIER)),
        tuple(_reasons(tags)),
        str(tags[schema.KEY_DIGEST])[:16] if schema.KEY_DIGEST in tags else None,
        _word(ErrorType, tags.get(schema.ERROR_TYPE)),
        _count(tags, schema.BATCH_SIZE) if schema.BATCH_SIZE in tags else None,
        _count(tags, schema.BATCH_HITS) or int(tags.get(schema.OUTCOME) == Outcome.HIT),
    )


def _reasons(tags: Mapping[str, Any]) -> Iterable[tuple[MissReason, int]]:
    for reason in MissReason:
        n = _count(tags, f"{schema.BATCH_MISS_REASON}.{reason}") or int(tags.get(schema.MISS_REASON) == reason)
        if n:
            yield reason, n


def _word(words: Any, value: Any) -> Any:
    """A word of a closed set; None for anything else."""
    try:
        return words(value)
    except ValueError:
        return None


def _count(tags: Mapping[str, Any], name: str) -> int:
    return int(_seconds(tags, name))


def _seconds(tags: Mapping[str, Any], name: str) -> float:
    value: Any = tags.get(name)
    return float(value) if type(value) in (int, float) and 0 <= value < math.inf else 0.0
