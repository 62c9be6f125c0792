"""Every span, metric, attribute, unit and bucket, once; instruments, dashboards, rules, docs and tests read this."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SCOPE = "glasscache"
"""Name of our instrumentation scope."""

CATEGORY = "cache.category"
OPERATION = "cache.operation"
OUTCOME = "cache.outcome"
TIER = "cache.tier"
MISS_REASON = "cache.miss.reason"
MISS_TRIGGER = "cache.miss.trigger"
ERROR_TYPE = "error.type"
RESULT = "cache.result"
TRIGGER = "cache.trigger"
FLIGHT_SCOPE = "cache.flight.scope"
STORE = "cache.store"
BREAKER_TO = "cache.breaker.to"
EVICTION_CAUSE = "cache.eviction.cause"
BOUND = "cache.bound"
VERIFIED_STORED = "cache.verification.stored"
VERIFIED_COMPUTED = "cache.verification.computed"
VERIFIED_REPEATABLE = "cache.verification.repeatable"
TTL = "cache.ttl"
KEY_DIGEST = "cache.key.digest"
ENTRY_AGE = "cache.entry.age"
ENTRY_SIZE = "cache.entry.size"
BATCH_SIZE = "cache.batch.size"
BATCH_HITS = "cache.batch.hits"
BATCH_MISSES = "cache.batch.misses"
BATCH_STALE = "cache.batch.stale"
BATCH_ERRORS = "cache.batch.errors"
BATCH_BYPASSED = "cache.batch.bypassed"
BATCH_MISS_REASON = "cache.batch.miss"
"""Of a batch's span: ``cache.batch.miss.{reason}``, how many keys missed for that reason."""
BATCH_MISS_TRIGGER = "cache.batch.invalidated"
"""Of a batch's span: ``cache.batch.invalidated.{trigger}``, how many keys missed for what that made invalid."""
FENCE_REFUSED = "cache.fence.refused"
BREAKER_STATE = "cache.breaker.state"
COMPUTE_DURATION = "cache.compute.duration"
WRITES_ATTRIBUTE = "cache.writes"
"""Of a span: ``cache.writes.{result}``, how many writes ended so."""
DELETES_ATTRIBUTE = "cache.deletes"
INVALIDATIONS_ATTRIBUTE = "cache.invalidations"
RUN_HITS = "cache.run.hits"
RUN_MISSES = "cache.run.misses"
RUN_ERRORS = "cache.run.errors"
RUN_TIME_SAVED = "cache.run.time_saved"
RUN_ID = "cache.run.id"
"""Of a run's span, and of the baggage that carries it to other processes; never a metric's label."""
RUN_MISS_REASON = "cache.run.miss"
"""Of a run's span: ``cache.run.miss.{reason}``, how many lookups missed for that reason."""
RUN_WAITS = "cache.run.waits"
RUN_TIME_IN_CACHE = "cache.run.time_in_cache"
RUN_TIME_IN_COMPUTE = "cache.run.time_in_compute"
RUN_TIME_IN_WAIT = "cache.run.time_in_wait"
RUN_CRITICAL = "cache.run.critical_path"
"""Of a run's span: ``cache.run.critical_path.{part}``, its seconds on the run's critical path."""
RUN_CRITICAL_STEPS = "cache.run.critical_path.steps"

DURATION_BUCKETS = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""10 µs to 10 s in 1-2.5-5 steps: a local hit and a model's answer both fall inside."""

