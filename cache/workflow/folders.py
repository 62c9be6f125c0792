"""Folders of real files for the demo and for traffic: copies that may be edited behind the cache's back."""

from __future__ import annotations

import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGEST_FOLDER = 32 << 20
"""Bytes; a larger folder is refused."""

NOTE = b"# A note by glasscache: "
"""What an edit's line begins with."""


def default_folder() -> Path:
    """A package of Python's own standard library: real source, small enough to embed in seconds."""
    return Path(sysconfig.get_paths()["stdlib"]) / "json"


@contextmanager
def working_copy(folder: Path) -> Iterator[Path]:
    """A copy of the folder's files that may be edited; older than the racy moment after a change.

    Raises:
        ValueError: no folder, nothing in it, or too large.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    with tempfile.TemporaryDirectory(prefix="glasscache-") as directory:
        total, target = 0, None
        for source in sorted(folder.rglob("*")):
            if not source.is_file() or source.is_symlink() or "__pycache__" in source.parts or ".git" in source.parts:
                continue
            total += source.stat().st_size
            if total > LARGEST_FOLDER:
                raise ValueError(f"{folder} holds more than {LARGEST_FOLDER >> 20} MiB")
            target = Path(directory) / folder.name / source.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o600)
        if target is None:
            raise ValueError(f"{folder} holds no file")
        yield Path(directory) / folder.name


def edit(folder: Path, note: str) -> str:
    """Put a note at the end of the largest file, in the place of the one before; returns the file's name."""
    edited = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    lines = edited.read_bytes().splitlines(keepends=True)
    if lines and lines[-1].startswith(NOTE):
        lines.pop()
    elif lines and not lines[-1].endswith(b"\n"):
        lines.append(b"\n")
    edited.write_bytes(b"".join(lines) + NOTE + note.encode() + b"\n")
    return edited.name
