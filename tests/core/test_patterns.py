"""Invalidation patterns: bound to a category and a cost, and a scope only where both mean the same keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.core.keys import context_suffix, escape
from cache.core.patterns import LONGEST, MOST_STARS, PatternPlan, plan, prefix_category
from cache.errors import PatternError

PREFIXES = {"context": "context", "embed": "embedding", "tool": "tool", "prompt": "prompt", "mine": "mine"}


@pytest.mark.parametrize(
    ("pattern", "category", "scope"),
    [
        ("context:*", "context", "category:context"),
        ("embed:*", "embedding", "category:embedding"),
        ("context:task-1:*", "context", "tag:task:task-1"),
        ("context:a%3Ab:*", "context", "tag:task:a:b"),
        ("context:%C3%A9:*", "context", "tag:task:é"),
        ("tool:read_file:*", "tool", "tag:tool:read_file"),
        ("tool:grep:0123*", "tool", None),
        ("context:task-?:*", "context", None),
        ("context:task-*:*", "context", None),
        ("context:task-1:5", "context", None),
        ("context:a:b:*", "context", None),
        ("context:task-1", "context", None),
        ("prompt:abc:*", "prompt", None),
        ("mine:a:*", "mine", None),
        ("mine:*", "mine", "category:mine"),
    ],
)
def test_a_pattern_equals_a_scope_or_is_scanned(pattern: str, category: str, scope: str | None) -> None:
    """A whole category, a task and a tool are scopes; everything else is a glob."""
    assert plan(pattern, PREFIXES) == PatternPlan(category, scope, pattern)


@pytest.mark.parametrize("part", ["%61", "a%2fb", "%FF", "%C3", "a%ZZ", "%", "a%3", "~" + "0" * 64, "a/b"])
def test_a_part_that_no_key_is_written_with_is_no_scope(part: str) -> None:
    """Lower-case or needless percent codes and broken Unicode match no key, so no other task is invalidated."""
    assert plan(f"context:{part}:*", PREFIXES).scope is None


@given(st.text(min_size=1, max_size=60))
def test_the_pattern_of_a_tasks_keys_is_that_tasks_scope(task: str) -> None:
    """Whatever an id holds, the first part of its keys names it alone, unless it had to become a digest."""
    part = context_suffix((task, 1)).partition(":")[0]
    scope = plan(f"context:{part}:*", PREFIXES).scope
    assert scope == (f"tag:task:{task}" if part == escape(task) and not part.startswith("~") else None)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "*", "**", "context", "context:", ":", ":*", "c*:x", "context*", "ctx:a", "other:*", "gen:*", "seen:*",
        "lock:*", "shop:context:*", "Context:*", "[c]ontext:*", "context:**", "context:a**b", "context:a\nb",
        "context:\0", "context:\x7f", "context:\ud800*", None, 1, b"context:*", ["context:*"],
    ],
)  # fmt: skip
def test_unbounded_and_foreign_patterns_are_refused(pattern: Any) -> None:
    """What has no category's prefix, nothing behind it, or characters no name has, is a PatternError."""
    with pytest.raises(PatternError):
        plan(pattern, PREFIXES)


def test_length_is_bounded() -> None:
    """512 characters are taken, 513 refused."""
    longest = "context:" + "x" * (LONGEST - 8)
    assert plan(longest, PREFIXES).glob == longest
    with pytest.raises(PatternError, match="512"):
        plan(longest + "x", PREFIXES)


@pytest.mark.parametrize("wild", ["a*", "[ab]", "a*[b]"])
def test_cost_is_bounded(wild: str) -> None:
    """Eight stars and classes are taken, one more is refused: matching time grows with a power of them."""
    most = "context:" + wild * (MOST_STARS // (wild.count("*") + wild.count("[")))
    assert plan(most, PREFIXES).glob == most
    with pytest.raises(PatternError, match="stars"):
        plan(most + "a*", PREFIXES)


def test_a_namespace_stands_before_the_glob() -> None:
    """With what a glob takes specially escaped, so that no other namespace is reached."""
    assert plan("context:*", PREFIXES, namespace="shop").glob == "shop:context:*"
    assert plan("context:*", PREFIXES, namespace="a*[b]?\\").glob == r"a\*\[b\]\?\\:context:*"


def test_a_refusal_names_the_prefixes() -> None:
    """Who mistypes a prefix is told the right ones."""
    with pytest.raises(PatternError, match="context:, embed:, tool:, prompt:, mine:"):
        plan("contxt:*", PREFIXES)


@pytest.mark.parametrize(
    ("key", "category"),
    [("context:a:1", "context"), ("embed:1", "embedding"), ("context", "other"), ("x:1", "other"), ("", "other")],
)
def test_a_keys_prefix_tells_its_category(key: str, category: str) -> None:
    """A key whose prefix no category owns, or that has none, is counted as other."""
    assert prefix_category(key, PREFIXES) == category
