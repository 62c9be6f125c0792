"""The JSON of the API, field by field; the OpenAPI document is made from this."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cache.api.since import Compared


class Percentiles(BaseModel):
    """Durations in seconds; null before the first one."""

    p50: float | None = Field(description="Median, seconds.")
    p95: float | None = Field(description="95th percentile, seconds.")
    p99: float | None = Field(description="99th percentile, seconds.")


class Money(BaseModel):
    """What the spared computations would have been charged."""

    currency: str = Field(description="ISO 4217, as CACHE_CURRENCY says.")
    amount: float = Field(description="By the price in CACHE_PRICES.")
    low: float | None = Field(description="Lower end of the interval.")
    high: float | None = Field(description="Upper end of the interval.")


class Savings(BaseModel):
    """Time saved, net: avoided + shared - spent - waited."""

    seconds: float = Field(description="Net seconds saved; negative when the cache costs more than it saves.")
    low: float | None = Field(description="Lower end of the interval; null when too few computations were measured.")
    high: float | None = Field(description="Upper end of the interval.")
    confidence: float = Field(description="How often such an interval holds the truth, 0..1.")
    avoided: float = Field(description="Seconds that the hits would have cost.")
    shared: float = Field(description="Seconds of computations that waiting callers were given instead of computing.")
    spent: float = Field(description="Seconds of lookups, writes and misses, computations and waits left out.")
    waited: float = Field(description="Seconds that callers waited for another one's computation.")
    loses: bool = Field(description="True when it costs more than it saves, and chance does not explain it.")
    note: str | None = Field(description="Why there is no interval.")
    money: Money | None = Field(description="Null where CACHE_PRICES names no price.")


class Buckets(BaseModel):
    """A histogram of durations."""

    counts: list[int] = Field(description="How many fell between two bounds; one more than there are bounds.")
    sum: float = Field(description="Seconds altogether.")


class BucketsOfCategory(BaseModel):
    """One category's durations, for comparisons."""

    hit: Buckets = Field(description="Of operations that hit.")
    miss: Buckets = Field(description="Of operations that missed, computation included.")
    compute: Buckets = Field(description="Of the computations.")


class CategoryMetrics(BaseModel):
    """One category's figures."""

    model_config = ConfigDict(extra="allow")

    hits: int = Field(description="Lookups answered by a fresh entry.")
    misses: int = Field(description="Lookups that found nothing; errors, bypasses and stale answers are none.")
    hit_rate: str = Field(description='hits / (hits + misses) as a text, such as "77.99%".')
    miss_reasons: dict[str, int] = Field(description="Misses by reason: cold, expired, invalidated, changed, ...")
    miss_triggers: dict[str, int] = Field(description="Misses of invalid entries by trigger: key, tag, category, ...")
    stale: int = Field(description="Expired entries that were served on purpose.")
    bypass: int = Field(description="Lookups while caching was disabled, or of what cannot be cached.")
    errors: int = Field(description="Operations that met trouble with the store.")
    sets: int = Field(description="Writes that were stored.")
    writes: dict[str, int] = Field(description="Writes by result: stored, refused, dropped, too_large, over_budget.")
    deletes: int = Field(description="Keys removed one by one.")
    invalidations: int = Field(description="Scopes and patterns made invalid.")
    hit_seconds: Percentiles = Field(description="Duration of operations that hit.")
    miss_seconds: Percentiles = Field(description="Duration of operations that missed, computation included.")
    compute_seconds: Percentiles = Field(description="Duration of the computations.")
    waits: int = Field(description="Waits for another caller's computation.")
    wait_seconds: Percentiles = Field(description="Duration of those waits.")
    seconds_avoided: float = Field(description="Seconds of computation that the hits saved.")
    seconds_spent: float = Field(description="Seconds that the cache itself cost.")
    bytes_stored: int = Field(description="Bytes of the entries that were written.")
    savings: Savings = Field(description="Whether the category pays.")
    verifications: dict[str, int] = Field(
        description="Hits that were computed again, by result: same, different, overtaken, failed."
    )
    error_types: dict[str, int] = Field(description="Errors by kind: timeout, refused, breaker_open, ...")
    buckets: BucketsOfCategory = Field(description="Durations, as `glasscache compare` reads them.")


class Metrics(BaseModel):
    """The figures of one process or of the fleet since `since`."""

    model_config = ConfigDict(extra="allow")

    total_requests: int = Field(description="hits + misses.")
    hits: int = Field(description="Lookups answered by a fresh entry.")
    misses: int = Field(description="Lookups that found nothing.")
    hit_rate: str = Field(description='hits / (hits + misses) as a text, such as "77.99%".')
    sets: int = Field(description="Writes that were stored.")
    deletes: int = Field(description="Keys removed by delete; invalidations stand apart.")
    errors: int = Field(description="Operations that met trouble with the store.")
    categories: dict[str, CategoryMetrics] = Field(description="The categories that have seen an operation.")
    invalidations: int = Field(description="Scopes and patterns made invalid.")
    seconds_avoided: float = Field(description="Seconds of computation that the hits saved.")
    seconds_spent: float = Field(description="Seconds that the cache itself cost.")
    savings: Savings = Field(description="Whether the cache pays, all categories together.")
    losing: list[str] = Field(description="Categories that lose time, the worst first.")
    verifications: dict[str, int] = Field(description="Hits that were computed again, by result.")
    telemetry_dropped: int = Field(description="Events that the accounting itself could not record as it should.")
    scope: Literal["process", "fleet"] = Field(
        description="Whose figures these are. `process` although `fleet` was asked for: the others' cannot be had, "
        "and `note` says why."
    )
    process: int = Field(description="Process id of the one that answers.")
    workers: int = Field(
        description="Processes that live: in the fleet those that wrote their figures within the last 5 s, "
        "and the one that answers."
    )
    complete: bool = Field(
        description="False when figures of processes are missing: lost with the store's data, written by another "
        "version, or (scope `process` in place of `fleet`) not to be had now."
    )
    since: float = Field(
        description="When counting began or was reset, seconds since the epoch. In a fleet: when its first process "
        "began, or, where figures were lost, since when none are missing; a reset of one process does not touch it."
    )
    bucket_bounds_s: list[float] = Field(description="Upper bounds of the buckets, seconds; the last has none.")
    processes: int | None = Field(
        None, description="Processes that were added up: living, silent and ended. Only when the fleet was asked for."
    )
    silent: int | None = Field(
        None,
        description="Processes that stopped writing without a last word (killed, suspended, cut off) and are not yet "
        "among the ended; each may lack its last second. Only when the fleet was asked for.",
    )
    oldest_s: float | None = Field(
        None,
        description="Age in seconds of the oldest figures of a living process; about 1 at most while all is well. "
        "Only when the fleet was asked for.",
    )
    note: str | None = Field(None, description="What is to be known about these figures, in words.")
    snapshot: str | None = Field(
        None, description="Name of a snapshot of this moment, or up to a second before, for `since`; of one process."
    )
    compared: Compared | None = Field(
        None, description="What changed since then, against as long before it where that is known; only with `since`."
    )


