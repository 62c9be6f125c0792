"""The closed sets of words that label every span and metric.

Nothing here has behaviour; nothing is imported but the standard library.
"""

from __future__ import annotations

from enum import StrEnum

BUILT_IN_CATEGORIES = ("context", "embedding", "tool", "prompt")
"""The categories of the specification; an application registers at most 16 beside them."""

OTHER = "other"
"""Category of a key of the plain client whose prefix no category owns."""

GENERAL = "general"
"""Category that ``record_*`` counts under when its caller names none."""

ALL = "all"
"""Category of an operation that touches several categories."""

MAX_REGISTERED_CATEGORIES = 16
"""How many categories an application may add: the bound that keeps series bounded."""


class Operation(StrEnum):
    """What the caller asked for (``cache.operation``)."""

    GET = "get"
    GET_MANY = "get_many"
    SET = "set"
    SET_MANY = "set_many"
    DELETE = "delete"
    INVALIDATE = "invalidate"
    GET_OR_COMPUTE = "get_or_compute"
    GET_OR_COMPUTE_MANY = "get_or_compute_many"
    WARM = "warm"
    EXPLAIN = "explain"
    HEALTH = "health"


class Outcome(StrEnum):
    """How a lookup ended (``cache.outcome``)."""

    HIT = "hit"
    MISS = "miss"
    STALE = "stale"
    """An expired entry that was served on purpose."""
    ERROR = "error"
    """The store did not answer properly; never counted as a miss."""
    BYPASS = "bypass"
    """Caching is disabled, or the key or value cannot be cached."""
    OK = "ok"
    """The operation looks nothing up."""


class Tier(StrEnum):
    """Where an answer came from (``cache.tier``)."""

    LOCAL = "local"
    REDIS = "redis"


class MissReason(StrEnum):
    """Why a lookup missed (``cache.miss.reason``)."""

    COLD = "cold"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    EVICTED = "evicted"
    CHANGED = "changed"
    """A file that the value was made from is not what it was."""
    VERSION = "version"
    CORRUPT = "corrupt"
    COLLISION = "collision"
    UNKNOWN = "unknown"


class MissTrigger(StrEnum):
    """What made the entry invalid that a lookup missed (``cache.miss.trigger``)."""

    KEY = "key"
    """Its key was deleted."""
    TAG = "tag"
    CATEGORY = "category"
    PATTERN = "pattern"
    RESTART = "restart"
    """The server was restarted from a disk, or is another one: nobody knows what it missed meanwhile."""


class ErrorType(StrEnum):
    """What kind of cache trouble it was (``error.type``)."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    BREAKER_OPEN = "breaker_open"
    POOL_EXHAUSTED = "pool_exhausted"
    AUTH = "auth"
    NOPERM = "noperm"
    READONLY = "readonly"
    OOM = "oom"
    LOADING = "loading"
    PROTOCOL = "protocol"
    DECODE = "decode"
    OTHER = "other"


class WriteResult(StrEnum):
    """What became of a write (``result`` of ``cache.writes``)."""

    STORED = "stored"
    REFUSED = "refused"
    """A fence had changed: an invalidation overtook the write."""
    DROPPED = "dropped"
    """The store was in trouble, or the value cannot be cached."""
    TOO_LARGE = "too_large"
    OVER_BUDGET = "over_budget"
    """The tenant has written as much as it may keep."""


class Trigger(StrEnum):
    """What caused a delete or an invalidation."""

    API = "api"
    MESSAGE = "message"
    FILE = "file"
    TAG = "tag"
    ADMIN = "admin"
    VERIFICATION = "verification"
    """A hit was computed again and was found to be wrong."""


class FlightScope(StrEnum):
    """How far a single flight reaches."""

    PROCESS = "process"
    FLEET = "fleet"


class BreakerState(StrEnum):
    """State of a store's circuit breaker."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


BREAKER_GAUGE = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
"""Value of the gauge ``cache.breaker.state``."""


class EvictionCause(StrEnum):
    """Why the local tier let an entry go (``cache.eviction.cause``)."""

    CAPACITY = "capacity"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    """It was changed, or a generation that it was made under was."""
    CHANGED = "changed"
    """A file that the value was made from is not what it was."""
    DISCONNECTED = "disconnected"
    """Nobody told of changes for a while."""


class VerificationResult(StrEnum):
    """How a sampled check of a hit ended."""

    SAME = "same"
    DIFFERENT = "different"
    """The entry that answered is valid still, and is not what is computed now, twice."""
    OVERTAKEN = "overtaken"
    """The entry was replaced, invalidated or expired meanwhile, or what it is made from changed: nothing is said."""
    FAILED = "failed"
    """It could not be computed or compared, or the store was in trouble."""


class Bound(StrEnum):
    """Which end of an estimate (``cache.bound``)."""

    LOW = "low"
    MIDDLE = "middle"
    HIGH = "high"
