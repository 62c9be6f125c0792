"""What one event adds to its account and to the figures; the ledger's lock is held meanwhile."""

from __future__ import annotations

from telemetry.accounts import Account, CategoryAccount
from telemetry.buckets import Ids
from telemetry.events import OperationEvent
from telemetry.figures import Figures
from telemetry.series import error_labels
from telemetry.vocabulary import Trigger
from telemetry.worth import Worth, of_hits


def add(figures: Figures, event: OperationEvent, duration_s: float | None, account: Account, ids: Ids | None) -> None:
    """Add one event.

    Args:
        figures: take what is no lookup and no measurement.
        duration_s: how long all of it took, seconds; None for figures that an application counted by itself.
        account: of its category and operation.
        ids: of its span when that is sampled, for exemplars.
    """
    durations = account.requests(event)
    rest = event.rest
    if rest:
        _add_rest(figures, event, account)
    if duration_s is None:
        return
    if duration_s < 0.0:
        duration_s = 0.0
    category = account.category
    category.timed = True
    overhead_s = duration_s - event.compute_s - event.wait_s if rest else duration_s
    if overhead_s > 0.0:
        category.overhead_s += overhead_s
    if event.avoided_s:
        category.avoided_s += event.avoided_s
        # of a batch only the sum is known: taken for one hit it makes nothing surer than it is
        category.worthy(of_hits((event.avoided_s,), look=False))
    if durations is None:
        durations = account.ended((event.outcome(), event.tier()))
    where = durations.record(duration_s)
    if ids is not None:
        durations.exemplars[where] = (duration_s, *ids)
    if event.ages_s:
        category.ages_of(event.ages_s, ids)
    if rest:
        _measure_rest(event, category, ids)


def _add_rest(figures: Figures, event: OperationEvent, account: Account) -> None:
    """What a hit has none of."""
    category = account.category.name
    for trigger, n in event.triggers.items():
        figures.invalidated[category, trigger] += n
    for result, n in event.writes.items():
        figures.writes[category, result] += n
    if event.deletes:
        figures.deletes[category, event.trigger or Trigger.API] += event.deletes
    if event.invalidations:
        figures.invalidations[category, event.trigger or Trigger.API] += event.invalidations
    if event.error is not None:
        figures.errors[error_labels(category, account.operation, event.error)] += 1
    for scope in event.waits:
        figures.waits[category, scope] += 1


def _measure_rest(event: OperationEvent, category: CategoryAccount, ids: Ids | None) -> None:
    """The histograms that a hit has no part in."""
    for size in event.sizes:
        category.size(size, ids)
    for seconds, failure in event.computed:
        within = ids if ids is None or not event.compute_span else (*ids[:2], event.compute_span)
        category.computed(seconds, failure, within)
    for before_s, seconds in event.again:
        category.again(before_s, seconds)
    if event.wait_s or event.shared_s:
        category.worthy({Worth.WAITED: event.wait_s, Worth.SHARED: event.shared_s})
    for scope, seconds, span in event.wait_times:
        category.waited(scope, seconds, ids if ids is None or not span else (*ids[:2], span))
