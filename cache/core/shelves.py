"""What follows from a category alone is made once, and what was asked for lately is found again."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from cache.core import keys, seen
from cache.core.addresses import Address, Addresses
from cache.core.generations import category_scope, tag_scope
from cache.core.hiding import Hidden
from cache.core.policies import Policy
from cache.errors import CacheKeyError

REMEMBERED = 1024
"""How many keys of a category are found again without being encoded; then all are forgotten."""

LONGEST = 512
"""Bytes of the longest key that is remembered, so that what is kept is bounded in bytes too."""

_LENGTH = struct.Struct(">H")


Judged = tuple[bytes, list[Any], bytes | None, bytes]
"""A category's record and the tokens of tags as Redis has them, the server that they were judged for, and the names and
tokens as an entry made under them holds them."""


class Known:
    """What was seen last of the scopes of some keys, so that the same again need not be judged again.

    Attributes:
        judged: in one piece, for another thread may put what it saw in its place.
    """

    __slots__ = ("judged",)

    def __init__(self) -> None:
        # no server is named None: nothing is taken for known before it was judged
        self.judged: Judged = (b"", [], None, b"")


class Wanted(NamedTuple):
    """One key of a lookup or a write.

    Args:
        address: where it lives.
        scopes: what can invalidate it: its category first, then its tags.
        question: the MGET that fetches all that a verdict on it needs: entry, category's record, block, tags.
        labels: the scopes' names as an entry holds them.
        short: the address's digest, as spans carry it.
        known: what all keys under the same scopes share.
    """

    address: Address
    scopes: tuple[str, ...]
    question: tuple[str, ...]
    labels: tuple[bytes, ...]
    short: str
    known: Known


class Shelf:
    """One category of one cache: makes what is wanted of its keys.

    Args:
        namespace: of the cache; empty for none.
        policy: the category's.
        hidden: hides what its names would say; None leaves them readable.
    """

    __slots__ = (
        "_addresses",
        "_hidden",
        "_known",
        "_known_tags",
        "_label",
        "_namespace",
        "_remembered",
        "_scope_name",
        "_seen",
        "policy",
        "scope",
    )

    def __init__(self, namespace: str, policy: Policy, hidden: Hidden | None = None) -> None:
        self.policy, self._namespace, self._hidden = policy, namespace, hidden
        self.scope = category_scope(policy.name)
        self._scope_name, self._label = scope_name(namespace, self.scope), label(self.scope)
        self._addresses = Addresses(namespace, policy.name, policy.prefix, policy.suffix, hidden)
        self._seen = tuple(keys.seen_name(namespace, policy.name, block) for block in range(seen.BLOCKS))
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
        found = self._remembered.get(mark)
        if found is None:
            found, size = self._make(key, ())
            if size <= LONGEST:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[mark] = found
        return found

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
            return Wanted(address, (self.scope,), question, (self._label,), address.short, self._known), size
        scopes = tuple(map(tag_scope, named if self._hidden is None else map(self._hidden.part, named)))
        names = (scope_name(self._namespace, scope) for scope in scopes)
        question = ("MGET", address.name, self._scope_name, block, *names)
        labels = (self._label, *map(label, scopes))
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
    if type(key) is not tuple or len(key) != 2:
        return None
    first, second = key
    if type(first) is not str:
        return None
    if type(second) is int:
        return key
    if type(second) is not dict or not _TEXT.issuperset(map(type, second)):
        return None
    kinds = tuple(map(type, second.values()))
    return (first, tuple(second.items()), kinds) if PLAIN.issuperset(kinds) else None


PLAIN: frozenset[type] = frozenset((str, int, bool, bytes, type(None)))
"""Types whose values are equal only if they are the same, given that the types are."""

_TEXT: frozenset[type] = frozenset((str,))


@lru_cache(maxsize=4096)
def scope_name(namespace: str, scope: str) -> str:
    """The Redis key of a scope's generation, remembered."""
    return keys.scope_name(namespace, scope)


@lru_cache(maxsize=4096)
def label(scope: str) -> bytes:
    """A scope's name as an entry holds it: its length, then its bytes."""
    name = scope.encode()
    return _LENGTH.pack(len(name)) + name
