"""What follows from a category alone is made once, and what was asked for lately is found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from cache.core import entry, keys, seen
from cache.core.addresses import Address, Addresses
from cache.core.generations import category_scope, tag_scope
from cache.core.hiding import Hidden
from cache.core.policies import Policy
from cache.errors import CacheKeyError

REMEMBERED = 1024
"""How many keys of a category are found again without being encoded; then all are forgotten."""

LONGEST = 512
"""Bytes of the longest key that is remembered, so that what is kept is bounded in bytes too."""

_NO_LABEL = (b"",)

Judged = tuple[bytes, list[Any], bytes | None, bytes]
"""A category's record and the tokens of tags as Redis has them, the server that they were judged for, and the names and
tokens as an entry made under them holds them."""


class Known:
    """What was seen last of the scopes of some keys, so that the same again need not be judged again.

    Attributes:
        judged: in one piece, for another thread may put what it saw in its place.
        lives: the tokens that a write named, as it named them, and until when their generations live at least, in
            seconds since the epoch.
    """

    __slots__ = ("judged", "lives")

    def __init__(self) -> None:
        # no server is named None: nothing is taken for known before it was judged
        self.judged: Judged = (b"", [], None, b"")
        self.lives: tuple[tuple[bytes, ...], float] = ((), 0.0)


class Wanted(NamedTuple):
    """One key of a lookup or a write.

    Args:
        address: where it lives.
        scopes: what can invalidate it: its category first, then its tags.
        question: the MGET that fetches all that a verdict on it needs: entry, category's record, block, tags.
        labels: the tags' names as an entry holds them, after an empty one for the category.
        short: the address's digest, as spans carry it.
        known: what all keys under the same scopes share.
        mark: what it is found again by; None where it is made anew each time.
        met: birth of the category's record under which an entry of it was seen; empty when none was.
    """

    address: Address
    scopes: tuple[str, ...]
    question: tuple[str, ...]
    labels: tuple[bytes, ...]
    short: str
    known: Known
    mark: Any = None
    met: bytes = b""


class Shelf:
    """One category of one cache: makes what is wanted of its keys.

    Args:
        namespace: of the cache; empty for none.
        policy: the category's.
        hidden: hides what its names would say; None leaves them readable.

    Attributes:
        blocks_until: until when each block of the seen-filter lives at least, seconds since the epoch.
    """

    __slots__ = (
        "_addresses",
        "_hidden",
        "_known",
        "_known_tags",
        "_namespace",
        "_remembered",
        "_scope_name",
        "_seen",
        "blocks_until",
        "policy",
        "scope",
    )

    def __init__(self, namespace: str, policy: Policy, hidden: Hidden | None = None) -> None:
        self.policy, self._namespace, self._hidden = policy, namespace, hidden
        self.scope = category_scope(policy.name)
        self._scope_name = scope_name(namespace, self.scope)
        self._addresses = Addresses(namespace, policy.name, policy.prefix, policy.suffix, hidden)
        self._seen = tuple(keys.seen_name(namespace, policy.name, block) for block in range(seen.BLOCKS))
        self.blocks_until = [0.0] * seen.BLOCKS
        self._remembered: dict[Any, Wanted] = {}
        self._known, self._known_tags = Known(), dict[tuple[str, ...], Known]()

    def want(self, key: Any, tags: Sequence[str] = ()) -> Wanted:
        """Where a key lives and its scopes: the category, the tags of its policy, the call's tags.

        Raises:
            CacheKeyError: the key or a tag cannot be encoded, or there are too many tags.
        """
        mark = _mark(key) if tags == () else None
        if mark is None:
            return self._make(key, tags)[0]
        return self._remembered.get(mark) or self._remember(mark, key)

    def want_all(self, asked: Sequence[Any], tags: Sequence[str] = ()) -> list[Wanted]:
        """The same of many keys, in their order.

        Raises:
            CacheKeyError: as ``want``.
        """
        if tags != ():
            return [self._make(key, tags)[0] for key in asked]
        found, remembered, remember = list(asked), self._remembered.get, self._remember
        return [remembered(mark) or remember(mark, key) for mark, key in zip(map(_mark, found), found, strict=True)]

    def _remember(self, mark: Any, key: Any) -> Wanted:
        """What is wanted of a key without tags of the call's, found again by its mark."""
        found, size = self._make(key, ())
        if mark is not None and size <= LONGEST:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            found = self._remembered[mark] = found._replace(mark=mark)
        return found

    def meet(self, want: Wanted, birth: bytes) -> None:
        """Remember that an entry of a key was seen: it was written since the ``birth`` of the category's record."""
        if want.mark is not None and want.mark in self._remembered:
            self._remembered[want.mark] = want._replace(met=birth)

    def _make(self, key: Any, tags: Sequence[str]) -> tuple[Wanted, int]:
        """What is wanted, and how long the key is."""
        address, size = self._addresses.of(key)
        # a key's own tags are as long as its parts: what no invalidation could name is refused here
        named = keys.check_tags(self.policy.tags(key))
        if tags != ():
            named = tuple(dict.fromkeys((*named, *keys.check_tags(tags))))
        if len(named) > keys.MOST_TAGS:
            raise CacheKeyError(f"a key has at most {keys.MOST_TAGS} tags")
        block = self._seen[seen.block_of(address.digest)]
        if not named:
            question: tuple[str, ...] = ("MGET", address.name, self._scope_name, block)
            return Wanted(address, (self.scope,), question, _NO_LABEL, address.short, self._known), size
        scopes = tuple(map(tag_scope, named if self._hidden is None else map(self._hidden.part, named)))
        names = (scope_name(self._namespace, scope) for scope in scopes)
        question = ("MGET", address.name, self._scope_name, block, *names)
        labels = (*_NO_LABEL, *map(label, scopes))
        return Wanted(address, (self.scope, *scopes), question, labels, address.short, self._known_of(scopes)), size

    def _known_of(self, scopes: tuple[str, ...]) -> Known:
        """What the keys under these tags share."""
        if len(self._known_tags) >= REMEMBERED:
            self._known_tags.clear()
        return self._known_tags.setdefault(scopes, Known())


