"""What ``cached`` needs of a function: a key that names it and its arguments, and its tags."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from cache.core.keys import check_tags
from cache.core.shelves import LONGEST, PLAIN, REMEMBERED, Wanted
from cache.errors import CacheKeyError, CacheValueError

KeyOf = Callable[..., Any]
TagsOf = Callable[..., Sequence[str]]


def key_maker(function: Callable[..., Any], category: str, key: KeyOf | None, version: str) -> KeyOf:
    """A function from the call's arguments to the category's key.

    Without ``key`` the key is the function's qualified name, ``version`` and its bound arguments
    with defaults applied, so that ``f(1)``, ``f(x=1)`` and a default of 1 share one entry.

    Raises:
        CacheKeyError: no key can be made without ``key``: the category ``context``, whose keys are ``(task_id, turn)``,
            a function without a name of its own (a lambda, a partial), one that cannot be asked for its arguments.
        CacheValueError: a generator function: what it yields cannot be kept.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise CacheValueError("a generator's values cannot be kept: return them as a list")
    if key is not None:
        return key
    if category == "context":
        raise CacheKeyError("a context's key is (task_id, turn): give key=")
    name = getattr(function, "__qualname__", "")
    if not name or name.endswith("<lambda>"):
        raise CacheKeyError(f"a {type(function).__name__} without a name of its own would share keys: give key=")
    name = f"{function.__module__}.{name}"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise CacheKeyError(f"{name} cannot be asked for its arguments: give key=") from None

    def make(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = dict(bound.arguments)
        return (name, named, {"version": version}) if category == "tool" else (name, version, named)

    return make


def tags_maker(tags: Sequence[str] | TagsOf | None) -> TagsOf:
    """A function from the call's arguments to its tags.

    Raises:
        CacheKeyError: fixed tags of which one is none.
    """
    if callable(tags):
        return tags
    fixed = check_tags(tags)
    return lambda *args, **kwargs: fixed


class Asked:
    """What was wanted by the latest calls of a function, so that a call like one of them need not be bound again.

    Args:
        known: False for a function whose keys or tags are made by the application: they may follow from more than
            the arguments.
    """

    def __init__(self, known: bool) -> None:
        self._known = known
        self._wanted: dict[Any, Wanted] = {}

    def mark(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What tells a call from every other one; None when nothing is remembered of calls like it."""
        if kwargs or not self._known:
            return None
        kinds = tuple(map(type, args))
        return (args, kinds) if PLAIN.issuperset(kinds) else None

    def get(self, mark: Any) -> Wanted | None:
        """What a call with this mark wants."""
        return self._wanted.get(mark)

    def remember(self, mark: Any, wanted: Wanted) -> None:
        """Keep it, unless the arguments are long."""
        if mark is None or sum(len(arg) for arg in mark[0] if type(arg) in (str, bytes)) > LONGEST:
            return
        if len(self._wanted) >= REMEMBERED:
            self._wanted.clear()
        self._wanted[mark] = wanted


def is_async(function: Callable[..., Any]) -> bool:
    """True for coroutine functions, and for objects whose call is one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
