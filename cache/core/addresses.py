"""Where a key lives: its name in Redis, and the digest that binds an entry to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from cache.core import keys
from cache.core.canonical import encode
from cache.core.hiding import Hidden

Suffix = Callable[[Any], str]
"""Makes the part of a name after the prefix."""


class Address(NamedTuple):
    """Where a key lives and what its entry is bound to.

    Args:
        name: the Redis key.
        digest: SHA-256 over namespace, category and canonical key, 32 bytes.
    """

    name: str
    digest: bytes

    @property
    def short(self) -> str:
        """The first 16 hex characters of the digest, as spans carry it."""
        return self.digest[:8].hex()


class Addresses:
    """Makes the addresses of one category: ``{namespace:}{prefix}:{suffix}``.

    Args:
        namespace: of the application; empty for none.
        category: its name, part of the digest.
        prefix: first part of its names.
        suffix: makes the rest of a name.
        hidden: hides that rest; None leaves it readable.
    """

    __slots__ = ("_head", "_hidden", "_made", "_salt", "_shaped", "_suffix")

    def __init__(
        self, namespace: str, category: str, prefix: str, suffix: Suffix, hidden: Hidden | None = None
    ) -> None:
        self._head = f"{keys.within(namespace)}{prefix}:"
        self._salt = b"".join(b"%d:%b" % (len(part), part) for part in (namespace.encode(), category.encode()))
        if hidden is not None:
            self._salt = hidden.salt + self._salt
        self._hidden = hidden
        self._suffix, self._made = suffix, _FROM_BYTES.get(suffix)
        self._shaped = suffix in keys.SHAPED

    def of(self, key: Any) -> tuple[Address, int]:
        """The address of a key, and how many bytes the key has in its canonical form.

        Raises:
            CacheKeyError: the key cannot be encoded.
        """
        if self._shaped and isinstance(key, list):
            key = tuple(key)
        canonical = encode(key)
        digest = hashlib.sha256(b"%b%d:%b" % (self._salt, len(canonical), canonical)).digest()
        suffix = self._suffix(key) if self._made is None else self._made(key, canonical)
        if self._hidden is not None:
            suffix = self._hidden.suffix(suffix)
        return Address(self._head + suffix, digest), len(canonical)


def _prompt(key: Any, canonical: bytes) -> str:
    return keys.escape(key) if isinstance(key, str) else keys.short_digest(canonical)


def _tool(key: Any, canonical: bytes) -> str:
    """All that follows the tool's name is in the key's bytes already: ``U2:s9:read_file...`` or ``U3:...``."""
    if type(key) is not tuple or len(key) not in (2, 3) or type(key[0]) is not str:
        return keys.tool_suffix(key)
    name = len(key[0].encode())
    rest = canonical[len(b"U2:s%d:" % name) + name :]
    return f"{keys.escape(key[0])}:{keys.short_digest(rest if len(key) == 2 else b'U2:' + rest)}"


def _embedding(key: Any, canonical: bytes) -> str:
    return keys.embedding_suffix(key) if isinstance(key, str) else keys.short_digest(canonical)


_FROM_BYTES: dict[Suffix, Callable[[Any, bytes], str]] = {
    keys.digest_suffix: lambda _, canonical: keys.short_digest(canonical),
    keys.prompt_suffix: _prompt,
    keys.tool_suffix: _tool,
    keys.embedding_suffix: _embedding,
}
"""Suffixes that are made from the canonical bytes: a key is encoded once."""


def address(namespace: str, category: str, prefix: str, suffix: Suffix, key: Any) -> Address:
    """Where one key of a category lives.

    Raises:
        CacheKeyError: the key cannot be encoded.
    """
    return Addresses(namespace, category, prefix, suffix).of(key)[0]
