"""Commands as the bytes of a request, with the arguments that redis.asyncio takes and its words for the others."""

from __future__ import annotations

from collections.abc import Sequence

import redis
import redis.asyncio as aredis

from cache.core.steps import Arg
from cache.stores.packing import LARGE, Packed, pack, pack_in_parts

READS = frozenset({"GET", "MGET"})
"""Commands that carry keys only: nothing in them is large."""


class Packer:
    r"""Packs by hiredis, and by redis.asyncio what hiredis does not know: lone surrogates, which stand for odd bytes.

    Example:
        >>> Packer().pack(("GET", 1))
        b'*2\r\n$3\r\nGET\r\n$1\r\n1\r\n'
    """

    __slots__ = ("_plain",)

    def __init__(self) -> None:
        # never connected: only its words are used
        self._plain = aredis.Connection(encoding_errors="surrogateescape").pack_command

    def pack(self, args: Sequence[Arg]) -> Packed:
        """One command; large values are left where they are.

        Raises:
            redis.DataError: an argument that is neither bytes, text nor a number.
        """
        try:
            return pack(args) if args[0] in READS else pack_in_parts((args,))
        except (redis.DataError, UnicodeEncodeError):
            return b"".join(self._plain(*args))

    def pack_all(self, commands: Sequence[Sequence[Arg]]) -> Packed:
        """Commands that travel together.

        Raises:
            redis.DataError: as ``pack``.
        """
        try:
            return pack_in_parts(commands)
        except (redis.DataError, UnicodeEncodeError):
            return b"".join([part for args in commands for part in self._plain(*args)])


def is_large(data: Packed) -> bool:
    """Whether a request is so large that others should not wait behind it."""
    return type(data) is not bytes or len(data) > LARGE
