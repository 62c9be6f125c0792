"""Hits that are answered in this process at once: recorded when they have ended, for nothing can happen inside them.

They need no current span and, unless somebody samples them, no event.
"""

from __future__ import annotations

from time import time_ns

from telemetry import tally
from telemetry.accounts import Account
from telemetry.buckets import Ids
from telemetry.current import KEY
from telemetry.events import OperationEvent
from telemetry.kit import Kit
from telemetry.light import Undecided
from telemetry.operations import OperationSpan
from telemetry.vocabulary import Outcome, Tier

Served = tuple[float, float, float]
"""Of the entry that answered: its age, the seconds that it spared, the seconds left to live."""

_LOOKUP = (Outcome.HIT, Tier.LOCAL, None)


def record_at_once(kit: Kit, account: Account, began: float, digest: bytes, entry: Served) -> bool:
    """Record a hit; see ``Recorder.hit_at_once``."""
    if kit.pending:
        kit.settle()
    if kit.instruments.recorded or not (kit.silent or kit.light.light):
        return False
    duration_s = max(0.0, kit.monotonic() - began)
    parent, made = None, None
    if not kit.silent:
        try:
            parent = kit.light.variable.get().get(KEY)
            made = kit.light.leaf(parent)
        except Undecided:
            return False
        except Exception:
            kit.ledger.drop()
    runs = tally.running()
    cell = account.cells.get(_LOOKUP)
    if type(made) is not tuple and not runs and cell is not None:
        kit.ledger.put_down(account, cell, (duration_s, entry[0], entry[1], None))
        return True
    event = OperationEvent(account.category.name, account.operation, digest[:8].hex())
    event.looked(Outcome.HIT, tier=Tier.LOCAL, age_s=entry[0], cost_s=entry[1])
    event.ttl_s = entry[2]
    span = None
    if isinstance(made, tuple):
        span = OperationSpan(kit.light, made, parent)
        span.account, span.event = account, event
    _record(kit, account, event, duration_s, span)
    for sums in runs:
        sums.add(event)
    return True


def _record(kit: Kit, account: Account, event: OperationEvent, duration_s: float, span: OperationSpan | None) -> None:
    """Count an event, and hand its span on if it has one."""
    ids: Ids | None = None
    if span is not None:
        ended_ns = time_ns()
        if kit.instruments.exemplars:
            ids = (ended_ns, *span.ids[:2])
        try:
            # no shorter than what an exemplar says of it
            span.started_ns = ended_ns - int(duration_s * 1e9) - 1
            span.close(ended_ns)
        except Exception:
            kit.ledger.drop()
    kit.ledger.apply(event, duration_s, account, ids)
