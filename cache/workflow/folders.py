"""Folders of real files for the demo and for traffic: copies that may be edited behind the cache's back."""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.workflow.file_tools import MOST_FILES

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
        ValueError: no folder, too large, too many files, a file that cannot be read, or no text.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    with tempfile.TemporaryDirectory(prefix="glasscache-") as directory:
        copy = Path(directory) / (folder.name or "root")
        total = count = texts = 0
        for source in _files(folder):
            target = copy / source.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                total, count = total + source.stat().st_size, count + 1
                if total > LARGEST_FOLDER or count > MOST_FILES:
                    raise ValueError(f"{folder} holds more than {LARGEST_FOLDER >> 20} MiB or {MOST_FILES} files")
                shutil.copyfile(source, target)
            except OSError as error:
                raise ValueError(f"{source} cannot be copied: {error.strerror or error}") from None
            target.chmod(0o600)
            texts += _is_text(target)
        if not texts:
            raise ValueError(f"{folder} holds no text: name a folder of text or source files")
        yield copy


def _files(folder: Path) -> Iterator[Path]:
    """Every regular file below the folder, as it is found, so that a huge folder is noticed soon."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__", ".git"})
        for path in (Path(place, name) for name in sorted(names)):
            if path.is_file() and not path.is_symlink():
                yield path


def _is_text(path: Path) -> bool:
    try:
        return bool(path.read_text("utf-8").strip())
    except ValueError:
        return False


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
