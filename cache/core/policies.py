"""What each category promises: one table that settings fill and an application extends.

Pure data and its checks. Nothing here reads settings or the environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from cache.core import keys
from cache.core.codecs import CodecName
from cache.core.ttl import seconds
from cache.errors import CategoryError, UnknownCategoryError
from telemetry.vocabulary import ALL, BUILT_IN_CATEGORIES, GENERAL, MAX_REGISTERED_CATEGORIES, OTHER, Tier

TTL = float | timedelta | None
"""A time to live: seconds or a timedelta, 1 ms to ten years; None takes the category's."""

STALE_WINDOW_S = 300.0
"""Default stale window: min(TTL, 5 min)."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")


def no_tags(_key: Any) -> tuple[str, ...]:
    """Tags of a category that derives none from its keys."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one category is kept.

    Args:
        name: the category's label in telemetry: lower case letters, digits, underscores, at most 32.
        prefix: first part of its Redis keys, same alphabet; the name when empty.
        ttl_s: logical time to live in seconds, 1 ms to ten years.
        jitter: share of the TTL that is randomly taken off, 0..0.5, so that entries do not expire together.
        stale_window_s: seconds an expired entry stays readable; None means min(TTL, 5 min).
        serve_stale: answer with an expired entry at once and refresh it in the background.
        refresh_ahead: share of the TTL, 0..0.9, at whose end a hit refreshes in the background; 0 is off.
        stale_on: exceptions of a computation that may be answered by an expired entry.
        negative_on: exceptions of a computation that are remembered, in this process, for ``negative_ttl_s``.
        negative_ttl_s: seconds; 0 is off.
        fleet: one computation per fleet, by a short lock in Redis, instead of one per process.
        lock_ttl_s: seconds after which a crashed leader's lock is gone.
        wait_s: seconds a follower waits before it computes by itself.
        max_bytes: largest encoding that is stored.
        codec: how values are written; AUTO chooses by type.
        compress_above: encodings larger than this many bytes are compressed by zstd.
        tier: LOCAL keeps them in the process too, in front of Redis.
        read_replicas: in a cluster a replica may answer with an entry: one that was replaced or deleted a moment ago
            may still be served then, one whose tag or category was invalidated never is.
        repeatable: the same computation gives the same result until something is invalidated, and does nothing else: a
            share of the hits may be computed again to see whether they are true.
        same: whether a stored and a computed value count as the same; None: equal, numbers of arrays close.
        suffix: makes the part of the Redis key after the prefix.
        tags: the tags that follow from a key by itself (``task:{id}``).
    """

    name: str
    prefix: str = ""
    ttl_s: float = 3600.0
    jitter: float = 0.1
    stale_window_s: float | None = None
    serve_stale: bool = False
    refresh_ahead: float = 0.0
    stale_on: tuple[type[Exception], ...] = ()
    negative_on: tuple[type[Exception], ...] = ()
    negative_ttl_s: float = 0.0
    fleet: bool = False
    lock_ttl_s: float = 10.0
    wait_s: float = 10.0
    max_bytes: int = 1 << 20
    codec: CodecName = CodecName.AUTO
    compress_above: int = 4096
    tier: Tier = Tier.REDIS
    read_replicas: bool = False
    repeatable: bool = False
    same: Callable[[Any, Any], bool] | None = None
    suffix: Callable[[Any], str] = keys.digest_suffix
    tags: Callable[[Any], tuple[str, ...]] = no_tags

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", self.prefix or self.name)
        for what, text in (("name", self.name), ("prefix", self.prefix)):
            if not isinstance(text, str) or not _NAME.match(text):
                raise CategoryError(f"a category's {what} is 1 to 32 of a-z, 0-9 and _, a letter first: got {text!r}")
        if self.name in (OTHER, GENERAL, ALL) or self.prefix in keys.RESERVED_PREFIXES:
            raise CategoryError(f"category {self.name!r} (prefix {self.prefix!r}): that word is taken")
        object.__setattr__(self, "ttl_s", seconds(self.ttl_s))
        self._check_shares()

    def _check_shares(self) -> None:
        _within(self.name, "jitter", self.jitter, 0.0, 0.5)
        _within(self.name, "refresh_ahead", self.refresh_ahead, 0.0, 0.9)
        _within(self.name, "negative_ttl_s", self.negative_ttl_s, 0.0, 3600.0)
        _within(self.name, "lock_ttl_s", self.lock_ttl_s, 0.001, 3600.0)
        _within(self.name, "wait_s", self.wait_s, 0.0, 3600.0)
        _within(self.name, "max_bytes", self.max_bytes, 1, 512 << 20)
        if self.stale_window_s is not None:
            _within(self.name, "stale_window_s", self.stale_window_s, 0.0, 315_360_000.0)
        if self.tier not in tuple(Tier):
            raise CategoryError(f"category {self.name!r}: tier must be Tier.REDIS or Tier.LOCAL, got {self.tier!r}")
        object.__setattr__(self, "tier", Tier(self.tier))

    def stale_window(self, ttl_s: float) -> float:
        """Seconds that an entry stays readable after it expired."""
        return min(ttl_s, STALE_WINDOW_S) if self.stale_window_s is None else self.stale_window_s


def _within(name: str, what: str, value: float, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # false for NaN too
        got = "a far larger integer" if isinstance(value, int) and abs(value) >= 1 << 64 else repr(value)
        raise CategoryError(f"category {name!r}: {what} must be {low:g} to {high:g}, got {got}")


def built_in() -> tuple[Policy, ...]:
    """The specification's four categories, and ``static`` for results that carry a version of their own."""
    return (
        Policy(name="context", ttl_s=3600, suffix=keys.context_suffix, tags=keys.context_tags),
        Policy(name="embedding", prefix="embed", ttl_s=86_400, suffix=keys.embedding_suffix, codec=CodecName.VECTOR),
        Policy(name="tool", ttl_s=1800, suffix=keys.tool_suffix, tags=keys.tool_tags),
        Policy(name="prompt", ttl_s=3600, suffix=keys.prompt_suffix),
        Policy(name="static", ttl_s=86_400),
    )


