"""The rule files and their tests as data, and what a PromQL expression names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "dashboards" / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
RUNBOOKS = ROOT / "dashboards" / "runbooks"

QUERY = re.compile(r"```promql\n(.+?)```", re.DOTALL)
"""A query in a runbook."""

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACES = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*\{([^}]*)\}")
_MATCHER = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NAME = re.compile(r"(?<![\w:$])([a-zA-Z_:][a-zA-Z0-9_:]*)(?![\w:])(?!\s*\()")
_KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool"}
_DURATION = re.compile(r"\[[^\]]*\]|\boffset\s+-?\w+")


@dataclass(frozen=True, slots=True)
class Selector:
    """One selector of an expression.

    Args:
        name: of the metric; empty where a matcher or nothing names it.
        matchers: label, operator, text.
    """

    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def values(self, label: str) -> list[str]:
        """The words that its matchers name for a label, alternatives apart."""
        return [word for key, _, text in self.matchers if key == label for word in text.split("|") if word]


def selectors(expr: str) -> list[Selector]:
    """Every selector of an expression, those without braces included."""
    found = [Selector(m[1] or "", tuple(_MATCHER.findall(m[2]))) for m in _BRACES.finditer(expr)]
    rest = _DURATION.sub(" ", _GROUPING.sub(" ", _TEXT.sub(" ", _BRACES.sub(" ", expr))))
    return found + [Selector(name, ()) for name in _NAME.findall(rest) if name not in _KEYWORDS]


def grouping(expr: str) -> set[str]:
    """The labels that an expression groups or matches by."""
    return {label.strip() for part in _GROUPING.findall(expr) for label in part.split(",")} - {""}


def named(selector: Selector) -> list[str]:
    """The metrics of a selector, with those that a matcher of ``__name__`` spells out."""
    return [selector.name] if selector.name else selector.values("__name__")


def series(text: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a test's series."""
    match = _BRACES.fullmatch(text.strip())
    assert match is not None and match[1], text
    return match[1], {label: value for label, _, value in _MATCHER.findall(match[2])}


@cache
def groups() -> tuple[Mapping[str, Any], ...]:
    """All groups of all rule files."""
    return tuple(group for path in RULES for group in yaml.safe_load(path.read_text())["groups"])


def rules() -> list[Mapping[str, Any]]:
    """All rules."""
    return [rule for group in groups() for rule in group["rules"]]


def alerts() -> list[Mapping[str, Any]]:
    """The alerting rules."""
    return [rule for rule in rules() if "alert" in rule]


def recordings() -> list[Mapping[str, Any]]:
    """The recording rules."""
    return [rule for rule in rules() if "record" in rule]


@cache
def cases() -> tuple[Mapping[str, Any], ...]:
    """All tests of all test files."""
    return tuple(case for path in TESTS for case in yaml.safe_load(path.read_text())["tests"])
