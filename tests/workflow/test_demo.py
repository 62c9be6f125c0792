"""The demo's folder and its workers: what it refuses, and how it ends."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cache.workflow.demo import working_copy
from cache.workflow.file_tools import MOST_FILES

ROOT = Path(__file__).resolve().parents[2]


def test_a_copy_holds_the_regular_files_alone(tmp_path: Path) -> None:
    """No links, pipes, caches or repositories; the copy may be edited, the folder stays as it was."""
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "image.bin").write_bytes(b"\xff\x00")
    (tmp_path / "link").symlink_to("a.txt")
    os.mkfifo(tmp_path / "pipe")
    for name in ("sub", ".git", "__pycache__"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.txt").write_text("more")

    with working_copy(tmp_path) as copy:
        found = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
        (copy / "a.txt").write_text("edited")
    assert found == ["a.txt", "image.bin", "sub/b.txt"]
    assert (tmp_path / "a.txt").read_text() == "text"


def _fill_with_nothing(folder: Path) -> None:
    (folder / "empty.txt").write_text("\n")
    (folder / "image.bin").write_bytes(b"\xff\x00")


def _fill_with_many(folder: Path) -> None:
    for number in range(MOST_FILES + 1):
        (folder / f"{number}.txt").write_text("x")


def _fill_with_much(folder: Path) -> None:
    with (folder / "sparse.bin").open("wb") as file:
        file.truncate(1 << 30)


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda folder: None, "no text"),
        (_fill_with_nothing, "no text"),
        (_fill_with_many, f"{MOST_FILES} files"),
        (_fill_with_much, "MiB"),
        (lambda folder: folder.rmdir(), "no folder"),
    ],
    ids=["empty", "no text", "many", "much", "none"],
)
def test_a_folder_that_would_show_nothing_is_refused(fill, said: str, tmp_path: Path) -> None:
    """Before a model is asked: nothing to read, or more than the tools list."""
    fill(tmp_path)
    with pytest.raises(ValueError, match=said), working_copy(tmp_path):
        pass


def test_an_interrupted_demo_ends_its_worker_without_a_traceback(tmp_path: Path) -> None:
    """Ctrl-C at a terminal: code 130, nothing but the progress so far, nothing left running."""
    (tmp_path / "a.txt").write_text("text\n" * 50)
    with subprocess.Popen(
        [sys.executable, "-m", "cache", "demo", str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # where the tests run in a shell's background, what they start would never hear of it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        seen = [next(demo.stdout) for _ in range(3)]
        os.killpg(demo.pid, signal.SIGINT)
        _, errors = demo.communicate(timeout=30)

    assert "cold" in seen[2]
    assert (demo.returncode, errors) == (130, "")


def test_a_run_that_fails_is_one_line_of_ours(tmp_path: Path) -> None:
    """The code is 1, and the command adds no traceback to what the worker said."""
    (tmp_path / "a.txt").write_text("text")
    broken = tmp_path / "site"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import os, sys\nif 'cold' in sys.orig_argv: os._exit(1)\n")
    done = subprocess.run(
        [sys.executable, "-m", "cache", "demo", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(broken)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr == "glasscache: the cold run ended with 1; its own words stand above\n"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights that are missing are the folder's fault, in one line: a worker that met them fell with a traceback."""

    def forbidden(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(source))

    (tmp_path / "secret.txt").write_text("text")
    monkeypatch.setattr("shutil.copyfile", forbidden)
    with pytest.raises(ValueError, match=r"secret\.txt cannot be copied: Permission denied"):
        with working_copy(tmp_path):
            raise AssertionError("there is no copy")


def test_a_wrong_telemetry_variable_is_one_line(tmp_path: Path) -> None:
    """A run that cannot set its telemetry up says why, without a traceback."""
    (tmp_path / "a.txt").write_text("text")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OTEL_SDK_DISABLED": "maybe"}
    command = [sys.executable, "-m", "cache.workflow.demo", "warm", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("glasscache: OTEL_SDK_DISABLED: ")
    assert len(done.stderr.splitlines()) == 1