class PolicyTable(Mapping[str, Policy]):
    """The policies of one cache, by category.

    Args:
        policies: the built-in ones and the application's own; a later one replaces an earlier one of its name.

    Raises:
        CategoryError: more than 16 beside the four, or two with one prefix.
    """

    def __init__(self, policies: Iterable[Policy] = ()) -> None:
        table = {policy.name: policy for policy in (*built_in(), *policies)}
        if len(table.keys() - set(BUILT_IN_CATEGORIES)) > MAX_REGISTERED_CATEGORIES:
            raise CategoryError(f"at most {MAX_REGISTERED_CATEGORIES} categories can be registered beside the four")
        self._table = table
        self.prefixes: Mapping[str, str] = {policy.prefix: policy.name for policy in table.values()}
        if len(self.prefixes) != len(table):
            raise CategoryError("two categories share a prefix")

    def __getitem__(self, category: str) -> Policy:
        try:
            return self._table[category]
        except (KeyError, TypeError):
            known = ", ".join(self._table)
            raise UnknownCategoryError(f"no category {category!r} is registered; there are {known}") from None

    def __contains__(self, category: object) -> bool:
        return category in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def with_local(self, categories: Iterable[str]) -> PolicyTable:
        """The same table with some categories kept in the process too; names that nobody registered are left out."""
        named = frozenset(categories)
        return PolicyTable(
            replace(policy, tier=Tier.LOCAL) if name in named else policy for name, policy in self._table.items()
        )

    def with_repeatable(self, categories: Iterable[str]) -> PolicyTable:
        """The same table with some categories declared repeatable; names that nobody registered are left out."""
        named = frozenset(categories)
        return PolicyTable(
            replace(policy, repeatable=True) if name in named else policy for name, policy in self._table.items()
        )

    def with_ttls(self, ttls: Mapping[str, float]) -> PolicyTable:
        """The same table with other TTLs (seconds) for some categories."""
        return PolicyTable(
            replace(policy, ttl_s=ttls[name]) if name in ttls else policy for name, policy in self._table.items()
        )
