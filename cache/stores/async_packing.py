"""Commands as the bytes of a request, with the arguments that redis.asyncio takes and its words for the others."""

from __future__ import annotations

from collections.abc import Sequence

import redis
import redis.asyncio as aredis

from cache.core.steps import Arg
from cache.stores.packing import pack


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

    def pack(self, args: Sequence[Arg]) -> bytes:
        """One command.

        Raises:
            redis.DataError: an argument that is neither bytes, text nor a number.
        """
        try:
            return pack(args)
        except (redis.DataError, UnicodeEncodeError):
            return b"".join(self._plain(*args))

    def pack_all(self, commands: Sequence[Sequence[Arg]]) -> bytes:
        """Commands that travel together.

        Raises:
            redis.DataError: as ``pack``.
        """
        return b"".join([self.pack(args) for args in commands])
