"""The attributes of our spans: what one event says in the contract's words."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from telemetry import schema
from telemetry.events import OperationEvent
from telemetry.vocabulary import Outcome, WriteResult

_BATCH_COUNTS = {
    Outcome.HIT: schema.BATCH_HITS,
    Outcome.MISS: schema.BATCH_MISSES,
    Outcome.STALE: schema.BATCH_STALE,
    Outcome.ERROR: schema.BATCH_ERRORS,
    Outcome.BYPASS: schema.BATCH_BYPASSED,
}


def start_attributes(event: OperationEvent, category: str) -> dict[str, AttributeValue]:
    """What is known when the operation begins, for samplers."""
    attributes: dict[str, AttributeValue] = {
        schema.CATEGORY: category,
        schema.OPERATION: event.operation.value,
    }
    if event.digest is not None:
        attributes[schema.KEY_DIGEST] = event.digest
    if event.batch_size is not None:
        attributes[schema.BATCH_SIZE] = event.batch_size
    return attributes


def end_attributes(event: OperationEvent) -> dict[str, AttributeValue]:
    """What is known when it has ended."""
    attributes: dict[str, AttributeValue] = {schema.OUTCOME: event.outcome().value}
    tier = event.tier()
    if tier is not None:
        attributes[schema.TIER] = tier.value
    if event.rest:
        attributes |= _rest_attributes(event)
    if event.breaker is not None:
        attributes[schema.BREAKER_STATE] = event.breaker.value
    if event.ttl_s is not None:
        attributes[schema.TTL] = event.ttl_s
    if event.trigger is not None:
        attributes[schema.TRIGGER] = event.trigger.value
    return attributes | (_batch_attributes(event) if event.batch_size is not None else _single_attributes(event))


def _rest_attributes(event: OperationEvent) -> dict[str, AttributeValue]:
    """What a hit has none of."""
    attributes: dict[str, AttributeValue] = {}
    if event.error is not None:
        attributes[schema.ERROR_TYPE] = event.error.value
    if event.computed:
        attributes[schema.COMPUTE_DURATION] = event.compute_s
    if event.writes:
        attributes |= _write_attributes(event)
    if event.deletes or event.invalidations:
        attributes[schema.DELETES_ATTRIBUTE] = event.deletes
        attributes[schema.INVALIDATIONS_ATTRIBUTE] = event.invalidations
    return attributes


def _write_attributes(event: OperationEvent) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {}
    for result, n in event.writes.items():
        attributes[f"{schema.WRITES_ATTRIBUTE}.{result.value}"] = n
    attributes[schema.FENCE_REFUSED] = event.writes.get(WriteResult.REFUSED, 0) > 0
    return attributes


def _single_attributes(event: OperationEvent) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {}
    reason = next((reason for _, _, reason in event.lookups if reason is not None), None)
    if reason is not None:
        attributes[schema.MISS_REASON] = reason.value
    if event.rest and event.triggers:
        attributes[schema.MISS_TRIGGER] = next(iter(event.triggers)).value
    if event.ages_s:
        attributes[schema.ENTRY_AGE] = event.ages_s[0]
    if event.rest and event.sizes:
        attributes[schema.ENTRY_SIZE] = event.sizes[0]
    return attributes


def _batch_attributes(event: OperationEvent) -> dict[str, AttributeValue]:
    if not event.lookups:
        return {}
    counts = dict.fromkeys(_BATCH_COUNTS.values(), 0)
    for (outcome, _, reason), n in event.lookups.items():
        counts[_BATCH_COUNTS[outcome]] += n
        if reason is not None:
            name = f"{schema.BATCH_MISS_REASON}.{reason.value}"
            counts[name] = counts.get(name, 0) + n
    if event.rest:
        for trigger, n in event.triggers.items():
            counts[f"{schema.BATCH_MISS_TRIGGER}.{trigger.value}"] = n
    return dict(counts)
