"""The queries' parts: selectors, rates, ratios, quantiles. Every name of ours is read from the schema.

Rates are taken over ``$__rate_interval``, totals over ``$__range``; a ratio is a sum over a sum.
"""

from __future__ import annotations

from collections.abc import Iterable

from dashboards.source import foreign
from telemetry import schema
from telemetry.schema import Metric, prometheus_label
from telemetry.vocabulary import Outcome

RATE, RANGE, BEFORE = "$__rate_interval", "$__range", "$before"
"""Windows: for a line, for a total over what is shown, and the one that is compared with."""

CATEGORY = prometheus_label(schema.CATEGORY)
OUTCOME = prometheus_label(schema.OUTCOME)
REASON = prometheus_label(schema.MISS_REASON)
MISS_TRIGGER = prometheus_label(schema.MISS_TRIGGER)
ERROR = prometheus_label(schema.ERROR_TYPE)
RESULT = prometheus_label(schema.RESULT)
TRIGGER = prometheus_label(schema.TRIGGER)
SCOPE = prometheus_label(schema.FLIGHT_SCOPE)
STORE = prometheus_label(schema.STORE)
BREAKER_TO = prometheus_label(schema.BREAKER_TO)

ANSWERED = (Outcome.HIT, Outcome.MISS)
"""What the hit rate is made of; stale answers, errors and bypasses are none of it."""

OTLP = f'job!="{foreign.SCRAPE_JOB}"'
"""One road only, or every figure would count twice."""


def selected(*matchers: str, process: bool = True) -> str:
    """The chosen jobs (and processes) as label matchers, with further ones."""
    chosen = ['job=~"$job"', OTLP, *(['instance=~"$instance"'] if process else []), *matchers]
    return "{" + ", ".join(chosen) + "}"


def one_of(label: str, words: Iterable[str]) -> str:
    """A matcher: the label has one of these words."""
    listed = [str(word) for word in words]
    return f'{label}="{listed[0]}"' if len(listed) == 1 else f'{label}=~"{"|".join(listed)}"'


def chosen_category(metric: Metric) -> list[str]:
    """The matcher of the variable ``category``, for a metric that has one."""
    return [f'{CATEGORY}=~"$category"'] if schema.CATEGORY in metric.attributes else []


def rate(metric: Metric, *matchers: str, window: str = RATE, offset: str = "") -> str:
    """A counter's increase per second."""
    chosen = selected(*chosen_category(metric), *matchers)
    return f"rate({metric.prometheus}{chosen}[{window}]{f' offset {offset}' if offset else ''})"


def rate_of_all(metric: Metric, *matchers: str, window: str = RATE) -> str:
    """A counter's increase per second over all categories, for a dashboard that has no choice of them."""
    return f"rate({metric.prometheus}{selected(*matchers)}[{window}])"


def total(metric: Metric, *matchers: str) -> str:
    """A counter's increase over what is shown."""
    return f"increase({metric.prometheus}{selected(*chosen_category(metric), *matchers)}[{RANGE}])"


def summed(expr: str, *by: str) -> str:
    """A sum, by labels or over all of them."""
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def ratio(part: str, whole: str) -> str:
    """A share; where nothing happened at all it has no value, which is not 0."""
    return f"{part} / ({whole} > 0)"


def hit_ratio(*by: str, window: str = RATE, offset: str = "") -> str:
    """Hits among hits and misses."""
    hits = rate(schema.REQUESTS, one_of(OUTCOME, [Outcome.HIT]), window=window, offset=offset)
    whole = rate(schema.REQUESTS, one_of(OUTCOME, ANSWERED), window=window, offset=offset)
    return ratio(summed(hits, *by), summed(whole, *by))


def buckets(name: str, chosen: str, *by: str, window: str = RATE) -> str:
    """A histogram's buckets, added up."""
    return summed(f"rate({name}_bucket{chosen}[{window}])", "le", *by)


def in_use(expr: str) -> str:
    """Only those categories of ``expr`` in which anything was done in the time shown; the closed set is longer."""
    return seen(expr, schema.OVERHEAD, CATEGORY)


def seen(expr: str, metric: Metric, label: str, *matchers: str) -> str:
    """Only those words of ``label`` that were counted at all in the time shown; the others are there at zero."""
    return f"({expr}) and on ({label}) ({summed(total(metric, *matchers), label)} > 0)"


def quantile(share: float, metric: Metric, *matchers: str, by: Iterable[str] = ()) -> str:
    """A quantile of one of our histograms, over all the chosen processes."""
    chosen = selected(*chosen_category(metric), *matchers)
    return f"histogram_quantile({share:g}, {buckets(metric.prometheus, chosen, *by)})"


def mean(metric: Metric, *matchers: str) -> str:
    """The mean of one of our histograms over what is shown."""
    chosen, name = selected(*chosen_category(metric), *matchers), metric.prometheus
    return f"sum(increase({name}_sum{chosen}[{RANGE}])) / (sum(increase({name}_count{chosen}[{RANGE}])) > 0)"


def net_saved(*by: str, window: str = "") -> str:
    """Seconds that hits spared less those that the cache cost; per second, or in all over ``window``."""
    if window:
        return f"{summed(total(schema.AVOIDED), *by)} - {summed(total(schema.OVERHEAD), *by)}"
    return f"{summed(rate(schema.AVOIDED), *by)} - {summed(rate(schema.OVERHEAD), *by)}"


def spans(part: str, *matchers: str, window: str = RATE) -> str:
    """Increase per second of a span metric's series; they are by service, not by process."""
    return f"rate({part}{selected(*matchers, process=False)}[{window}])"


def span_named(name: str) -> str:
    """The matcher of a span's name; ``{category}`` and the like stand for any word."""
    head, brace, _ = name.partition("{")
    pattern = head.replace(".", "[.]")
    return f'{foreign.SPAN_NAME}=~"{pattern}.+"' if brace else f'{foreign.SPAN_NAME}="{name}"'
