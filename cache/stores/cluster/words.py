"""What the parts of a cluster's store say to each other."""

from __future__ import annotations

from typing import Any, NamedTuple

from cache.core.steps import Arg, Lua
from cache.stores.cluster.topology import Place


class Spot(NamedTuple):
    """A node, and what it is to be told first.

    Args:
        asking: that a slot is on its way to it.
        reading: that it is asked as a replica; without that it sends on to its primary.
    """

    place: Place
    asking: bool = False
    reading: bool = False


class Ask(NamedTuple):
    """One command on its way to one node.

    Args:
        args: the command; without name and digest where it is a script's run: number of keys, keys, arguments.
    """

    spot: Spot
    args: tuple[Arg, ...]
    script: Lua | None = None


class Part(NamedTuple):
    """One command of an operation.

    Args:
        args: as those of ``Ask``.
        key: whose slot says where it goes; None where ``at`` says it.
        at: the node itself; nothing sends it elsewhere.
        again: it may be sent once more when its connection broke.
        replica: a replica's answer will do, where that is allowed for the key.
    """

    args: tuple[Arg, ...]
    key: Arg | None = None
    script: Lua | None = None
    at: Spot | None = None
    again: bool = True
    replica: bool = False


class Answer(NamedTuple):
    """A part's reply, or its trouble as an exception, and who gave it."""

    value: Any
    spot: Spot
