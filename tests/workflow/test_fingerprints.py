"""Fingerprints of real files: any change of identity or state is seen, and what cannot be looked at has changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cache.core.fingerprint import RACY_NS, Fingerprint
from cache.stores.files import fingerprint, settled, unchanged


def rename_another_over_it(file: Path) -> None:
    shutil.copy2(file, file.parent / "copy")
    os.replace(file.parent / "copy", file)


def write_and_put_the_time_back(file: Path) -> None:
    before = file.stat()
    file.write_text("x" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def become_a_link(file: Path) -> None:
    file.rename(file.parent / "real")
    file.symlink_to("real")


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: tuple[Callable[[Path], object], ...] = (
    lambda file: file.write_text("longer than it was"),
    lambda file: file.chmod(0o600),
    lambda file: os.utime(file, ns=(1, 1)),
    lambda file: os.link(file, file.parent / "other"),
    lambda file: file.unlink(),
    lambda file: shutil.rmtree(file.parent),
    rename_another_over_it,
    write_and_put_the_time_back,
    become_a_link,
    become_a_folder,
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(folder: Path, change: Callable[[Path], object]) -> None:
    """Content, size, mode, times, links and identity: each change is seen, reading is none."""
    files = [fingerprint(folder / name) for name in ("b.txt", "deep/c.txt")]
    (folder / "deep" / "c.txt").read_text()
    assert unchanged(files)

    change(folder / "deep" / "c.txt")
    assert not unchanged(files)


@pytest.mark.parametrize("field", Fingerprint._fields[1:])
def test_each_field_counts(folder: Path, field: str) -> None:
    """A difference in any one number is a change."""
    found = fingerprint(folder / "a.txt")

    assert not unchanged([found._replace(**{field: getattr(found, field) + 1})])


def test_a_folder_changes_with_its_names(folder: Path) -> None:
    """A folder's fingerprint tells of files that came and went, not of their content."""
    seen = [fingerprint(folder)]
    (folder / "a.txt").write_text("other")
    assert unchanged(seen)

    (folder / "new").touch()
    assert not unchanged(seen)


def test_paths_are_absolute_and_links_are_not_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is made absolute; a link's fingerprint is the link's own."""
    (folder / "link").symlink_to("a.txt")
    monkeypatch.chdir(folder)

    assert fingerprint("a.txt").path == str(folder / "a.txt")
    assert fingerprint("link").inode == os.lstat("link").st_ino != os.stat("link").st_ino


@pytest.mark.parametrize("path", ["/nonexistent/file", "/\0", "/\ud800", "/" + "x" * 300, ""])
def test_what_cannot_be_looked_at_has_changed(path: str) -> None:
    """A path that is none, or leads nowhere, counts as changed; nothing is raised."""
    assert not unchanged([Fingerprint(path, 0, 0, 0, 0, 0)])


def test_a_file_is_settled_20_ms_after_its_last_change(folder: Path) -> None:
    """The later of the two times counts, to the nanosecond; no files are settled."""
    seen = fingerprint(folder / "a.txt")
    last = max(seen.mtime_ns, seen.ctime_ns)

    assert settled([seen], last + RACY_NS)
    assert not settled([seen], last + RACY_NS - 1)
    assert not settled([seen, seen._replace(mtime_ns=last + 1)], last + RACY_NS)
    assert not settled([seen._replace(ctime_ns=last + 1)], last + RACY_NS)
    assert settled([], 0)