class Health(BaseModel):
    """The store's health; the answer is 200 whatever it says."""

    model_config = ConfigDict(extra="allow")

    enabled: bool = Field(description="False when CACHE_ENABLED switches caching off.")
    connected: bool = Field(description="True when the store answered.")
    message: str = Field(description="The same in words.")
    hits: int | None = Field(None, description="The server's keyspace hits, server-wide; absent unless connected.")
    misses: int | None = Field(None, description="The server's keyspace misses; absent unless connected.")
    server: str | None = Field(None, description="`valkey` or `redis`; absent unless connected.")
    version: str | None = Field(None, description="The server's version; absent unless connected.")
    memory_bytes: int | None = Field(None, description="Bytes that the server uses; absent unless connected.")
    evicted_keys: int | None = Field(None, description="Keys that the server evicted; absent unless connected.")
    breaker: str | None = Field(None, description="State of the store's breaker: closed, half_open or open.")


class Invalidated(BaseModel):
    """What an invalidation did."""

    deleted: int = Field(description="How many keys went; with dry_run, how many would.")
    pattern: str = Field(description="The pattern, as it was given.")
    dry_run: bool = Field(description="True when nothing was changed.")
    complete: bool = Field(description="False when the store was in trouble: it is carried out when it is back.")


class Happened(BaseModel):
    """What happened once."""

    at: float = Field(description="When, seconds since the epoch.")
    operation: str = Field(description="What the caller did.")
    what: str = Field(
        description="miss, stale, error, failed (the computation), stored, refused, dropped, over_budget, deleted, "
        "invalidated."
    )
    why: str | None = Field(description="A miss's reason, an error's type, an invalidation's trigger.")
    trace_id: str | None = Field(description="The trace that it happened in, where that is sampled.")


class ScopeSeen(BaseModel):
    """One of the things that can invalidate an entry."""

    scope: str = Field(description="`category`, or the tag.")
    valid: bool = Field(description="Whether the entry was made under its generation of now.")
    made_under: str | None = Field(description="First 8 hex of the SHA-256 of the generation's token then.")
    now: str | None = Field(description="The same now; null: it has none.")
    invalidated: Happened | None = Field(description="Its last invalidation that this process remembers.")


class Explained(BaseModel):
    """Where a key is, why it would hit or miss, and what happened to it lately."""

    category: str = Field(description="The key's category.")
    digest: str = Field(description="First 16 hex of the key's SHA-256, as spans carry it.")
    outcome: str = Field(description="What a lookup would be now: hit, miss, error or bypass.")
    would: str = Field(
        description="What get_or_compute would do now in this process: hit, hit_and_refresh, stale, join_flight, "
        "wait_for_fleet, raise_again, compute, compute_unstored."
    )
    because: str = Field(description="Why, in words.")
    miss_reason: str | None = Field(description="Why it would miss.")
    miss_trigger: str | None = Field(description="What made it invalid.")
    tier: str | None = Field(description="Where the value is.")
    tiers: dict[str, str] | None = Field(
        description="What stands in each tier: off, absent, fresh, expired, invalid, tombstone, unreadable, unknown."
    )
    age_s: float | None = Field(description="Seconds since the entry was made.")
    ttl_s: float | None = Field(description="Seconds until its logical expiry; negative once passed.")
    kept_s: float | None = Field(description="Seconds until Redis drops it.")
    size_bytes: int = Field(description="Bytes in Redis.")
    codec: str | None = Field(description="How its value is written: json, vector, bytes, floats.")
    signed: bool = Field(description="True when it is sealed by a signing key.")
    compressed: bool = Field(description="True when its payload is compressed.")
    cost_s: float = Field(description="Seconds that its computation took.")
    tags: list[str] = Field(description="Tags that can invalidate it.")
    scopes: list[ScopeSeen] = Field(description="The category and the tags, each with what became of it.")
    files: int = Field(description="How many files it was made from.")
    policy_ttl_s: float = Field(description="The category's TTL, seconds.")
    error: str | None = Field(description="The trouble with the store.")
    breaker: str = Field(description="State of the store's breaker.")
    writer: Happened | None = Field(
        description="The write of this process that made the entry; null: another process's, or forgotten."
    )
    history: list[Happened] = Field(
        description="What this process did to the key lately, the latest first; hits are not remembered."
    )


class Alive(BaseModel):
    """The process answers."""

    status: str = Field(description="`ok`.")