class Shelves(dict[str, Shelf]):
    """The shelves of one cache, each made when it is first asked for: a tenant's cache may use one of them once.

    Args:
        namespace, policies, hidden: of the cache.
    """

    def __init__(self, namespace: str, policies: Mapping[str, Policy], hidden: Hidden | None) -> None:
        super().__init__()
        self._namespace, self._policies, self._hidden = namespace, policies, hidden

    def __missing__(self, category: str) -> Shelf:
        made = self[category] = Shelf(self._namespace, self._policies[category], self._hidden)
        return made


def _mark(key: Any) -> Any:
    """What tells a key from every other one, types included (1 == True == 1.0, and 0.0 == -0.0); None: not known.

    Known are text, (text, integer) as contexts have, (text, flat parameters) as tools have.
    """
    if type(key) is str:
        return key
    if type(key) is not tuple or len(key) != 2 or type(key[0]) is not str:
        return None
    first, second = key
    if type(second) is int:
        return key
    if type(second) is not dict or not _FLAT.issuperset(map(type, second.values())):
        return None
    try:
        # of these types no two values look the same as JSON, and other names than text are refused
        return first, orjson.dumps(second)
    except TypeError:
        return None


PLAIN: frozenset[type] = frozenset((str, int, bool, bytes, type(None)))
"""Types whose values are equal only if they are the same, given that the types are."""

_FLAT = PLAIN - {bytes}


@lru_cache(maxsize=4096)
def scope_name(namespace: str, scope: str) -> str:
    """The Redis key of a scope's generation, remembered."""
    return keys.scope_name(namespace, scope)


@lru_cache(maxsize=4096)
def label(scope: str) -> bytes:
    """A tag's name as an entry holds it, remembered."""
    return entry.label(scope)
