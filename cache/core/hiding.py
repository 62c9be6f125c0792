"""Names in Redis that say nothing: every part of a key and every tag as a digest, where a setting asks for it.

Whoever reads the server's MONITOR, SLOWLOG or key space then learns which names are alike and what category they are
of, and no task, tool, prompt or path. Equal parts have equal digests within a namespace, so that patterns of whole
parts go on working.
"""

from __future__ import annotations

import hashlib
import hmac

from cache.errors import PatternError

HEX = 32
"""Characters of a digest: 128 bits, beside the 256 that bind an entry to its key."""

_GLOB = frozenset("*?[]\\^")


class Hidden:
    """Hides the names of one namespace.

    Args:
        secret: without it nobody can try out which part a digest is of; empty: a plain digest.
        namespace: the same part has another digest in another one.
    """

    __slots__ = ("_key", "_secret")

    def __init__(self, secret: bytes, namespace: str) -> None:
        self._secret = secret
        name = namespace.encode()
        self._key = b"glasscache name %d:%b%d:%b" % (len(secret), secret, len(name), name)

    @property
    def salt(self) -> bytes:
        """What goes into the digests that entries are bound to, which spans show in short."""
        return b"secret %d:%b" % (len(self._secret), self._secret) if self._secret else b""

    def within(self, namespace: str) -> Hidden:
        """The same for another namespace."""
        return Hidden(self._secret, namespace)

    def part(self, text: str) -> str:
        """The digest of one part of a key, or of a tag."""
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()[:HEX]

    def suffix(self, suffix: str) -> str:
        """What follows a category's prefix, part by part."""
        return ":".join([self.part(part) for part in suffix.split(":")])

    def glob(self, rest: str) -> str:
        """What follows the prefix of a pattern.

        Raises:
            PatternError: a part that is neither whole nor ``*``: digests do not show how a part begins.
        """
        parts = rest.split(":")
        if any(part != "*" and not _GLOB.isdisjoint(part) for part in parts):
            raise PatternError("with hashed keys each part of a pattern is whole, or *: context:task-1:*")
        return ":".join([part if part == "*" else self.part(part) for part in parts])
