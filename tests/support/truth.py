"""A count made from return values, and the same numbers as each road out of the telemetry tells them."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from support.otlp_sink import Sink, values

Key = tuple[str, ...]

_BATCH = {"hits": "hit", "misses": "miss", "stale": "stale", "errors": "error", "bypassed": "bypass"}


@dataclass
class Truth:
    """Numbers by what they count; each key begins with its category."""

    requests: Counter[Key] = field(default_factory=Counter)
    """category, operation, outcome"""
    writes: Counter[Key] = field(default_factory=Counter)
    """category, result"""
    deletes: Counter[Key] = field(default_factory=Counter)
    invalidations: Counter[Key] = field(default_factory=Counter)
    errors: Counter[Key] = field(default_factory=Counter)
    """category, operation"""
    invalid: Counter[Key] = field(default_factory=Counter)
    """category, trigger: misses of what was invalid"""
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def looked(self, category: str, operation: str, outcome: str, n: int = 1) -> None:
        with self.lock:
            self.requests[category, operation, outcome] += n

    def missed(self, category: str, trigger: str | None, n: int = 1) -> None:
        """A miss of what ``trigger`` made invalid; None: nothing did."""
        if trigger is not None:
            with self.lock:
                self.invalid[category, trigger] += n

    def wrote(self, category: str, result: str, n: int = 1) -> None:
        with self.lock:
            self.writes[category, result] += n

    def failed(self, category: str, operation: str) -> None:
        with self.lock:
            self.errors[category, operation] += 1

    def deleted(self, category: str, n: int = 1) -> None:
        with self.lock:
            self.deletes[(category,)] += n

    def invalidated(self, category: str, n: int = 1) -> None:
        with self.lock:
            self.invalidations[(category,)] += n

    def bare(self) -> Truth:
        """The same without zeros."""
        counters = (self.requests, self.writes, self.deletes, self.invalidations, self.errors, self.invalid)
        return Truth(*(Counter({key: n for key, n in counter.items() if n}) for counter in counters))


def of_spans(sink: Sink) -> Truth:
    """What the exported spans say."""
    truth = Truth()
    for span in sink.spans:
        said = values(span.attributes)
        if "cache.operation" not in said:
            continue
        category, operation = said["cache.category"], said["cache.operation"]
        batch = {word: said.get(f"cache.batch.{word}", 0) for word in _BATCH}
        if any(batch.values()):
            for word, outcome in _BATCH.items():
                truth.looked(category, operation, outcome, batch[word])
        elif said["cache.outcome"] != "ok":
            truth.looked(category, operation, said["cache.outcome"])
        for name, n in said.items():
            if name.startswith("cache.batch.invalidated."):
                truth.missed(category, name.rpartition(".")[2], n)
            if name.startswith("cache.writes."):
                truth.wrote(category, name.rpartition(".")[2], n)
        truth.missed(category, said.get("cache.miss.trigger"))
        truth.deleted(category, said.get("cache.deletes", 0))
        truth.invalidated(category, said.get("cache.invalidations", 0))
        if "error.type" in said:
            truth.failed(category, operation)
    return truth.bare()


def _fill(truth: Truth, name: str, said: dict[str, Any], n: int) -> None:
    category = said["cache.category"]
    if name == "cache.requests":
        truth.looked(category, said["cache.operation"], said["cache.outcome"], n)
    elif name == "cache.writes":
        truth.wrote(category, said["cache.result"], n)
    elif name == "cache.deletes":
        truth.deleted(category, n)
    elif name == "cache.invalidations":
        truth.invalidated(category, n)
    elif name == "cache.invalidated.lookups":
        truth.missed(category, said["cache.miss.trigger"], n)
    elif name == "cache.errors":
        truth.errors[category, said["cache.operation"]] += n


_COUNTERS = (
    "cache.requests", "cache.invalidated.lookups", "cache.writes", "cache.deletes", "cache.invalidations",
    "cache.errors",
)  # fmt: skip


_ATTRIBUTES = {"cache_miss_trigger": "cache.miss.trigger"}


def of_otlp(sink: Sink) -> Truth:
    """What the OTLP metrics say."""
    truth = Truth()
    for name in _COUNTERS:
        for point in sink.metrics[name].sum.data_points:
            _fill(truth, name, values(point.attributes), int(getattr(point, point.WhichOneof("value"))))
    return truth.bare()


def of_prometheus(exposition: str) -> Truth:
    """What the scrape of ``/metrics`` says."""
    truth, names = Truth(), {name.replace(".", "_"): name for name in _COUNTERS}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            name = names.get(sample.name.removesuffix("_total"))
            if name is not None and sample.name.endswith("_total"):
                said = {
                    _ATTRIBUTES.get(label, label.replace("cache_", "cache.", 1)): value
                    for label, value in sample.labels.items()
                }
                _fill(truth, name, said, int(sample.value))
    return truth.bare()


def of_json(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What ``/cache/metrics`` says of each category."""
    names = ("hits", "misses", "stale", "bypass", "errors", "writes", "deletes", "invalidations", "miss_triggers")
    return {category: {name: found[name] for name in names} for category, found in summary["categories"].items()}


def as_json(truth: Truth, categories: list[str]) -> dict[str, dict[str, Any]]:
    """A truth in the JSON's shape."""

    def outcome(category: str, word: str) -> int:
        return sum(n for (name, _, ended), n in truth.requests.items() if (name, ended) == (category, word))

    results = ("stored", "refused", "dropped", "too_large", "over_budget")
    return {
        category: {
            "hits": outcome(category, "hit"),
            "misses": outcome(category, "miss"),
            "stale": outcome(category, "stale"),
            "bypass": outcome(category, "bypass"),
            "errors": sum(n for (name, _), n in truth.errors.items() if name == category),
            "writes": {result: truth.writes[category, result] for result in results},
            "deletes": truth.deletes[(category,)],
            "invalidations": truth.invalidations[(category,)],
            "miss_triggers": {trigger: n for (name, trigger), n in sorted(truth.invalid.items()) if name == category},
        }
        for category in categories
    }
