"""What a lookup gives back, and what a computation may say about its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from cache.core.fingerprint import Fingerprint
from cache.core.ttl import seconds
from cache.errors import CacheValueError
from telemetry.vocabulary import ErrorType, MissReason, MissTrigger, Outcome, Tier

if TYPE_CHECKING:
    from cache.core.generations import Fence


class Miss(Enum):
    """The type of ``MISS``: an enum of one, so that ``is`` and type checkers both work."""

    MISS = "MISS"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "MISS"


MISS = Miss.MISS
"""What a lookup gives when there is nothing; falsy, and never equal to a value (None is a value)."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """The whole answer to one lookup.

    Args:
        value: the value, or ``MISS``.
        outcome: hit, miss, stale, error or bypass.
        tier: where the value came from; None without one.
        miss_reason: why it missed; None unless ``outcome`` is miss or stale.
        age: seconds since the entry was made; None without an entry.
        ttl: seconds until its logical expiry, negative once it passed; None without an entry.
        error: what was wrong with the store; None unless ``outcome`` is error.
        fence: what a later ``set`` hands back so that an invalidation in between refuses it.
        cost_s: seconds that its computation took, 0.0 when unknown.
        miss_trigger: what made the entry invalid; None unless ``miss_reason`` is invalidated.
    """

    value: Any
    outcome: Outcome
    tier: Tier | None = None
    miss_reason: MissReason | None = None
    age: float | None = None
    ttl: float | None = None
    error: ErrorType | None = None
    fence: Fence | None = field(default=None, repr=False)
    cost_s: float = 0.0
    miss_trigger: MissTrigger | None = None

    @property
    def hit(self) -> bool:
        """True when ``value`` is the stored value and fresh."""
        return self.outcome is Outcome.HIT


@dataclass(frozen=True, slots=True)
class Computed:
    """A computation's result with what the cache should know about it.

    Args:
        value: what the caller gets.
        files: fingerprints of every file and directory that was read; checked on each hit.
        store: False when this result must not be kept (a failure, say).
        ttl: seconds that this result may live, 1 ms to ten years; None takes the call's.

    Raises:
        CacheValueError: ``files`` holds something else than fingerprints.
        TTLError: ``ttl`` is none.
    """

    value: Any
    files: tuple[Fingerprint, ...] = ()
    store: bool = True
    ttl: float | None = None

    def __post_init__(self) -> None:
        # here, where the mistake is: later it would be found in the middle of a write
        if not isinstance(self.files, tuple) or not all(isinstance(file, Fingerprint) for file in self.files):
            raise CacheValueError("a Computed's files are a tuple of fingerprints")
        if self.ttl is not None:
            seconds(self.ttl)
