"""Which lookups other TTLs would have answered: every lookup of a sample of the keys, simulated for each TTL.

Keys are sampled by their hash, so that all lookups of a key are seen or none (spatial sampling); the rate falls as the
sample fills. Keys that are asked for most are watched for themselves: a sample that has or lacks one of them is off.

Source: C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, "Efficient MRC construction with SHARDS", FAST 2015 (fixed
size, section 3.2); what is simulated here is a TTL set at a write, which a hit does not extend. Jitter is left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

GRID = (
    *(1.0, 2.0, 5.0, 10.0, 20.0, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY, 30 * DAY),
)
"""TTLs that are tried, seconds."""

MOST_KEYS = 1400
"""Keys of the sample; with those that are watched they stay below 1 MiB."""

MOST_HOT = 400
"""Keys that are watched for themselves."""

OFFER_EVERY = 128
"""Lookups of which one is offered as a candidate for that."""

HOT_AT = 2
"""Offers within one round of candidates from which on a key is watched."""

GROUPS = 32
"""Parts of the sample, by hash: what they differ by is the error."""

_ALL = 1 << 64


class Key:
    """One key of the sample.

    Args:
        expires: when its entry would expire under each TTL.
        group: the part of the sample that it belongs to; -1: it is watched for itself.
    """

    __slots__ = ("cost_s", "expires", "group", "quiet_until", "size")

    def __init__(self, columns: int, group: int) -> None:
        self.expires, self.group = array("d", bytes(8 * columns)), group
        self.quiet_until = 0.0
        self.cost_s, self.size = 0.0, 0


class Reuse:
    """The sample of one category.

    Args:
        ttl_s: today's TTL, tried beside the grid, seconds.
        grid: TTLs that are tried, rising, seconds.
        most_keys, most_hot: bounds.

    Attributes:
        below: a key is in the sample when its digest is below these bytes.
        hot: keys that are watched for themselves.
        lookups: all of the category, in the sample or not, and ``misses`` those that the cache itself missed.
    """

    def __init__(
        self, ttl_s: float, grid: Sequence[float] = GRID, most_keys: int = MOST_KEYS, most_hot: int = MOST_HOT
    ) -> None:
        self.ttl_s, self.grid = ttl_s, tuple(grid)
        self.columns = (*self.grid, ttl_s)
        self._most_keys, self._most_hot = most_keys, most_hot
        self.lookups = self.misses = 0
        self._limit = _ALL
        self.below, self._weight = b"\xff" * 9, 1.0
        self.keys: dict[bytes, Key] = {}
        self.hot: dict[bytes, Key] = {}
        width = len(self.columns)
        self.seen, self.really = [0.0] * GROUPS, [0.0] * GROUPS
        self.missed = [array("d", bytes(8 * width)) for _ in range(GROUPS)]
        self.hot_seen = self.hot_really = 0
        self.hot_missed = array("d", bytes(8 * width))
        self.paid, self.priced = array("d", bytes(8 * width)), array("d", bytes(8 * width))
        self._offers: dict[bytes, int] = {}
        self._offered = 0

    @property
    def rate(self) -> float:
        """The share of keys that is sampled now."""
        return self._limit / _ALL

    def looked(
        self,
        digest: bytes,
        now: float,
        *,
        size: int = 0,
        cost_s: float = 0.0,
        missed: bool = False,
        killed: bool = False,
    ) -> None:
        """Take one lookup of a key of the sample; of another key it changes nothing.

        Args:
            digest: the first 8 bytes of the key's SHA-256.
            now: seconds, of any clock that never goes back.
            size: of its entry, bytes; 0: not known.
            cost_s: seconds that its computation takes; 0: not known.
            missed: the cache itself missed.
            killed: it was invalidated since its last lookup.
        """
        key = self.hot.get(digest)
        if key is None:
            if digest >= self.below:
                return
            key = self.keys.get(digest)
            if key is None:
                key = self._enter(digest)
                if key is None:
                    return
            self.seen[key.group] += self._weight
            if missed:
                self.really[key.group] += self._weight
        else:
            self.hot_seen += 1
            self.hot_really += missed
        if size:
            key.size = size
        if cost_s:
            key.cost_s = cost_s
        if killed or now >= key.quiet_until:
            self._simulate(key, now, killed)

    def _simulate(self, key: Key, now: float, killed: bool) -> None:
        """Miss under the TTLs whose entry is gone, and write it anew."""
        expires, cost_s = key.expires, key.cost_s
        weight, missed = (self._weight, self.missed[key.group]) if key.group >= 0 else (1.0, self.hot_missed)
        for column, ttl_s in enumerate(self.columns):
            if killed or expires[column] <= now:
                expires[column] = now + ttl_s
                missed[column] += weight
                if cost_s:
                    self.paid[column] += weight * cost_s
                    self.priced[column] += weight
        key.quiet_until = min(expires)

    def stored(self, digest: bytes, now: float, size: int = 0) -> None:
        """A key's entry was written, whatever was there: it lives anew."""
        key = self.hot.get(digest) or self.keys.get(digest)
        if key is None and digest < self.below:
            key = self._enter(digest)
        if key is None:
            return
        key.size = size or key.size
        for column, ttl_s in enumerate(self.columns):
            key.expires[column] = now + ttl_s
        key.quiet_until = min(key.expires)

    def invalidated(self, digest: bytes, now: float) -> None:
        """A key's entry went, under whatever TTL."""
        key = self.hot.get(digest) or self.keys.get(digest)
        if key is not None:
            for column, until in enumerate(key.expires):
                key.expires[column] = min(until, now)
            key.quiet_until = 0.0

    def invalidated_all(self, now: float) -> None:
        """The same of every key."""
        for digest in (*self.hot, *self.keys):
            self.invalidated(digest, now)

    def offer(self, digest: bytes, now: float) -> None:
        """Take a lookup in so many, of any key, as a candidate for those to be watched."""
        if digest in self.hot:
            return
        self._offered += 1
        times = self._offers[digest] = self._offers.get(digest, 0) + 1
        if times >= HOT_AT and len(self.hot) < self._most_hot:
            del self._offers[digest]
            self._watch(digest, now)
        elif len(self._offers) >= self._most_hot:
            # who was asked for once in a round is not asked for most
            self._offers.clear()

    def _watch(self, digest: bytes, now: float) -> None:
        """Watch a key for itself from now on."""
        key = self.keys.pop(digest, None)
        if key is None:
            key = Key(len(self.columns), -1)
            # it was asked for a moment ago
            key.expires = array("d", [now + ttl_s for ttl_s in self.columns])
            key.quiet_until = now + min(self.columns)
        key.group = -1
        self.hot[digest] = key

    def _enter(self, digest: bytes) -> Key | None:
        """A key that is seen for the first time; None when it is what has to leave."""
        # the high bits decide who is in the sample, the low ones the group
        key = self.keys[digest] = Key(len(self.columns), digest[7] % GROUPS)
        if len(self.keys) <= self._most_keys:
            return key
        self._lower()
        return self.keys.get(digest)

    def _lower(self) -> None:
        """Lower the rate: the eighth with the highest hashes leaves."""
        ordered = sorted(self.keys)
        kept = len(ordered) - len(ordered) // 8
        for digest in ordered[kept:]:
            del self.keys[digest]
        self.below = ordered[kept]
        self._limit = int.from_bytes(self.below)
        self._weight = _ALL / self._limit

    def held_bytes(self, now: float) -> list[float]:
        """What the store would hold now under each TTL, bytes."""
        sums = [0.0] * len(self.columns)
        for keys, weight in ((self.keys, self._weight), (self.hot, 1.0)):
            for key in tuple(keys.values()):
                for column, until in enumerate(key.expires):
                    if until > now:
                        sums[column] += weight * key.size
        return sums
