"""Writes ``docs/telemetry.md`` from ``telemetry/schema.py``: ``python tools/make_docs.py [--check]``.

With ``--check`` nothing is written, and the exit code is 1 when the page is not fresh.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from telemetry import schema, series, vocabulary  # noqa: E402
from telemetry.schema import Kind, Metric, SpanKind  # noqa: E402

PAGE = ROOT / "docs" / "telemetry.md"

CATEGORIES = (*vocabulary.BUILT_IN_CATEGORIES, vocabulary.OTHER, vocabulary.GENERAL, vocabulary.ALL)

SETS: dict[str, Iterable[str]] = {
    schema.OPERATION: vocabulary.Operation,
    schema.OUTCOME: vocabulary.Outcome,
    schema.TIER: vocabulary.Tier,
    schema.MISS_REASON: vocabulary.MissReason,
    schema.MISS_TRIGGER: vocabulary.MissTrigger,
    schema.ERROR_TYPE: vocabulary.ErrorType,
    schema.RESULT: (*vocabulary.WriteResult, *vocabulary.VerificationResult),
    schema.BOUND: vocabulary.Bound,
    schema.TRIGGER: vocabulary.Trigger,
    schema.FLIGHT_SCOPE: vocabulary.FlightScope,
    schema.BREAKER_TO: vocabulary.BreakerState,
    schema.BREAKER_STATE: vocabulary.BreakerState,
    schema.EVICTION_CAUSE: vocabulary.EvictionCause,
}
"""Attributes whose values are an enum's members."""

MEANINGS: dict[str, tuple[str, str]] = {
    schema.CATEGORY: ("text", "Where an operation is counted"),
    schema.OPERATION: ("text", "What the caller asked for"),
    schema.OUTCOME: ("text", "How it ended; of a batch the worst of its lookups"),
    schema.TIER: ("text", "Where the answer came from; with `hit` and `stale` only"),
    schema.MISS_REASON: ("text", "Why it missed; with `miss` only"),
    schema.MISS_TRIGGER: ("text", "What made the entry invalid; with the reason `invalidated` only"),
    schema.ERROR_TYPE: (
        "text",
        "Trouble with the store; on `cache.compute` and `workflow.*` what was raised: `timeout` or `other`",
    ),
    schema.RESULT: ("text", "What became of a write, or what was found when a hit was computed again"),
    schema.BOUND: ("text", "Which end of an estimate's interval, or its middle"),
    schema.VERIFIED_STORED: ("text", "Digest of the stored value, keyed anew by each process, where it differs"),
    schema.VERIFIED_COMPUTED: ("text", "Digest of the value that was computed now, where it differs"),
    schema.VERIFIED_REPEATABLE: ("bool", "False when the computation did not give the same twice"),
    schema.TRIGGER: ("text", "What caused a delete or an invalidation"),
    schema.FLIGHT_SCOPE: ("text", "How far the computation that was waited for is shared"),
    schema.STORE: ("text", "What a store is reached by: the scheme of its URL"),
    schema.BREAKER_TO: ("text", "The state that a breaker changed to"),
    schema.BREAKER_STATE: ("text", "The breaker's state after trouble with the store"),
    schema.EVICTION_CAUSE: ("text", "Why the local tier let an entry go"),
    schema.TTL: ("float, s", "Seconds left until the entry expires"),
    schema.KEY_DIGEST: ("text", "First 16 hex of the key's SHA-256; on spans only"),
    schema.ENTRY_AGE: ("float, s", "Seconds since the entry was made"),
    schema.ENTRY_SIZE: ("int, By", "Bytes of the stored entry"),
    schema.BATCH_SIZE: ("int", "How many keys or scopes"),
    schema.BATCH_HITS: ("int", "How many of a batch's keys were hits"),
    schema.BATCH_MISSES: ("int", "How many missed"),
    schema.BATCH_STALE: ("int", "How many were answered by an expired entry"),
    schema.BATCH_ERRORS: ("int", "How many the store did not answer"),
    schema.BATCH_BYPASSED: ("int", "How many were not asked for"),
    f"{schema.BATCH_MISS_REASON}.*": ("int", "How many missed for the reason in the place of `*`"),
    f"{schema.BATCH_MISS_TRIGGER}.*": ("int", "How many missed for what was made invalid by the trigger in its place"),
    f"{schema.WRITES_ATTRIBUTE}.*": ("int", "How many writes ended with the result in the place of `*`"),
    schema.FENCE_REFUSED: ("bool", "True when a fence refused a write"),
    schema.DELETES_ATTRIBUTE: ("int", "How many keys were removed"),
    schema.INVALIDATIONS_ATTRIBUTE: ("int", "How many scopes or patterns were made invalid"),
    schema.COMPUTE_DURATION: ("float, s", "Seconds that the caller's computation took"),
    schema.RUN_HITS: ("int", "Hits in the run"),
    schema.RUN_MISSES: ("int", "Misses in the run"),
    schema.RUN_ERRORS: ("int", "Operations of the run that met trouble with the store"),
    schema.RUN_TIME_SAVED: ("float, s", "Seconds that the run's hits would have cost"),
    schema.RUN_ID: ("text", "32 hex: the same in all processes that took part; on spans and in baggage only"),
    f"{schema.RUN_MISS_REASON}.*": ("int", "How many of the run's lookups missed for the reason in the place of `*`"),
    schema.RUN_WAITS: ("int", "Waits of the run for other callers' computations"),
    schema.RUN_TIME_IN_CACHE: ("float, s", "Seconds that the cache itself took, over all threads and tasks"),
    schema.RUN_TIME_IN_COMPUTE: ("float, s", "Seconds of all computations; one inside another counts in both"),
    schema.RUN_TIME_IN_WAIT: ("float, s", "Seconds of all waits"),
    f"{schema.RUN_CRITICAL}.*": (
        "float, s",
        "Seconds of the run's critical path by whose they are; `steps`: its longest pieces, as texts",
    ),
    "gen_ai.operation.name": ("text", "GenAI convention: `execute_tool` or `embeddings`"),
    "gen_ai.tool.name": ("text", "GenAI convention: the tool's name"),
    "gen_ai.tool.type": ("text", "GenAI convention: `function`"),
    "gen_ai.provider.name": ("text", "GenAI convention: who serves the model"),
    "gen_ai.request.model": ("text", "GenAI convention: the model's name"),
    "gen_ai.embeddings.dimension.count": ("int", "GenAI convention: length of a vector"),
}
"""Type and meaning of every attribute; one that is missing here stops the generator."""

