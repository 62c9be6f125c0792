"""Real tools over a sandbox: three that read, with fingerprints of all they read, and one that writes."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from cache.core.fingerprint import Fingerprint
from cache.core.lookup import Computed
from cache.stores.files import of_stat
from cache.workflow.sandbox import Sandbox, SandboxError
from cache.workflow.tools import PermissionTier, Tool, ToolRegistry

LARGEST_FILE = 4 << 20
"""Bytes that are read of one file; larger ones are refused."""

MOST_FILES = 2000
"""Files that a listing or a search looks at."""

MOST_BYTES = 64 << 20
"""Bytes that a search looks at, all files together."""

MOST_MATCHES = 200
"""Lines that a search returns."""


def _path(payload: Mapping[str, Any]) -> tuple[str, ...]:
    return (str(payload.get("path", ".")),)


def file_registry() -> ToolRegistry:
    """``list_files``, ``read_file`` and ``search_text`` (read only), ``write_file`` (writes)."""
    return ToolRegistry(
        (
            Tool("list_files", PermissionTier.READ_ONLY, paths=_path),
            Tool("read_file", PermissionTier.READ_ONLY, paths=_path),
            Tool("search_text", PermissionTier.READ_ONLY, paths=_path),
            Tool("write_file", PermissionTier.WRITE, paths=_path),
        )
    )


def file_dispatch() -> dict[str, Any]:
    """From tool name to function, as ``execute_tool_call`` wants it."""
    return {"list_files": list_files, "read_file": read_file, "search_text": search_text, "write_file": write_file}


def read_file(payload: Mapping[str, Any], sandbox: Sandbox) -> Computed:
    """``{"path", "encoding"}`` to ``{"path", "content"}``.

    Raises:
        SandboxError, FileNotFoundError: it may not or cannot be read.
        ValueError: too large, or not in the encoding.
    """
    path = str(payload["path"])
    text, seen = _read(sandbox, path, str(payload.get("encoding", "utf-8")))
    return Computed({"path": sandbox.relative(path), "content": text}, files=(seen,))


def _read(sandbox: Sandbox, path: str, encoding: str = "utf-8") -> tuple[str, Fingerprint]:
    """A file's text and what it was while it was read."""
    descriptor = sandbox.open_file(path)
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        if before.st_size > LARGEST_FILE:
            raise ValueError(f"the file is larger than {LARGEST_FILE} bytes")
        data = file.read(LARGEST_FILE + 1)
        after = os.fstat(descriptor)
    seen = of_stat(sandbox.absolute(path), before)
    if seen != of_stat(sandbox.absolute(path), after) or len(data) != before.st_size:
        # it changed under our eyes: a fingerprint that nothing matches, so that nobody is served it
        seen = seen._replace(mtime_ns=-1)
    return data.decode(encoding), seen


def list_files(payload: Mapping[str, Any], sandbox: Sandbox) -> Computed:
    """``{"path"}`` to ``{"path", "files"}``: names below a folder, sorted, in its one spelling."""
    path = str(payload.get("path", "."))
    files: list[str] = []
    folders: list[Fingerprint] = []
    for name, is_folder, seen in _entries(sandbox, sandbox.relative(path)):
        if is_folder:
            folders.append(seen)
        else:
            files.append(name)
    return Computed({"path": sandbox.relative(path), "files": sorted(files)}, files=tuple(folders))


def search_text(payload: Mapping[str, Any], sandbox: Sandbox) -> Computed:
    """``{"pattern", "path"}`` to ``{"matches": [{"path", "line", "text"}]}``; the pattern is plain text."""
    wanted = re.compile(re.escape(str(payload["pattern"])), re.IGNORECASE)
    matches: list[dict[str, Any]] = []
    read: list[Fingerprint] = []
    total = size = 0
    for name, is_folder, seen in sorted(_entries(sandbox, sandbox.relative(str(payload.get("path", "."))))):
        if is_folder:
            read.append(seen)
            continue
        size += seen.size
        if size > MOST_BYTES:
            raise SandboxError(f"more than {MOST_BYTES} bytes")
        try:
            text, fingerprint = _read(sandbox, name)
        except (OSError, ValueError):
            # gone, forbidden, no text or too large: what it was is remembered, so that a change of that is seen
            read.append(seen)
            continue
        read.append(fingerprint)
        for number, line in enumerate(text.splitlines(), 1):
            if not wanted.search(line):
                continue
            total += 1
            if total <= MOST_MATCHES:
                matches.append({"path": name, "line": number, "text": line.strip()[:200]})
    return Computed({"matches": matches, "total": total}, files=tuple(read))


def _entries(sandbox: Sandbox, folder: str) -> Iterator[tuple[str, bool, Fingerprint]]:
    """Every regular file and folder below ``folder``: its name, whether it is a folder, its fingerprint."""
    pending, count = [folder], 0
    while pending:
        name = pending.pop()
        descriptor = sandbox.open_folder(name)
        try:
            yield name, True, of_stat(sandbox.absolute(name), os.fstat(descriptor))
            for entry in sorted(os.listdir(descriptor)):
                found = os.stat(entry, dir_fd=descriptor, follow_symlinks=False)
                inner = entry if name == "." else f"{name}/{entry}"
                if stat.S_ISDIR(found.st_mode):
                    pending.append(inner)
                elif stat.S_ISREG(found.st_mode):
                    count += 1
                    if count > MOST_FILES:
                        raise SandboxError(f"more than {MOST_FILES} files")
                    yield inner, False, of_stat(sandbox.absolute(inner), found)
        finally:
            os.close(descriptor)


def write_file(payload: Mapping[str, Any], sandbox: Sandbox) -> Computed:
    """``{"path", "content"}`` to ``{"path", "bytes"}``; never cached."""
    path, data = str(payload["path"]), str(payload["content"]).encode()
    sandbox.replace_file(path, data)
    return Computed({"path": sandbox.relative(path), "bytes": len(data)}, store=False)
