"""``glasscache explain``: one key, out of the store itself or out of a process that serves it."""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from cache import terminal
from cache.layer import Cache
from cache.settings import Settings

OK, FAILED = 0, 1

LARGEST_ANSWER = 1 << 20
"""Bytes of an explanation; more are none."""


def run(arguments: argparse.Namespace) -> int:
    """Explain one key; returns the exit code."""
    key = read_key(arguments.category, arguments.key)
    if arguments.url is not None:
        told = _ask(arguments.url, arguments.category, key, arguments.tenant)
        if told is None:
            return FAILED
    else:
        with Cache.from_settings() as whole:
            cache = whole if arguments.tenant is None else whole.scoped(arguments.tenant)
            told = cache.explain(arguments.category, key).as_dict()
    print(json.dumps(told, indent=2, default=str) if arguments.json else text(told))
    return OK if told["error"] is None else FAILED


def read_key(category: str, parts: Sequence[str]) -> Any:
    """A key out of its words: ``context task 5``, ``tool name JSON``, otherwise one value."""
    values = [_value(part) for part in parts]
    if category in ("context", "tool"):
        # a task or a tool is named by text, whatever it looks like
        return (parts[0], *values[1:])
    return values[0] if len(values) == 1 else tuple(values)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _ask(url: str, category: str, key: Any, tenant: str | None) -> dict[str, Any] | None:
    """What the process at ``url`` says, which knows what it did to the key itself; None when it does not answer.

    Raises:
        ValueError: no address of HTTP.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError("--url begins with http:// or https://")
    token = Settings.load().api_token.get_secret_value()
    asked = {"category": category, "key": json.dumps(key)} | ({} if tenant is None else {"tenant": tenant})
    query = urlencode(asked)
    request = urllib.request.Request(f"{url.rstrip('/')}/cache/explain?{query}")  # noqa: S310
    request.add_unredirected_header("Authorization", f"Bearer {token}")
    place = url.rpartition("@")[2]
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            told: dict[str, Any] = json.loads(answer.read(LARGEST_ANSWER))
            text(told)
            return told
    except HTTPError as error:
        print(f"glasscache: {place} refuses: {_detail(error)}", file=sys.stderr)
    except (OSError, HTTPException, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        why = type(error).__name__
        print(f"glasscache: {place} does not answer as glasscache ({why}); is it served there?", file=sys.stderr)
    return None


def _detail(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read(LARGEST_ANSWER))["detail"])
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        return f"status {error.code}"


def text(told: Mapping[str, Any]) -> str:
    """An explanation for people."""
    head = f"{told['outcome']}: {told['because']}; get_or_compute would: {told['would']}"
    known = [(name, _shown(value)) for name, value in told.items() if name not in _APART]
    parts = [terminal.coloured(head, told["outcome"]), terminal.table(("what", "value"), known)]
    if told["scopes"]:
        rows = [
            (seen["scope"], "valid" if seen["valid"] else "invalid", _shown(seen["made_under"]), _shown(seen["now"]),
             _happened(seen["invalidated"]))
            for seen in told["scopes"]
        ]  # fmt: skip
        parts.append(terminal.table(("can invalidate it", "is", "made under", "now", "last invalidated"), rows))
    if told["history"]:
        history = [
            (_time(note["at"]), note["operation"], note["what"], _shown(note["why"]), _shown(note["trace_id"]))
            for note in told["history"]
        ]
        parts.append(terminal.table(("lately, in this process", "operation", "what", "why", "trace"), history))
    return "\n\n".join(parts)


_APART = frozenset({"because", "would", "scopes", "history"})


def _shown(value: Any) -> str:
    if value is None or value in ((), []):
        return "-"
    if isinstance(value, Mapping):
        return _happened(value) if "what" in value else ", ".join(f"{name} {found}" for name, found in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _happened(note: Mapping[str, Any] | None) -> str:
    if note is None:
        return "-"
    trace = f", trace {note['trace_id']}" if note["trace_id"] else ""
    return f"{note['what']} by {note['operation']} at {_time(note['at'])}{trace}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="milliseconds")
