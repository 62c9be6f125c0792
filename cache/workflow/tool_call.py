"""One tool call on its way: its key and tags, its permission, how the tool's own run ended."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from cache.core.fingerprint import Fingerprint
from cache.core.lookup import Computed
from cache.stores.files import fingerprint


class ToolCall:
    """What is asked of which tool, and what its runs gave.

    Args:
        tool: has ``permission_tier``; ``version`` and ``paths(payload)`` where it has them.
        name: what it was asked by.
        payload: the parameters.
        sandbox: anything; ``check``, ``relative``, ``absolute`` and ``root`` are used where it has them.
        handler: the function that does the work.
    """

    def __init__(self, tool: Any, name: str, payload: Mapping[str, Any], sandbox: Any, handler: Any) -> None:
        self.name, self.payload = name, payload
        self._tool, self._sandbox, self._handler = tool, sandbox, handler
        self._runs: list[tuple[bool, Any]] = []

    @property
    def read_only(self) -> bool:
        """True for the one kind of tool whose results may be kept."""
        tier = getattr(self._tool, "permission_tier", None)
        return getattr(tier, "name", tier) == "READ_ONLY"

    @property
    def scope(self) -> dict[str, str]:
        """What a result depends on beside name and parameters: the tool's version and the sandbox's root."""
        return {
            "version": str(getattr(self._tool, "version", "1")),
            "root": str(getattr(self._sandbox, "root", "")),
        }

    def key(self) -> tuple[Any, ...]:
        """The layer's key: name, parameters, scope."""
        return self.name, dict(self.payload), self.scope

    def paths(self) -> tuple[str, ...]:
        """The paths that the payload names, as the tool tells them."""
        paths = getattr(self._tool, "paths", None)
        return tuple(paths(self.payload)) if callable(paths) else ()

    def tags(self) -> tuple[str, ...]:
        """A tag for each path that the payload names."""
        return tuple(f"file:{path}" for path in self._relative())

    def changed_tags(self) -> tuple[str, ...]:
        """What a write drops: each path that it names and every folder above it."""
        changed: dict[str, None] = {}
        for path in self._relative():
            parts = path.split("/")
            changed |= dict.fromkeys("/".join(parts[:n]) for n in range(1, len(parts) + 1))
        return tuple(f"file:{path}" for path in dict.fromkeys((*changed, "."))) if changed else ()

    def check(self) -> None:
        """The permission check: it comes before every answer, cached or not.

        Raises:
            Exception: what the sandbox refuses with.
        """
        check = getattr(self._sandbox, "check", None)
        if callable(check) and self.read_only:
            for path in self.paths():
                check(path)

    def compute(self) -> Computed:
        """Run the tool."""
        before = self._named_files()
        returned = self._run()
        if inspect.iscoroutine(returned):
            returned.close()
            raise TypeError("a tool that awaits needs execute_tool_call_async")
        return self._settle(returned, before)

    async def compute_async(self) -> Computed:
        """Run the tool; one that blocks runs in a thread."""
        before = await asyncio.to_thread(self._named_files)
        returned = self._run() if inspect.iscoroutinefunction(self._handler) else await asyncio.to_thread(self._run)
        return self._settle(await returned if inspect.isawaitable(returned) else returned, before)

    def finish(self, value: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
        """The caller's answer: what this call's own run made is no hit; all else came from the cache, a success."""
        for ok, made in self._runs:
            if made is value:
                return ok, {**value, "cache_hit": False}
        return True, {**value, "cache_hit": True}

    def _relative(self) -> list[str]:
        relative = getattr(self._sandbox, "relative", str)
        return [relative(path) for path in self.paths()]

    def _named_files(self) -> tuple[Fingerprint, ...] | None:
        """What the named paths were before the run; None when one of them cannot be looked at."""
        absolute = getattr(self._sandbox, "absolute", None)
        try:
            return tuple(fingerprint(absolute(path)) for path in self.paths()) if callable(absolute) else ()
        except (OSError, ValueError):
            return None

    def _run(self) -> Any:
        """Call the tool's function with what it takes: the payload, or payload and sandbox in either order."""
        wanted = _wanted(self._handler)
        return self._handler(*(self._sandbox if name == "sandbox" else self.payload for name in wanted))

    def _settle(self, returned: Any, before: tuple[Fingerprint, ...] | None) -> Computed:
        """A tool's return as a result with its files: those that it names itself, else those that the payload names."""
        ok = True
        if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], bool):
            ok, returned = returned
        if not isinstance(returned, Computed):
            returned = Computed(returned, files=before or (), store=before is not None)
        value = returned.value if isinstance(returned.value, dict) else {"result": returned.value}
        self._runs.append((ok, value))
        return Computed(value, files=returned.files, store=returned.store and ok, ttl=returned.ttl)


def _wanted(handler: Any) -> tuple[str, ...]:
    """Which of payload and sandbox a function takes, in its order; a second parameter with a default is its own."""
    try:
        found = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return ("payload",)
    positional = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in positional if p.default is p.empty or p.name == "sandbox"]
    if len(names) < 2:
        return ("payload",)
    return ("sandbox", "payload") if names[0] == "sandbox" else ("payload", "sandbox")
