"""The shipped tools over a folder of real files, and what tests of files need around them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cache.workflow.file_tools import file_dispatch, file_registry
from cache.workflow.sandbox import Sandbox
from cache.workflow.tool_executor import execute_tool_call
from cache.workflow.tools import ToolRequest

TEXTS = {"a.txt": "alpha one\n", "b.txt": "beta two\n", "deep/c.txt": "gamma three\nalpha again\n"}


def settle(folder: Path) -> None:
    """Wait until the last change lies far enough back: results of files read at once after one are not kept."""
    newest = max(max(path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in (folder, *folder.rglob("*")))
    deadline = time.monotonic() + 5
    while time.time_ns() - newest < 25_000_000:
        assert time.monotonic() < deadline, "the file system's clock is ahead"
        time.sleep(0.005)


class Tools:
    """The shipped tools over one folder and one cache.

    Args:
        root: the sandbox's folder.
        client: whatever the nodes take.
    """

    def __init__(self, root: Path, client: Any) -> None:
        self.root, self.client = root, client
        self.sandbox = Sandbox(root)
        self.runs: list[str] = []

    def call(self, name: str, **payload: Any) -> tuple[bool, dict[str, Any]]:
        """One call; ``runs`` notes each time that a tool itself ran."""
        dispatch = {tool: self._noting(tool, function) for tool, function in file_dispatch().items()}
        return execute_tool_call(ToolRequest(name, payload), file_registry(), self.sandbox, dispatch, self.client)

    def settle(self) -> None:
        """See ``settle``."""
        settle(self.root)

    def _noting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(payload: Any, sandbox: Any) -> Any:
            self.runs.append(name)
            return function(payload, sandbox)

        return run


@contextmanager
def nobody() -> Iterator[None]:
    """Run as nobody when the tests were started as root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
