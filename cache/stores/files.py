"""Fingerprints of files: taken when a value is made from one, compared at each hit."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cache.core.fingerprint import RACY_NS, Fingerprint


def fingerprint(path: str | os.PathLike[str]) -> Fingerprint:
    """What a file or directory is now; a symlink at its end is not followed.

    Raises:
        OSError: it cannot be looked at.
    """
    absolute = os.path.abspath(path)
    return of_stat(absolute, os.lstat(absolute))


def of_stat(path: str, found: os.stat_result) -> Fingerprint:
    """The fingerprint that a stat of an open file gives: what was read, whatever the name means later."""
    return Fingerprint(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def unchanged(files: Sequence[Fingerprint]) -> bool:
    """True when every file is still what it was; one that cannot be looked at is not."""
    try:
        for file in files:
            found = os.lstat(file.path)
            if (
                found.st_mtime_ns != file.mtime_ns
                or found.st_size != file.size
                or found.st_ino != file.inode
                or found.st_ctime_ns != file.ctime_ns
                or found.st_dev != file.device
            ):
                return False
    except (OSError, ValueError):
        return False
    return True


def settled(files: Sequence[Fingerprint], now_ns: int) -> bool:
    """False when one was read within 20 ms of a change: it may change again and look the same."""
    return all(now_ns - max(file.mtime_ns, file.ctime_ns) >= RACY_NS for file in files)
