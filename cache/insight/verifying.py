"""Is it true: compute a hit again and compare; a difference is believed only when nothing else explains it.

    look -> compute -> same
                    -> differs -> look: replaced, invalidated, expired -> overtaken
                               -> wait, compute, look once more        -> overtaken (a change on its way)
                                                                       -> different (perhaps dropped, if unchanged)

Whoever changes something and then invalidates has a moment in between in which every entry is old by right: the second
computation comes after it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cache.core import codecs
from cache.core.ask import unwrap
from cache.core.codecs import Encoded
from cache.core.engine import Engine, Operation
from cache.core.entry import Entry, tombstone
from cache.core.generations import TOKEN
from cache.core.held import Held
from cache.core.lookup import Computed
from cache.core.policies import Policy
from cache.core.reading import look
from cache.core.results import copy_of
from cache.core.scripts import DROP
from cache.core.shelves import Wanted
from cache.core.steps import Arg, Compute, Pause, RunScript
from cache.core.verdicts import Found
from cache.errors import CacheValueError, StoreError
from cache.insight.sameness import rule_of
from telemetry.vocabulary import Operation as Op
from telemetry.vocabulary import Trigger, VerificationResult

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from telemetry.verifying import Verification

SETTLE_S = 0.25
"""Between the two computations: time for an invalidation that follows a change to arrive."""

_TIMES = struct.Struct(">ddf")


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms is verified.

    Args:
        salt: goes into the digests of values.
        wanted: False once the cache is closed.
        drop: whether an entry that is wrong is dropped.
    """

    salt: bytes
    wanted: Callable[[], bool]
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """What is verified: the entry of a key, and what computes it."""

    engine: Engine
    policy: Policy
    want: Wanted
    compute: Callable[[], Any]


def verify(case: Case, cause: SpanContext | None, terms: Terms) -> Operation[None]:
    """Check the entry that answers for a key, under a span of its own; nothing of it reaches anybody.

    Args:
        cause: the span in which the hit was.
    """
    with case.engine.recorder.verify(case.policy.name, case.want.short, cause) as told:
        result, item = VerificationResult.OVERTAKEN, None
        try:
            before = yield from _standing(case, local=True)
            if before is not None:
                item = before.entry
                result = yield from _Check(case, terms, told, before).run()
        except StoreError as trouble:
            told.failed(trouble.kind)
            result = VerificationResult.FAILED
        except Exception as error:
            # the computation's own, or that of the category's rule
            told.failed(error)
            result = VerificationResult.FAILED
        if not terms.wanted():
            return
        told.result = result
        if result is VerificationResult.DIFFERENT and terms.drop:
            yield from _drop(case, _times(item))


class _Check:
    """One entry beside what is computed now."""

    def __init__(self, case: Case, terms: Terms, told: Verification, before: Found) -> None:
        self._case, self._terms, self._told, self._before = case, terms, told, before
        self._policy, self._same_as = case.policy, rule_of(case.policy)

    def run(self) -> Operation[VerificationResult]:
        """How it ended.

        Raises:
            StoreError: the store was in trouble.
            Exception: the computation's own, or of the rule.
        """
        first = yield from self._again()
        if self._same(first) or not self._terms.wanted():
            return VerificationResult.SAME
        if not (yield from self._stands()):
            return VerificationResult.OVERTAKEN
        yield Pause(SETTLE_S)
        second = yield from self._again()
        if self._same(second) or not self._terms.wanted() or not (yield from self._stands()):
            return VerificationResult.OVERTAKEN
        stored = _encoded(self._policy, self._before.value)
        self._told.differs(
            _digest(stored, self._terms.salt),
            _digest(second, self._terms.salt),
            repeatable=self._same_as(copy_of(self._policy, first), copy_of(self._policy, second)),
        )
        return VerificationResult.DIFFERENT

    def _again(self) -> Operation[Encoded]:
        """What is computed now, as it would be stored."""
        now = self._case.engine.recorder.now
        began = now()
        result = yield Compute(self._case.compute)
        item = self._before.entry
        if item is not None:
            self._told.took(item.cost_s, now() - began)
        if isinstance(result, Computed) and not result.store:
            raise CacheValueError("the result says that it must not be kept")
        return _encoded(self._policy, unwrap(result))

    def _same(self, computed: Encoded) -> bool:
        return bool(self._same_as(self._before.value, copy_of(self._policy, computed)))

    def _stands(self) -> Operation[bool]:
        """Whether the entry that was found first is still the one that answers, by what the store says."""
        now = yield from _standing(self._case, local=False)
        return now is not None and _times(now.entry) == _times(self._before.entry)


def _standing(case: Case, *, local: bool) -> Operation[Found | None]:
    """The entry that answers now, its generations looked at; None when none does.

    Raises:
        StoreError: the store did not answer properly.
    """
    (found,) = yield from look(case.engine, case.policy, [case.want], case.engine.reading(), local=local)
    return found if found.reason is None and found.entry is not None else None


def _times(item: Entry | Held | None) -> bytes:
    """What tells an entry from every other under its key, as it stands in its bytes: created, expires, cost."""
    return b"" if item is None else _TIMES.pack(item.created, item.expires, item.cost_s)


def _encoded(policy: Policy, value: Any) -> Encoded:
    return codecs.encode(value, codec=policy.codec, max_bytes=policy.max_bytes, compress_above=policy.compress_above)


def _digest(encoded: Encoded, salt: bytes) -> str:
    kind = bytes([encoded.codec, encoded.compressed])
    return hashlib.blake2b(kind + encoded.payload, digest_size=8, key=salt).hexdigest()


def _drop(case: Case, times: bytes) -> Operation[None]:
    """Drop the entry that was found wrong, unless another one stands there by now; counted as a delete."""
    engine, policy, want = case.engine, case.policy, case.want
    with engine.recorder.operation(policy.name, Op.DELETE, digest=want.short) as event:
        event.trigger = Trigger.VERIFICATION
        name = want.address.name
        args: list[Arg] = [times, engine.lifetime_ms(policy), tombstone(engine.tokens(TOKEN))]
        try:
            gone = yield RunScript(DROP, [name], args, engine.writing())
        except StoreError as trouble:
            engine.failed(event, trouble)
            return
        finally:
            engine.changed(names=[name])
        event.deletes += int(gone)
