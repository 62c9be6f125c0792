"""Commands as bytes, the same as redis-py's: hiredis packs what it knows, redis-py itself packs or refuses the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hiredis
import redis.asyncio as aredis


class Packer:
    """Packs commands of our own making.

    Example:
        >>> Packer().pack(("GET", "a"))
        b'*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\na\\r\\n'
    """

    __slots__ = ("_plain",)

    def __init__(self) -> None:
        # never connected: only its words are used
        self._plain = aredis.Connection(encoding_errors="surrogateescape").pack_command

    def pack(self, args: tuple[Any, ...]) -> bytes:
        """One command.

        Raises:
            redis.DataError: an argument that is neither bytes, text nor a number.
        """
        name = args[0]
        if name.__class__ is str and " " not in name:
            try:
                return hiredis.pack_command(args)  # type: ignore[no-any-return]
            except (TypeError, UnicodeEncodeError):
                pass  # redis-py knows lone surrogates and more types, and refuses in its own words
        return b"".join(self._plain(*args))

    def pack_all(self, commands: Sequence[tuple[Any, ...]]) -> bytes:
        """Commands that travel together.

        Raises:
            redis.DataError: as ``pack``.
        """
        return b"".join([self.pack(args) for args in commands])
