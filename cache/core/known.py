"""What keys under the same scopes share, so that it is made and judged once for all of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cache.core import entry, keys
from cache.core.copies import Copies

Judged = tuple[bytes, list[Any], bytes | None, bytes]
"""A category's record and the tokens of tags as Redis has them, the server that they were judged for, and the names and
tokens as an entry made under them holds them."""


class Known:
    """What was seen last of the scopes of some keys, so that the same again need not be judged again.

    Args:
        scopes: that they ask for, the category's first.
        names: the Redis keys of the tags' generations.
        copies: of the blocks of their category.

    Attributes:
        labels: the tags' names as an entry holds them, after an empty one for the category.
        judged: in one piece, for another thread may put what it saw in its place.
        lives: the tokens that a write named, as it named them, and until when their generations live at least, in
            seconds since the epoch.
    """

    __slots__ = ("copies", "judged", "labels", "lives", "names", "scopes")

    def __init__(self, copies: Copies, scopes: tuple[str, ...], names: tuple[str, ...] = ()) -> None:
        self.copies, self.scopes, self.names = copies, scopes, names
        self.labels = (b"", *map(label, scopes[1:]))
        # no server is named None: nothing is taken for known before it was judged
        self.judged: Judged = (b"", [], None, b"")
        self.lives: tuple[tuple[bytes, ...], float] = ((), 0.0)


@lru_cache(maxsize=4096)
def scope_name(namespace: str, scope: str) -> str:
    """The Redis key of a scope's generation, remembered."""
    return keys.scope_name(namespace, scope)


@lru_cache(maxsize=4096)
def label(scope: str) -> bytes:
    """A tag's name as an entry holds it, remembered."""
    return entry.label(scope)
