"""Where things are: the repository, and the cores that processes are kept on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cores() -> list[int]:
    """The cores that this process may run on; none where the system cannot pin."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(pid: int, where: Iterable[int]) -> None:
    """Keep every thread of a process on some cores; does nothing where the system cannot.

    Args:
        pid: 0 is this process, whose later threads inherit it.
    """
    if hasattr(os, "sched_setaffinity") and (allowed := set(where)):
        for thread in os.listdir(f"/proc/{pid or os.getpid()}/task"):
            os.sched_setaffinity(int(thread), allowed)
