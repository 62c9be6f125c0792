"""Commands as the bytes of a request: hiredis's packer, told what redis-py tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hiredis
import redis

from cache.core.steps import Arg

Packed = bytes | list[bytes]
"""A request; in parts where it holds a large value, which is then not copied."""

LARGE = 64 << 10
"""Bytes from which on a value is sent from where it lies."""

_PLAIN = frozenset((str, bytes))

# hiredis declares a tuple of one argument
_packed: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command


def pack(args: Sequence[Arg]) -> bytes:
    """One command.

    Args:
        args: its name, in which blanks part words as in redis-py, and its arguments.

    Raises:
        redis.DataError: an argument is none that can be sent.
        UnicodeEncodeError: a text is no Unicode.
    """
    name = args[0]
    chosen: Any = args if type(name) is str and name.isalnum() else _split(args)
    if not _PLAIN.issuperset(map(type, chosen)):
        chosen = map(_plain, chosen)
    try:
        return _packed(tuple(chosen))
    except TypeError as error:
        raise redis.DataError(str(error)) from None


def pack_in_parts(commands: Sequence[Sequence[Arg]]) -> Packed:
    """One command or several as one request; large values are left where they are.

    Raises:
        redis.DataError, UnicodeEncodeError: as ``pack``.
    """
    if len(commands) == 1 and _is_small(commands[0]):
        # what most requests are
        return pack(commands[0])
    small: list[bytes] = []
    parts: list[bytes] = []
    for args in commands:
        if _is_small(args):
            small.append(pack(args))
            continue
        for piece in _pieces(args):
            if len(piece) > LARGE:
                parts += [b"".join(small), piece]
                small = []
            else:
                small.append(piece)
    rest = b"".join(small)
    return [*parts, rest] if parts else rest


def _is_small(args: Sequence[Arg]) -> bool:
    """True when no value is to be sent from where it lies."""
    try:
        return max(map(len, args), default=0) <= LARGE  # type: ignore[arg-type]
    except TypeError:
        # a number has no length
        return not any(type(arg) is bytes and len(arg) > LARGE for arg in args)


def _pieces(args: Sequence[Arg]) -> Iterable[bytes]:
    """A command cut before and after its large values."""
    chosen = _split(args)
    yield b"*%d\r\n" % len(chosen)
    for arg in chosen:
        if type(arg) is bytes and len(arg) > LARGE:
            yield b"$%d\r\n" % len(arg)
            yield arg
            yield b"\r\n"
        else:
            # behind the line that says how many there are: one
            yield pack(("X", arg))[len(b"*2\r\n$1\r\nX\r\n") :]


def _plain(arg: Any) -> Any:
    """A number as text, for hiredis 3.5 crashes when a signal's handler raises while it packs one; a view as bytes."""
    if isinstance(arg, bytearray | memoryview):
        return bytes(arg)
    return str(arg) if isinstance(arg, int | float) and not isinstance(arg, bool) else arg


def _split(args: Sequence[Any]) -> tuple[Any, ...]:
    """The words of the name part from each other. Source: redis-py 8.1, ``HiredisRespSerializer.pack``."""
    name = args[0]
    if isinstance(name, str):
        return (*name.encode().split(), *args[1:])
    return (*name.split(), *args[1:]) if b" " in name else tuple(args)