INTRO = """# Telemetry

<!-- Made by tools/make_docs.py from telemetry/schema.py: do not edit, run `python tools/make_docs.py`. -->

Every span, attribute and metric of glasscache. One event per operation feeds all of them, so spans, OTLP, the scrape of
`/metrics` and the JSON of `/cache/metrics` agree; [architecture](architecture.md#one-event-one-ledger-four-roads) says
how. [The guide](guide.md#telemetry) says how to switch it on.

Instrumentation scope: `{scope}`. No key, value, prompt, path or task id is in any span or label. Keys appear as a short
digest, on spans only. A span's status is `ERROR` only when the caller's own code failed; trouble with the store is an
attribute.

## Categories

Built in: {built_in}. At most {most} stand beside them, the shipped `static` and those
that the application registers; one beyond that is counted as `{other}`, and so is a key of the plain client whose
prefix no category owns. `{general}` is what `record_*` counts under by default, `{all}` an operation over several
categories.

The label sets of a metric stay under the SDK's limit of {limit} with all categories registered; a test holds that. A
counter's series exist from the start, at zero, so that a first error or miss is seen as an increase.

## Spans
"""

BETWEEN = """
Spans of Redis commands come from `opentelemetry-instrumentation-redis`. Our set-up adds what it leaves out of the
database convention, bounds `db.query.text` to 1 KiB and names pipelines `PIPELINE {command}` or `PIPELINE`.

The spans of tools and embeddings name a failure by `error.type` too: there it is the error's class.

## Attributes
"""

METRICS_INTRO = """
In Prometheus a label is the attribute's name with underscores.

## Metrics

Buckets are advisory: a View of the application wins.
"""

PLANNED_INTRO = """## Planned metrics

Named already, fed by later stages. Nothing of them is exported yet.
"""


