"""What follows from a category alone is made once, and what was asked for lately is found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from cache.core import keys, seen
from cache.core.addresses import Address, Addresses
from cache.core.copies import Copies
from cache.core.generations import category_scope, tag_scope
from cache.core.hiding import Hidden
from cache.core.known import Known, scope_name
from cache.core.policies import Policy
from cache.errors import CacheKeyError

REMEMBERED = 1024
"""How many keys of a category are found again without being encoded; then all are forgotten."""

LONGEST = 512
"""Bytes of the longest key that is remembered, so that what is kept is bounded in bytes too."""

_FEW = 16


class Wanted(NamedTuple):
    """One key of a lookup or a write.

    Args:
        address: where it lives.
        scopes: what can invalidate it: its category first, then its tags.
        question: the MGET that fetches all that a verdict on it needs: entry, category's record, block, tags.
        asked: the scopes that are asked for: ``scopes``, then tags that its entry had when it was last heard of.
        labels: the names of the tags of ``asked`` as an entry holds them, after an empty one for the category.
        short: the address's digest, as spans carry it.
        known: what all keys that ask for the same scopes share.
        mark: what it is found again by; None where it is made anew each time.
        met: birth of the category's record under which an entry of it was seen; empty when none was.
    """

    address: Address
    scopes: tuple[str, ...]
    question: tuple[str, ...]
    asked: tuple[str, ...]
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
        blocks_until: until when each block of the table of what was seen lives at least, seconds since the epoch.
    """

    __slots__ = (
        "_addresses",
        "_copies",
        "_hidden",
        "_hints",
        "_known",
        "_known_tags",
        "_namespace",
        "_remembered",
        "_scope_name",
        "_seen",
        "_tagged",
        "_under",
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
        self._tagged: dict[Any, Wanted] = {}
        self._hints: dict[Any, tuple[str, ...]] = {}
        self._copies = Copies()
        self._known, self._known_tags = Known(self._copies, (self.scope,)), dict[tuple[str, ...], Known]()
        self._under: dict[tuple[str, ...], Known] = {(): self._known}

    def want(self, key: Any, tags: Sequence[str] = ()) -> Wanted:
        """Where a key lives and its scopes: the category, the tags of its policy, the call's tags.

        Raises:
            CacheKeyError: the key or a tag cannot be encoded, or there are too many tags.
        """
        if tags != ():
            return self._tag(key, tags)
        mark = _mark(key)
        if mark is None:
            return self._make(key, tags)[0]
        return self._remembered.get(mark) or self._remember(mark, key)

    def want_all(self, asked: Sequence[Any], tags: Sequence[str] = ()) -> list[Wanted]:
        """The same of many keys, in their order.

        Raises:
            CacheKeyError: as ``want``.
        """
        if tags != ():
            return [self._tag(key, tags) for key in asked]
        found, remembered, remember = list(asked), self._remembered.get, self._remember
        return [remembered(mark) or remember(mark, key) for mark, key in zip(map(_mark, found), found, strict=True)]

    def _remember(self, mark: Any, key: Any) -> Wanted:
        """What is wanted of a key without tags of the call's, found again by its mark."""
        found, size = self._make(key, (), mark)
        if mark is not None and size <= LONGEST:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            hint = self._hints.pop(mark, ())
            found = self._remembered[mark] = self._asking(found, hint) if hint else found
        return found

    def _tag(self, key: Any, tags: Sequence[str]) -> Wanted:
        """What is wanted of a key with tags of the call's."""
        mark = _mark(key)
        if type(tags) is list:
            tags = tuple(tags)
        if mark is None or type(tags) is not tuple or not _TEXT.issuperset(map(type, tags)):
            return self._make(key, tags)[0]
        found = self._tagged.get((mark, tags))
        if found is None:
            found, size = self._make(key, tags)
            if size + sum(map(len, tags)) <= LONGEST:
                if len(self._tagged) >= REMEMBERED:
                    self._tagged.clear()
                self._tagged[mark, tags] = found
                self._hint(mark, found.scopes)
        return found

    def _hint(self, mark: Any, scopes: tuple[str, ...]) -> None:
        """Who asks for a key without its tags will find an entry that has them, very likely."""
        known = self._remembered.get(mark)
        if known is not None:
            self._remembered[mark] = self._asking(known, scopes)
            return
        if len(self._hints) >= REMEMBERED:
            self._hints.clear()
        self._hints[mark] = scopes

    def learn(self, want: Wanted, scopes: tuple[str, ...]) -> None:
        """Remember which scopes the entry of a key has, so that the next look asks for them at once.

        What is remembered is never believed: an entry that has others is judged by those.
        """
        if want.mark is not None and want.mark in self._remembered:
            self._remembered[want.mark] = self._asking(want, scopes)

    def _asking(self, want: Wanted, scopes: tuple[str, ...]) -> Wanted:
        """The same, asking for further scopes where they are few and short."""
        further = tuple([scope for scope in scopes if scope not in want.scopes])
        if len(further) > _FEW or sum(map(len, further)) > LONGEST:
            further = ()
        known = self._known_of(want.scopes[1:] + further)
        question = (*want.question[:4], *known.names)
        return want._replace(question=question, asked=known.scopes, labels=known.labels, known=known)

    def meet(self, want: Wanted, birth: bytes) -> None:
        """Remember that an entry of a key was seen: it was written since the ``birth`` of the category's record."""
        if want.mark is not None and want.mark in self._remembered:
            self._remembered[want.mark] = want._replace(met=birth)

    def _make(self, key: Any, tags: Sequence[str], mark: Any = None) -> tuple[Wanted, int]:
        """What is wanted, and how long the key is."""
        address, size = self._addresses.of(key)
        own = self.policy.tags(key)
        plain = tags == () and type(own) is tuple and _TEXT.issuperset(map(type, own))
        known = self._under.get(own) if plain else None
        if known is None:
            known = self._named(own, tags)
            if plain and len(known.scopes) <= _FEW:
                if len(self._under) >= REMEMBERED:
                    self._under.clear()
                self._under[own] = known
        question = ("MGET", address.name, self._scope_name, self._seen[seen.block_of(address.digest)], *known.names)
        return Wanted(address, known.scopes, question, known.scopes, known.labels, address.short, known, mark), size

    def _named(self, own: Sequence[str], tags: Sequence[str]) -> Known:
        """What is shared under a key's own tags and the call's."""
        # a key's own tags are as long as its parts: what no invalidation could name is refused here
        named = keys.check_tags(own)
        if tags != ():
            named = tuple(dict.fromkeys((*named, *keys.check_tags(tags))))
        if len(named) > keys.MOST_TAGS:
            raise CacheKeyError(f"a key has at most {keys.MOST_TAGS} tags")
        return self._known_of(tuple(map(tag_scope, named if self._hidden is None else map(self._hidden.part, named))))

    def _known_of(self, tags: tuple[str, ...]) -> Known:
        """What the keys under the scopes of these tags share."""
        if not tags:
            return self._known
        known = self._known_tags.get(tags)
        if known is None:
            if len(self._known_tags) >= REMEMBERED:
                self._known_tags.clear()
            names = tuple([scope_name(self._namespace, scope) for scope in tags])
            known = self._known_tags.setdefault(tags, Known(self._copies, (self.scope, *tags), names))
        return known


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

_TEXT: frozenset[type] = frozenset((str,))
