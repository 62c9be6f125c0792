"""Beginning anew in a forked child: locks and sockets of the parent are not ours there."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import MethodType
from typing import cast


def in_forked_child(method: Callable[[], None]) -> None:
    """Call a bound method in every forked child, as long as its object lives."""
    if not hasattr(os, "register_at_fork"):
        return
    held = weakref.WeakMethod(cast(MethodType, method))

    def begin_anew() -> None:
        alive = held()
        if alive is not None:
            alive()

    os.register_at_fork(after_in_child=begin_anew)