SIZE_BUCKETS = (64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
"""Bytes, by powers of four."""

AGE_BUCKETS = (1, 5, 15, 60, 300, 900, 1800, 3600, 14400, 43200, 86400, 604800)
"""Seconds, from a moment to a week."""


class Kind(StrEnum):
    """What sort of instrument a metric is."""

    COUNTER = "counter"
    UP_DOWN_COUNTER = "up_down_counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument.

    Args:
        name: dotted, without unit and without ``total``.
        unit: UCUM.
        attributes: the keys its points may carry.
        buckets: advisory boundaries of a histogram; an application's View wins.
        planned: True for one that a later stage of the project feeds.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    planned: bool = False

    @property
    def prometheus(self) -> str:
        """Its name in Prometheus, by either road."""
        units = {"s": "_seconds", "By": "_bytes"}
        name = self.name.replace(".", "_") + units.get(self.unit, "")
        return name + ("_total" if self.kind is Kind.COUNTER else "")


REQUESTS = Metric(
    "cache.requests", Kind.COUNTER, "{request}", "Lookups, by how they ended; a batch of n keys counts n.",
    (CATEGORY, OPERATION, OUTCOME, TIER, MISS_REASON),
)  # fmt: skip
OPERATION_DURATION = Metric(
    "cache.operation.duration", Kind.HISTOGRAM, "s", "Whole duration of an operation, its computation included.",
    (CATEGORY, OPERATION, OUTCOME, TIER), DURATION_BUCKETS,
)  # fmt: skip
COMPUTE_DURATION_METRIC = Metric(
    COMPUTE_DURATION, Kind.HISTOGRAM, "s", "Duration of the caller's computation on a miss.",
    (CATEGORY, ERROR_TYPE), DURATION_BUCKETS,
)  # fmt: skip
ENTRY_SIZE_METRIC = Metric(ENTRY_SIZE, Kind.HISTOGRAM, "By", "Size of stored entries.", (CATEGORY,), SIZE_BUCKETS)
ENTRY_AGE_METRIC = Metric(ENTRY_AGE, Kind.HISTOGRAM, "s", "Age of entries at a hit.", (CATEGORY,), AGE_BUCKETS)
INVALIDATED = Metric(
    "cache.invalidated.lookups", Kind.COUNTER, "{lookup}",
    "Lookups that missed because their entry was invalid, by what made it so.", (CATEGORY, MISS_TRIGGER),
)  # fmt: skip
WRITES = Metric("cache.writes", Kind.COUNTER, "{write}", "Writes, by what became of them.", (CATEGORY, RESULT))
DELETES = Metric("cache.deletes", Kind.COUNTER, "{delete}", "Keys removed one by one.", (CATEGORY, TRIGGER))
INVALIDATIONS = Metric(
    "cache.invalidations", Kind.COUNTER, "{invalidation}", "Scopes and patterns made invalid.", (CATEGORY, TRIGGER)
)
ERRORS = Metric(
    "cache.errors", Kind.COUNTER, "{error}", "Operations that met trouble with the store; at most one each.",
    (CATEGORY, OPERATION, ERROR_TYPE),
)  # fmt: skip
AVOIDED = Metric("cache.compute.avoided", Kind.COUNTER, "s", "Seconds that the hits would have cost.", (CATEGORY,))
OVERHEAD = Metric("cache.overhead", Kind.COUNTER, "s", "Seconds that the cache itself cost.", (CATEGORY,))
TIME_SAVED = Metric(
    "cache.time_saved", Kind.GAUGE, "s",
    "Seconds saved, net, since the process began: what the hits would have cost less what the cache cost; "
    "low and high hold the truth in 95 of 100 cases.",
    (CATEGORY, BOUND),
)  # fmt: skip
VERIFICATIONS = Metric(
    "cache.verifications", Kind.COUNTER, "{verification}", "Hits that were computed again, by what was found.",
    (CATEGORY, RESULT),
)  # fmt: skip
FLIGHT_WAITS = Metric(
    "cache.flight.waits", Kind.COUNTER, "{wait}", "Waits for another caller's computation.", (CATEGORY, FLIGHT_SCOPE)
)
FLIGHT_WAIT_DURATION = Metric(
    "cache.flight.wait.duration", Kind.HISTOGRAM, "s", "Duration of waits for another caller's computation.",
    (CATEGORY, FLIGHT_SCOPE), DURATION_BUCKETS,
)  # fmt: skip
BREAKER = Metric(BREAKER_STATE, Kind.GAUGE, "", "State of a store's breaker: 0 closed, 1 half-open, 2 open.", (STORE,))
BREAKER_TRANSITIONS = Metric(
    "cache.breaker.transitions", Kind.COUNTER, "{transition}", "Changes of a breaker's state.", (BREAKER_TO,)
)
POLICY_TTL = Metric(
    "cache.policy.ttl", Kind.GAUGE, "s", "Time to live that a category's policy gives its entries, before jitter.",
    (CATEGORY,),
)  # fmt: skip
TELEMETRY_DROPPED = Metric(
    "cache.telemetry.dropped", Kind.COUNTER, "{event}", "Events that the accounting itself lost."
)
LOCAL_ENTRIES = Metric("cache.local.entry.count", Kind.UP_DOWN_COUNTER, "{entry}", "Entries in the local tier.")
LOCAL_SIZE = Metric(
    "cache.local.size", Kind.UP_DOWN_COUNTER, "By", "Bytes that the local tier takes, its overhead included."
)
LOCAL_EVICTIONS = Metric(
    "cache.local.evictions", Kind.COUNTER, "{eviction}", "Entries that left the local tier, by cause.",
    (EVICTION_CAUSE,),
)  # fmt: skip

PLANNED = (
    Metric(
        "cache.ttl.expected_hit_ratio", Kind.GAUGE, "", "Hit ratio that another TTL would have given.",
        (CATEGORY, TTL), planned=True,
    ),
)  # fmt: skip
"""Named by the contract, fed by later stages: nothing of them is exported yet."""

METRICS = (
    REQUESTS, INVALIDATED, OPERATION_DURATION, COMPUTE_DURATION_METRIC, ENTRY_SIZE_METRIC, ENTRY_AGE_METRIC, WRITES,
    DELETES, INVALIDATIONS, ERRORS, AVOIDED, OVERHEAD, FLIGHT_WAITS, FLIGHT_WAIT_DURATION, BREAKER,
    BREAKER_TRANSITIONS, POLICY_TTL, TELEMETRY_DROPPED, LOCAL_ENTRIES, LOCAL_SIZE, LOCAL_EVICTIONS,
    TIME_SAVED, VERIFICATIONS,
)  # fmt: skip
"""Everything that is exported."""


@dataclass(frozen=True, slots=True)
class SpanKind:
    """One kind of span.

    Args:
        name: with the parts that vary in braces.
        kind: INTERNAL or CLIENT.
        attributes: the keys it may carry; ``*`` stands for a word of a closed set.
    """

    name: str
    kind: str
    description: str
    attributes: tuple[str, ...] = ()


OPERATION_SPAN = SpanKind(
    "cache.{operation} {category}", "INTERNAL", "One operation, whatever the size of its batch.",
    (
        CATEGORY, OPERATION, OUTCOME, TIER, MISS_REASON, MISS_TRIGGER, ERROR_TYPE, KEY_DIGEST, TTL, ENTRY_AGE,
        ENTRY_SIZE, BATCH_SIZE, BATCH_HITS, BATCH_MISSES, BATCH_STALE, BATCH_ERRORS, BATCH_BYPASSED,
        f"{BATCH_MISS_REASON}.*", f"{BATCH_MISS_TRIGGER}.*", f"{WRITES_ATTRIBUTE}.*", FENCE_REFUSED,
        DELETES_ATTRIBUTE, INVALIDATIONS_ATTRIBUTE, TRIGGER, BREAKER_STATE,
        COMPUTE_DURATION,
    ),
)  # fmt: skip
COMPUTE_SPAN = SpanKind(
    "cache.compute {category}", "INTERNAL", "The caller's computation on a miss.", (CATEGORY, ERROR_TYPE)
)
WAIT_SPAN = SpanKind(
    "cache.wait {category}", "INTERNAL", "A follower of a flight; linked to the leader's span.",
    (CATEGORY, FLIGHT_SCOPE, KEY_DIGEST),
)  # fmt: skip
REFRESH_SPAN = SpanKind(
    "cache.refresh {category}", "INTERNAL", "Root of a background refresh; linked to its cause.", (CATEGORY,)
)
VERIFY_SPAN = SpanKind(
    "cache.verify {category}", "INTERNAL", "Root of a hit's second computation; linked to the hit's parent.",
    (CATEGORY, KEY_DIGEST, RESULT, ERROR_TYPE, VERIFIED_STORED, VERIFIED_COMPUTED, VERIFIED_REPEATABLE),
)  # fmt: skip
WORKFLOW_RUN_SPAN = SpanKind(
    "workflow.run", "INTERNAL", "A run of the workflow and what the cache did for it.",
    (
        RUN_HITS, RUN_MISSES, RUN_ERRORS, RUN_TIME_SAVED, RUN_ID, f"{RUN_MISS_REASON}.*", RUN_WAITS, RUN_TIME_IN_CACHE,
        RUN_TIME_IN_COMPUTE, RUN_TIME_IN_WAIT, f"{RUN_CRITICAL}.*", ERROR_TYPE,
    ),
)  # fmt: skip
WORKFLOW_NODE_SPAN = SpanKind("workflow.node {node}", "INTERNAL", "One node of the workflow.", (ERROR_TYPE,))
TOOL_SPAN = SpanKind(
    "execute_tool {tool}", "INTERNAL", "A tool's execution; never its arguments or results.",
    ("gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.tool.type"),
)  # fmt: skip
EMBEDDINGS_SPAN = SpanKind(
    "embeddings {model}", "INTERNAL or CLIENT", "Embedding of texts, in process or remote.",
    ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.embeddings.dimension.count"),
)  # fmt: skip

SPANS = (
    OPERATION_SPAN, COMPUTE_SPAN, WAIT_SPAN, REFRESH_SPAN, VERIFY_SPAN, WORKFLOW_RUN_SPAN, WORKFLOW_NODE_SPAN,
    TOOL_SPAN, EMBEDDINGS_SPAN,
)  # fmt: skip
"""Every span of ours; those of Redis commands are the Redis instrumentation's."""

RUN_SPAN = WORKFLOW_RUN_SPAN.name
"""Name of a run's span."""


def prometheus_label(attribute: str) -> str:
    """The label that an attribute becomes in Prometheus."""
    return attribute.replace(".", "_")


def operation_span(operation: str, category: str) -> str:
    """Name of an operation's span."""
    return f"cache.{operation} {category}"


def compute_span(category: str) -> str:
    """Name of the span around the caller's computation."""
    return f"cache.compute {category}"


def wait_span(category: str) -> str:
    """Name of the span of a follower that waits."""
    return f"cache.wait {category}"


def refresh_span(category: str) -> str:
    """Name of the root span of a background refresh."""
    return f"cache.refresh {category}"


def verify_span(category: str) -> str:
    """Name of the root span of a hit's second computation."""
    return f"cache.verify {category}"


def node_span(node: str) -> str:
    """Name of the span of a workflow's node."""
    return f"workflow.node {node}"
