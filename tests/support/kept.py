"""The least that the workflow's parts take for a cache: ``get_json`` and ``set_json`` over a dictionary."""

from __future__ import annotations

import json
from typing import Any


class Kept:
    """Keeps texts, as the specification's client does.

    Args:
        values: what is there already; shared with whoever holds it too.
    """

    def __init__(self, values: dict[str, str] | None = None) -> None:
        self.values = {} if values is None else values

    def get_json(self, key: str) -> Any:
        text = self.values.get(key)
        return None if text is None else json.loads(text)

    def set_json(self, key: str, value: Any, ttl: float | None = None) -> bool:
        self.values[key] = json.dumps(value)
        return True


class AwaitedKept:
    """The same, awaited."""

    def __init__(self, values: dict[str, str] | None = None) -> None:
        self._inner = Kept(values)

    async def get_json(self, key: str) -> Any:
        return self._inner.get_json(key)

    async def set_json(self, key: str, value: Any, ttl: float | None = None) -> bool:
        return self._inner.set_json(key, value, ttl)
