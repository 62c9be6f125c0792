"""Hits that are recorded when they have ended, for nothing could happen inside them.

Those of the local tier ask nobody; of those that Redis answers, a caller that blocks waits for one reply and does
nothing else. They need no current span and, unless somebody samples them, no event.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns
from typing import Any

from opentelemetry.util.types import AttributeValue

from telemetry import schema, tally
from telemetry.accounts import Account
from telemetry.commands import CommandSpans
from telemetry.current import KEY
from telemetry.events import OperationEvent
from telemetry.kit import Kit
from telemetry.ledger import MOST_WAITING
from telemetry.light import LightSpan, Told, Undecided
from telemetry.vocabulary import Outcome, Tier

Served = tuple[float, float, float]
"""Of the entry that answered: its age, the seconds that it spared, the seconds left to live."""

Command = tuple[CommandSpans, Sequence[Any], float, float]
"""What was sent to Redis, who makes its span, when it went out and when its reply was here, by the recorder's clock."""

_LOOKUPS = {tier: (Outcome.HIT, tier, None) for tier in Tier}


class ServedSpan(LightSpan):
    """The span of a hit that has ended."""

    account: Account
    digest: bytes
    served: Served
    tier: Tier

    def told(self) -> Told:
        account, (age_s, _, ttl_s) = self.account, self.served
        # what ``spans`` would make of an event
        attributes: dict[str, AttributeValue] = {
            schema.CATEGORY: account.category.name,
            schema.OPERATION: account.operation.value,
            schema.KEY_DIGEST: self.digest[:8].hex(),
            schema.OUTCOME: Outcome.HIT.value,
            schema.TIER: self.tier.value,
            schema.TTL: ttl_s,
            schema.ENTRY_AGE: age_s,
        }
        return Told(account.span_name, attributes)


def record(  # noqa: C901, PLR0912 (no calls in between: this is on the path of every hit)
    kit: Kit, account: Account, began: float, digest: bytes, served: Served, command: Command | None = None
) -> bool:
    """Record a hit.

    Args:
        account: where it is counted, from the ledger.
        began: when it began, by the kit's clock.
        digest: SHA-256 of the key, for the span only.
        command: None: the local tier answered.

    Returns:
        False when nothing was recorded, for it can only be recorded the ordinary way.
    """
    if kit.pending:
        kit.settle()
    light = kit.light
    if kit.instruments.recorded or not (kit.silent or light.light):
        return False
    now, ids = kit.monotonic(), None
    duration_s = now - began if now > began else 0.0
    tier = Tier.LOCAL if command is None else Tier.REDIS
    if not kit.silent:
        try:
            current = light.variable.get()
            parent = current.get(KEY)
            made = light.leaf(parent)
            if type(made) is tuple:
                ended_ns = time_ns()
                span = ServedSpan(light, made, parent)
                span.account, span.digest, span.served, span.tier = account, digest, served, tier
                # no shorter than what an exemplar says of it
                span.started_ns = started_ns = ended_ns - int(duration_s * 1e9) - 1
                if command is not None:
                    command[0].ended(command[1], current, span, started_ns, ended_ns - int((now - command[3]) * 1e9))
                if not span.close(ended_ns):
                    span.real().end(ended_ns)
                ids = (ended_ns, made[0], made[1]) if kit.instruments.exemplars else None
            elif command is not None:
                command[0].ended(command[1], current, parent if made is None else made, 0, 0)
        except Undecided:
            return False
        except Exception:
            kit.ledger.drop()
    cell, runs = account.cells.get(_LOOKUPS[tier]), tally.running()
    if cell is not None:
        waiting = cell.waiting
        waiting.append((duration_s, served[0], served[1], ids))
        if len(waiting) >= MOST_WAITING:
            kit.ledger.add_waiting(account, cell)
    else:
        kit.ledger.apply(_event(account, digest, served, tier), duration_s, account, ids)
    for sums in runs:
        sums.hit((account.category.name, account.operation, tier), digest, served[1], duration_s, kit.runs)
    return True


def _event(account: Account, digest: bytes, served: Served, tier: Tier) -> OperationEvent:
    event = OperationEvent(account.category.name, account.operation, digest[:8].hex())
    event.looked(Outcome.HIT, tier=tier, age_s=served[0], cost_s=served[1])
    event.ttl_s = served[2]
    return event
