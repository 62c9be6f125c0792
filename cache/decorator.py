"""What ``cached`` needs of a function: a key that names it and its arguments, and its tags."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from cache.errors import CacheKeyError

KeyOf = Callable[..., Any]
TagsOf = Callable[..., Sequence[str]]


def key_maker(function: Callable[..., Any], category: str, key: KeyOf | None, version: str) -> KeyOf:
    """A function from the call's arguments to the category's key.

    Without ``key`` the key is the function's qualified name, ``version`` and its bound arguments
    with defaults applied, so that ``f(1)``, ``f(x=1)`` and a default of 1 share one entry.

    Raises:
        CacheKeyError: the category ``context`` without ``key``: its keys are ``(task_id, turn)``.
    """
    if key is not None:
        return key
    if category == "context":
        raise CacheKeyError("a context's key is (task_id, turn): give key=")
    signature = inspect.signature(function)
    name = f"{function.__module__}.{function.__qualname__}"

    def make(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = dict(bound.arguments)
        return (name, named, {"version": version}) if category == "tool" else (name, version, named)

    return make


def tags_maker(tags: Sequence[str] | TagsOf | None) -> TagsOf:
    """A function from the call's arguments to its tags."""
    if callable(tags):
        return tags
    fixed = (tags,) if isinstance(tags, str) else tuple(tags or ())
    return lambda *args, **kwargs: fixed
