"""The specification's keys, for the plain client; the layer's keys have the same patterns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cache.core import keys
from cache.core.canonical import encode


def generate_context_key(task_id: str, turn: int) -> str:
    """``context:{task_id}:{turn}``, the task's id escaped.

    Raises:
        CacheKeyError: an empty id, or a turn that is no integer from 0 up.

    Example:
        >>> generate_context_key("task-abc123", 5)
        'context:task-abc123:5'
    """
    return f"context:{keys.context_suffix((task_id, turn))}"


def generate_embedding_key(text: str) -> str:
    """``embed:`` and the first 16 hex characters of the text's SHA-256.

    Raises:
        CacheKeyError: no text, or no valid Unicode.

    Example:
        >>> generate_embedding_key("hello")
        'embed:2cf24dba5fb0a30e'
    """
    return f"embed:{keys.embedding_suffix(keys.check_text(text))}"


def generate_tool_key(tool_name: str, params: Mapping[str, Any]) -> str:
    """``tool:{tool_name}:`` and 16 hex characters of the parameters; their order does not matter.

    Raises:
        CacheKeyError: a parameter that has no stable encoding.

    Example:
        >>> generate_tool_key("read_file", {"path": "a", "encoding": "b"}) == generate_tool_key(
        ...     "read_file", {"encoding": "b", "path": "a"})
        True
    """
    return f"tool:{keys.escape(tool_name)}:{hash_dict(params)}"


def generate_prompt_key(context_hash: str) -> str:
    """``prompt:{context_hash}``.

    Raises:
        CacheKeyError: empty, or no text.

    Example:
        >>> generate_prompt_key("0123456789abcdef")
        'prompt:0123456789abcdef'
    """
    return f"prompt:{keys.escape(context_hash)}"


def hash_dict(data: Mapping[str, Any]) -> str:
    """16 hex characters that depend on a mapping's keys, values and their types, not on their order.

    Raises:
        CacheKeyError: a value that has no stable encoding.

    Example:
        >>> hash_dict({"a": 1, "b": 2}) == hash_dict({"b": 2, "a": 1})
        True
    """
    return keys.short_digest(encode(data))
