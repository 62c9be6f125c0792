"""Draws a trace of Jaeger's in the terminal: ``curl -s localhost:16686/api/traces/ID | python tools/show_trace.py``.

Each span with its duration, and what the cache says of it: outcome, tier, why it missed.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

WORDS = ("cache.outcome", "cache.tier", "cache.miss.reason", "error.type")
COUNTS = ("cache.batch.hits", "cache.batch.misses", "cache.run.hits", "cache.run.misses")


def said(span: dict[str, Any]) -> str:
    """What the span's attributes tell."""
    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
    words = [str(tags[name]) for name in WORDS if name in tags]
    counts = [f"{tags[name]} {name.rpartition('.')[2]}" for name in COUNTS if name in tags]
    return f"  [{', '.join(words + counts)}]" if words or counts else ""


def draw(spans: list[dict[str, Any]]) -> list[str]:
    """One line a span, children below their parent, in the order of time."""
    known = {span["spanID"] for span in spans}
    below: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in sorted(spans, key=lambda one: one["startTime"]):
        parent = next((ref["spanID"] for ref in span["references"] if ref["spanID"] in known), "")
        below[parent].append(span)
    lines: list[str] = []

    def walk(parent: str, depth: int) -> None:
        for span in below[parent]:
            lines.append(f"{'  ' * depth}{span['operationName']}  {span['duration'] / 1000:.1f} ms{said(span)}")
            walk(span["spanID"], depth + 1)

    walk("", 0)
    return lines


if __name__ == "__main__":
    traces = json.load(sys.stdin)["data"] or []
    if not traces:
        sys.exit("no such trace: it was not kept, or Jaeger does not have it yet")
    print("\n".join(draw(traces[0]["spans"])))
