"""Generations and fences: what makes an invalidation final.

Every scope that can be invalidated (a category, a tag) has a generation, a random token in
Redis. An entry names the tokens it was made under and is valid while they are current; a
write names the tokens seen before its computation and is refused when one changed or
vanished. A category's record holds more than its token:

    bytes  0-15  read token: entries made under another one are invalid
    bytes 16-31  write fence: writes made under another one are refused, entries stay valid
    bytes 32-39  identity of the server that made it; on another server it counts as absent
    bytes 40-47  birth: ties the blocks of the table of what was seen to this record
    bytes 48-79  which of those blocks were ever begun (see ``seen``)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from cache.core.marks import marked

TOKEN = 16
"""Length of a token in bytes: 120 random bits, which never meet twice, and a mark (see ``marks``)."""

NO_TOKEN = bytes(TOKEN)
"""Own token of a key that holds no record of ours."""

PROPOSED = b"+"
"""What the write script is told before the token that it may give a tag which has none."""

FENCE_OF_CATEGORY = 32
"""A write compares this much of a category's record: read token and write fence."""

CATEGORY_RECORD = 80
"""Length of a category's record in bytes."""

_REMEMBERED = 4096
_NOBODY = bytes(8)

TokenSource = Callable[[int], bytes]
"""Gives n random bytes; ``secrets.token_bytes`` outside of tests."""


def category_scope(category: str) -> str:
    """Name of a category's scope."""
    return f"category:{category}"


def tag_scope(tag: str) -> str:
    """Name of a tag's scope."""
    return f"tag:{tag}"


class Fence(NamedTuple):
    """What a lookup saw: the token of each scope (None: absent) and the key's own token."""

    scopes: tuple[tuple[str, bytes | None], ...]
    own: bytes = NO_TOKEN

    @property
    def complete(self) -> bool:
        """True when every scope had a generation; a write under an incomplete fence is refused."""
        return all(token is not None for _, token in self.scopes)

    def with_tokens(self, made: Mapping[str, bytes | None]) -> Fence:
        """The same fence with tokens that were made since."""
        return Fence(tuple((name, made.get(name, token)) for name, token in self.scopes), self.own)


class CategoryRecord(NamedTuple):
    """A category's generation, taken apart."""

    fence: bytes
    identity: bytes
    birth: bytes
    begun: bytes

    @classmethod
    def parse(cls, raw: Any, identity: bytes) -> CategoryRecord | None:
        """Take a record apart; None when it is absent, malformed or another server's.

        Args:
            raw: the bytes in Redis.
            identity: the connected server's, 8 bytes; empty means "do not compare".
        """
        if not isinstance(raw, bytes) or len(raw) != CATEGORY_RECORD:
            return None
        if not made_by(raw, identity):
            return None
        return cls(raw[:FENCE_OF_CATEGORY], raw[32:40], raw[40:48], raw[48:])

    @staticmethod
    def fresh(identity: bytes, tokens: TokenSource) -> bytes:
        """Bytes of a new record: new tokens, new birth, an empty table."""
        return marked(tokens(FENCE_OF_CATEGORY)) + (identity or _NOBODY) + tokens(8) + bytes(32)


def made_by(record: bytes, identity: bytes) -> bool:
    """True when this server made the record, or nobody knows who did; without ``identity`` nobody asks."""
    return not identity or record[32:40] == identity or record[32:40] == _NOBODY


def read_token(token: bytes) -> bytes:
    """The part of a scope's token that entries carry and reads compare."""
    return token[:TOKEN]


def tag_token(raw: Any) -> bytes | None:
    """A tag's token as Redis holds it; None when absent or malformed."""
    return raw if isinstance(raw, bytes) and len(raw) == TOKEN else None


def token_in(scope: str, raw: Any, identity: bytes) -> bytes | None:
    """A scope's token out of what Redis has under its key; None when absent, malformed or another server's."""
    if not scope.startswith("category:"):
        return tag_token(raw)
    record = CategoryRecord.parse(raw, identity)
    return None if record is None else record.fence


class GenerationView:
    """The tokens this process saw last, so that a plain ``set`` need not read them first.

    A token seen before a write began is a strict fence: the write is refused when it
    changed since. Stale memory costs a refusal and a second round trip, never a wrong value.
    """

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._tokens: OrderedDict[str, bytes] = OrderedDict()
        self._limit = limit

    def saw(self, scopes: Iterable[tuple[str, bytes | None]]) -> None:
        """Remember what a read or a script answered."""
        tokens = self._tokens
        for name, token in scopes:
            if token is None:
                tokens.pop(name, None)
            else:
                tokens[name] = token
        while len(tokens) > self._limit:
            try:
                tokens.popitem(last=False)
            except KeyError:
                return

    def token(self, scope: str) -> bytes | None:
        """The token seen last, or None."""
        return self._tokens.get(scope)
