"""What a file was when a value was made from it; pure data, the stat itself is done elsewhere."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

MAX_FILES = 256
"""Results that were made from more files than this are not cached."""

RACY_NS = 20_000_000
"""A file read within 20 ms of its modification time may change again unseen (git's "racily clean" problem)."""

_NUMBERS = struct.Struct(">QQQqqH")


class Fingerprint(NamedTuple):
    """A file's identity and state, as ``stat`` tells it.

    Args:
        path: absolute path, no symlink followed at its end.
        device: ``st_dev``.
        inode: ``st_ino``.
        size: ``st_size`` in bytes.
        mtime_ns: modification time, nanoseconds since the epoch.
        ctime_ns: status change time, nanoseconds since the epoch.
    """

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def pack(files: Sequence[Fingerprint]) -> bytes:
    """Encode fingerprints for an entry's header."""
    parts = []
    for file in files:
        path = file.path.encode("utf-8", "surrogateescape")
        parts.append(_NUMBERS.pack(*file[1:], len(path)) + path)
    return b"".join(parts)


def unpack(data: bytes, count: int) -> tuple[tuple[Fingerprint, ...], int]:
    """Decode ``count`` fingerprints; returns them and how many bytes they took.

    Raises:
        ValueError: the bytes are too short.
    """
    files, at = [], 0
    for _ in range(count):
        if len(data) < at + _NUMBERS.size:
            raise ValueError("fingerprints are cut short")
        *numbers, length = _NUMBERS.unpack_from(data, at)
        at += _NUMBERS.size
        path = data[at : at + length]
        if len(path) != length:
            raise ValueError("a fingerprint's path is cut short")
        files.append(Fingerprint(path.decode("utf-8", "surrogateescape"), *numbers))
        at += length
    return tuple(files), at
