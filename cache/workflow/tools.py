"""Tools: what may be called, how far its permission goes, which files a call names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class PermissionTier(StrEnum):
    """How far a tool may go; only the first kind is ever cached."""

    READ_ONLY = "read_only"
    WRITE = "write"
    EXECUTE = "execute"


def no_paths(_payload: Mapping[str, Any]) -> Sequence[str]:
    """Paths of a tool that names none."""
    return ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the registry knows it.

    Args:
        name: what requests call it by.
        permission_tier: only ``READ_ONLY`` results are cached.
        version: part of the key; change it with the tool's meaning.
        paths: the paths that a payload names; each is checked before a cached answer is given.
    """

    name: str
    permission_tier: PermissionTier
    version: str = "1"
    paths: Callable[[Mapping[str, Any]], Sequence[str]] = no_paths


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One call.

    Args:
        tool_name: a registered name.
        payload: the parameters.
    """

    tool_name: str
    payload: Mapping[str, Any] = field(default_factory=dict)


class ToolRegistry:
    """The tools by name."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def get(self, name: str) -> Tool | None:
        """The tool, or None when there is none of that name."""
        return self._tools.get(name)
