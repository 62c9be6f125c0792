"""Invalidation patterns: bound to a category, of bounded length and cost, turned into a scope where they equal one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from cache.core.generations import category_scope, tag_scope
from cache.core.hiding import Hidden
from cache.core.keys import escape
from cache.errors import PatternError
from telemetry.vocabulary import OTHER

LONGEST = 512
"""Characters of a pattern."""

MOST_STARS = 8
"""Stars and classes of a pattern: matching time grows with a power of them (CVE-2022-36021)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PART = re.compile(r"[A-Za-z0-9\-._%]+\Z")


class PatternPlan(NamedTuple):
    """What a pattern means.

    Args:
        category: whose keys it is about.
        scope: the scope it equals, whose generation can be changed; None when it equals none.
        glob: the MATCH argument of SCAN, with the namespace.
    """

    category: str
    scope: str | None
    glob: str


def plan(
    pattern: str, prefixes: Mapping[str, str], *, namespace: str = "", hidden: Hidden | None = None
) -> PatternPlan:
    """Read a pattern.

    Args:
        pattern: a category's prefix, a colon, then a Redis glob.
        prefixes: from prefix to category.
        namespace: put before the pattern when there is one.
        hidden: how the names that it is to match are hidden.

    Raises:
        PatternError: empty, too long, unbounded, of no known category, costly to match, or of a hidden name's part.
    """
    if not isinstance(pattern, str) or not pattern:
        raise PatternError("a pattern is text such as context:task-1:*")
    if len(pattern) > LONGEST:
        raise PatternError(f"a pattern has at most {LONGEST} characters")
    if _CONTROL.search(pattern) or not _is_unicode(pattern):
        raise PatternError("a pattern holds no control characters and is valid Unicode")
    prefix, colon, rest = pattern.partition(":")
    category = prefixes.get(prefix)
    if not colon or category is None:
        raise PatternError(f"a pattern begins with a category's prefix: {', '.join(f'{p}:' for p in prefixes)}")
    if not rest:
        raise PatternError(f"a pattern goes on after its prefix, for example {prefix}:*")
    if rest.count("*") + rest.count("[") > MOST_STARS or "**" in rest:
        raise PatternError(f"a pattern has at most {MOST_STARS} stars and classes, and no two stars in a row")
    glob = pattern if hidden is None else f"{prefix}:{hidden.glob(rest)}"
    if namespace:
        glob = f"{_escape(namespace)}:{glob}"
    return PatternPlan(category, _scope(category, rest, hidden), glob)


def _scope(category: str, rest: str, hidden: Hidden | None) -> str | None:
    """``context:{id}:*``, ``tool:{name}:*`` and ``{prefix}:*`` equal a scope."""
    if rest == "*":
        return category_scope(category)
    part, colon, tail = rest.partition(":")
    kind = {"context": "task", "tool": "tool"}.get(category)
    if kind is None or not colon or tail != "*" or not _PART.match(part):
        return None
    from urllib.parse import unquote

    name = unquote(part)
    if escape(name) != part:
        # no key of that name is written so
        return None
    tag = f"{kind}:{name}"
    return tag_scope(tag if hidden is None else hidden.part(tag))


def prefix_category(key: str, prefixes: Mapping[str, str]) -> str:
    """The category that a key's prefix belongs to, else ``other``."""
    prefix, colon, _ = key.partition(":")
    return prefixes.get(prefix, OTHER) if colon else OTHER


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape(text: str) -> str:
    """``text`` with the characters that a glob takes specially escaped."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
