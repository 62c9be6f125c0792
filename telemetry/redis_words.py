"""The words of a Redis span: command names, query text and error codes, all bounded and without arguments.

Pure functions of what redis-py is handed or raises; nothing is imported but the standard library.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST_QUERY = 1024
"""Characters of ``db.query.text``; a pipeline of thousands of commands has no longer one."""

_CODES = (
    "ASK BUSY BUSYGROUP BUSYKEY CLUSTERDOWN CROSSSLOT ERR EXECABORT INPROG IOERR LOADING MASTERDOWN MISCONF MOVED "
    "NOAUTH NOGOODSLAVE NOGROUP NOMASTERLINK NOPERM NOPROTO NOQUORUM NOREPLICAS NOSCRIPT NOTBUSY NOTREADY OOM "
    "READONLY REDIRECT TRYAGAIN UNBLOCKED UNKILLABLE WRONGPASS WRONGTYPE"
)

STATUS_CODES = frozenset(_CODES.split())
"""Prefixes of the server's error replies. A closed set: a script may return any word as its prefix, a key too."""

_NAMES = (
    "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SENTINEL SLOWLOG "
    "XGROUP XINFO"
)
_CONTAINERS = frozenset(_NAMES.split())
"""Commands whose second word belongs to the name."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,31}")
_RENAMED = {"redis.search": "FT.SEARCH", "redis.create_index": "FT.CREATE"}
_CAUSED = "caused error: "


def operation(args: Sequence[Any]) -> str:
    """The command's name as the application wrote it: ``GET``, ``CONFIG GET``, ``EVALSHA``.

    Args:
        args: what ``execute_command`` got. redis-py sends ``"SET key value"`` in one string as three
            words, so only the words that name a command are taken.

    Returns:
        The name, or ``"?"`` for what is no command's name.
    """
    first = args[0] if args else ""
    return bounded_name(first.decode("ascii", "replace") if isinstance(first, bytes) else str(first))


def bounded_name(text: str) -> str:
    """The words of ``text`` that can name a command; ``"?"`` when there is none."""
    # under its own names the instrumentation copies a search's query and results into attributes
    found = _RENAMED.get(text, text).split(None, 2)[:2]
    if not found or not _WORD.fullmatch(found[0]):
        return "?"
    if len(found) > 1 and found[0].upper() in _CONTAINERS and _WORD.fullmatch(found[1]):
        return f"{found[0]} {found[1]}"
    return found[0]


def pipeline_operation(commands: Sequence[Sequence[Any]]) -> str:
    """``PIPELINE GET`` when all commands are the same, else ``PIPELINE``."""
    names = {operation(args) for args in commands}
    return f"PIPELINE {names.pop()}" if len(names) == 1 else "PIPELINE"


def query_text(commands: Iterable[Sequence[Any]]) -> str:
    """The commands with ``?`` for every argument, joined by ``"; "``, 1 KiB at most."""
    parts: list[str] = []
    length = 0
    for args in commands:
        # more placeholders than fit are cut anyway
        parts.append(" ".join([operation(args), *["?"] * min(len(args) - 1, LONGEST_QUERY)]))
        length += len(parts[-1])
        if length > LONGEST_QUERY:
            break
    return bounded("; ".join(parts))


def bounded(text: str) -> str:
    """``text``, cut at 1 KiB; three dots say that it was."""
    return text if len(text) <= LONGEST_QUERY else f"{text[: LONGEST_QUERY - 3]}..."


def commands(instance: Any) -> list[tuple[Any, ...]]:
    """The commands that wait in a pipeline, in order, each as its arguments.

    Args:
        instance: a pipeline of redis-py, sync or async, of one server or of a cluster.
    """
    strategy = getattr(instance, "_execution_strategy", instance)
    for name in ("command_queue", "_command_queue", "command_stack", "_command_stack"):
        stack = getattr(strategy, name, None)
        if stack is not None:
            return [tuple(item.args if hasattr(item, "args") else item[0]) for item in stack]
    return []


def class_name(error: BaseException) -> str:
    """The error's class with its module, as the convention wants it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def error_type(error: BaseException) -> str:
    """``error.type``: the server's code, ``timeout``, ``cancelled``, or else the error's class."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if "Timeout" in type(error).__name__:
        return "timeout"
    return status_code(error) or class_name(error)


def status_code(error: BaseException) -> str:
    """The error reply's code, such as ``WRONGTYPE``; empty when the server did not answer with an error.

    redis-py keeps the code of the errors that it knows and leaves the others' in their message. It
    puts a failed pipeline's command, arguments and all, before the server's own words.
    """
    kept = str(getattr(error, "status_code", None) or "").upper()
    if kept in STATUS_CODES:
        return kept
    if not any(base.__name__ == "ResponseError" for base in type(error).__mro__):
        return ""
    # the async pipeline shows the arguments of the error: ('WRONGTYPE Operation ...',)
    word = str(error).rpartition(_CAUSED)[2].lstrip("('\"").partition(" ")[0]
    return word if word in STATUS_CODES else "ERR"