def code(words: Iterable[str]) -> str:
    """Words as code, separated by commas."""
    return ", ".join(f"`{word}`" for word in words)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of a table."""
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def words_of(metric: Metric, attribute: str) -> list[str]:
    """The values that a metric's label can have, in the order of their enum."""
    at = metric.attributes.index(attribute)
    found = {str(labels[at]) for labels in series.label_sets(metric, CATEGORIES) if labels[at] is not None}
    known = [str(word) for word in SETS.get(attribute, CATEGORIES)]
    return [word for word in known if word in found]


def labels(metric: Metric) -> Iterator[str]:
    """One line for each label of a metric: its name in Prometheus and its closed set."""
    for attribute in metric.attributes:
        name = f"`{attribute}` (`{schema.prometheus_label(attribute)}`)"
        if metric.planned:
            yield f"- {name}"
        elif attribute == schema.CATEGORY:
            yield f"- {name}: see [categories](#categories)"
        elif attribute == schema.STORE:
            yield f"- {name}: the scheme of the store's URL"
        else:
            yield f"- {name}: {code(words_of(metric, attribute))}"


def number(bound: float) -> str:
    """A bound without an exponent: ``0.00001``."""
    return f"{bound:.6f}".rstrip("0").rstrip(".")


def prometheus(metric: Metric) -> str:
    """A metric's series names in Prometheus."""
    name = metric.prometheus
    return code([f"{name}_{part}" for part in ("bucket", "sum", "count")] if metric.kind is Kind.HISTOGRAM else [name])


def metric_lines(metric: Metric) -> Iterator[str]:
    """A metric's section."""
    yield f"### `{metric.name}`"
    yield ""
    yield f"{metric.description}{' Planned: not exported yet.' if metric.planned else ''}"
    yield ""
    yield f"- {metric.kind.value.replace('_', '-')}, unit {f'`{metric.unit}`' if metric.unit else 'none'}"
    yield f"- in Prometheus: {prometheus(metric)}"
    yield from labels(metric)
    if metric.buckets:
        yield f"- buckets: {', '.join(map(number, metric.buckets))}"
    yield ""


def span_row(span: SpanKind) -> tuple[str, ...]:
    """A span's row."""
    return f"`{span.name}`", span.kind, span.description, code(span.attributes)


def attribute_row(name: str) -> tuple[str, ...]:
    """An attribute's row.

    Raises:
        KeyError: nobody has said what it means.
    """
    kind, meaning = MEANINGS[name]
    values = (
        code(map(str, SETS[name])) if name in SETS else "[categories](#categories)" if name == schema.CATEGORY else ""
    )
    return f"`{name}`", kind, meaning, values


def attributes() -> list[str]:
    """Every attribute of every span and metric, once, in the order of their first mention."""
    of_spans = [name for span in schema.SPANS for name in span.attributes]
    of_metrics = [name for metric in (*schema.METRICS, *schema.PLANNED) for name in metric.attributes]
    return list(dict.fromkeys([*of_spans, *of_metrics]))


def page() -> str:
    """The whole page."""
    lines = [
        INTRO.format(
            scope=schema.SCOPE,
            built_in=code(vocabulary.BUILT_IN_CATEGORIES),
            most=vocabulary.MAX_REGISTERED_CATEGORIES,
            other=vocabulary.OTHER,
            general=vocabulary.GENERAL,
            all=vocabulary.ALL,
            limit=series.LIMIT,
        ),
        *table(("Span", "Kind", "What it is", "Attributes"), map(span_row, schema.SPANS)),
        BETWEEN,
        *table(("Attribute", "Type", "Meaning", "Closed set"), map(attribute_row, attributes())),
        METRICS_INTRO,
    ]
    for metric in schema.METRICS:
        lines += metric_lines(metric)
    lines += [PLANNED_INTRO]
    for metric in schema.PLANNED:
        lines += metric_lines(metric)
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is fresh."""
    made = page()
    if "--check" in arguments:
        fresh = PAGE.exists() and PAGE.read_text() == made
        print("fresh" if fresh else f"not fresh: run python tools/{Path(__file__).name}")
        return 0 if fresh else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
