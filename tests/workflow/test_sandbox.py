"""The sandbox: nothing outside of its folder is reached, and nothing in it that is no file."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cache.workflow.file_tools import MOST_MATCHES, list_files, read_file, search_text, write_file
from cache.workflow.sandbox import Sandbox, SandboxError

OUTSIDE = ("..", "../root2/a.txt", "deep/../../root2/a.txt", "deep/..", "/etc/passwd", "//etc/passwd", "/", "a\0b")


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_that_lead_out_are_refused(folder: Path, path: str) -> None:
    """Going up, absolute paths outside and NUL are refused by every way in."""
    sandbox = Sandbox(folder)

    for way in (sandbox.check, sandbox.open_file, sandbox.open_folder, sandbox.absolute, sandbox.relative):
        with pytest.raises(SandboxError):
            way(path)
    with pytest.raises(SandboxError):
        sandbox.replace_file(path, b"")


@pytest.mark.parametrize(
    ("spelling", "relative"),
    [("a.txt", "a.txt"), ("./a.txt", "a.txt"), ("deep//c.txt", "deep/c.txt"), ("", "."), (".", "."), ("deep/", "deep")],
)
def test_a_path_has_one_spelling(folder: Path, spelling: str, relative: str) -> None:
    """However a path is written, tags and fingerprints name it in one way; absolute inside the root too."""
    sandbox = Sandbox(folder)

    assert sandbox.relative(spelling) == relative
    assert sandbox.relative(str(folder.resolve() / spelling)) == relative
    assert sandbox.absolute(spelling) == os.path.normpath(folder.resolve() / spelling)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_secret(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def link_inside(path: Path) -> None:
    path.symlink_to("a.txt")


def unix_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


SPECIAL = (fifo, link_to_a_secret, link_inside, unix_socket)


@pytest.mark.parametrize("make", SPECIAL)
def test_what_is_no_regular_file_is_refused(folder: Path, make: Callable[[Path], None]) -> None:
    """A FIFO, a link or a socket is neither read nor written nor waited for, and a listing leaves it out."""
    make(folder / "special")
    sandbox = Sandbox(folder)

    for way in (sandbox.check, sandbox.open_file):
        with pytest.raises(SandboxError):
            way("special")
    with pytest.raises(SandboxError):
        write_file({"path": "special", "content": "x"}, sandbox)
    assert "special" not in list_files({}, sandbox).value["files"]
    assert search_text({"pattern": "root"}, sandbox).value["total"] == 0
    assert sorted(os.listdir(folder)) == ["a.txt", "b.txt", "deep", "special"]


def test_a_folder_that_is_a_link_is_refused(folder: Path) -> None:
    """A link to a folder is not entered, even when it points inside."""
    (folder / "link").symlink_to("deep")
    sandbox = Sandbox(folder)

    for way in (sandbox.check, sandbox.open_file):
        with pytest.raises(SandboxError):
            way("link/c.txt")
    with pytest.raises(SandboxError):
        sandbox.open_folder("link")
    assert list_files({}, sandbox).value["files"] == ["a.txt", "b.txt", "deep/c.txt"]


def test_the_kernels_files_are_no_results_to_keep() -> None:
    """Over ``/proc``, where sizes lie, a file is read and its fingerprint matches nothing: it is never served."""
    read = read_file({"path": "uptime"}, Sandbox("/proc"))

    assert float(read.value["content"].split()[0]) > 0
    assert [file.mtime_ns for file in read.files] == [-1]


def test_a_root_must_be_a_folder(folder: Path) -> None:
    """A file, or nothing, is no sandbox."""
    for root in (folder / "a.txt", folder / "nothing"):
        with pytest.raises(SandboxError):
            Sandbox(root)


def test_a_write_replaces_the_file_and_not_what_else_it_is(folder: Path) -> None:
    """The mode stays, a hard link outside keeps the old content, and nothing else is left in the folder."""
    (folder / "a.txt").chmod(0o640)
    os.link(folder / "a.txt", folder.parent / "outside")
    write_file({"path": "a.txt", "content": "new"}, Sandbox(folder))

    assert (folder / "a.txt").read_text() == "new"
    assert (folder / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (folder.parent / "outside").read_text() == "alpha one\n"
    assert sorted(os.listdir(folder)) == ["a.txt", "b.txt", "deep"]


def test_a_write_needs_its_folder(folder: Path) -> None:
    """A file is not written into a folder that does not exist, nor in a folder's place."""
    with pytest.raises(FileNotFoundError):
        write_file({"path": "none/a.txt", "content": "x"}, Sandbox(folder))
    with pytest.raises(SandboxError):
        write_file({"path": "deep", "content": "x"}, Sandbox(folder))


def test_results_are_bounded(folder: Path) -> None:
    """A search gives at most 200 lines and says how many there were; what is no text is passed over."""
    (folder / "many.txt").write_text("needle\n" * (MOST_MATCHES + 50))
    (folder / "binary").write_bytes(b"\xff\xfe needle")
    found = search_text({"pattern": "NEEDLE"}, Sandbox(folder))

    assert (len(found.value["matches"]), found.value["total"]) == (MOST_MATCHES, MOST_MATCHES + 50)
    assert {Path(file.path).name for file in found.files} >= {"many.txt", "binary", "root", "deep"}
