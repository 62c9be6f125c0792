"""A folder that tools may work in: nothing outside of it is reached, by no spelling and no link."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path, PurePosixPath

from cache.errors import CacheError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class SandboxError(CacheError, PermissionError):
    """A path is outside of the sandbox, is no regular file, or may not be read."""


class Sandbox:
    """The tools' folder.

    Args:
        root: an existing folder; links inside are never followed.

    Raises:
        SandboxError: it is no folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise SandboxError("a sandbox's root must be a folder")

    def parts(self, path: str) -> tuple[str, ...]:
        """A path's components below the root.

        Raises:
            SandboxError: absolute outside of the root, ``..``, NUL, or no text.
        """
        if not isinstance(path, str) or "\0" in path:
            raise SandboxError("a path must be text without NUL")
        pure = PurePosixPath(path or ".")
        if pure.is_absolute():
            try:
                pure = pure.relative_to(PurePosixPath(self.root))
            except ValueError:
                raise SandboxError("the path is outside of the sandbox") from None
        if ".." in pure.parts:
            raise SandboxError("a path may not go up")
        return pure.parts

    def relative(self, path: str) -> str:
        """The path in its one spelling, relative to the root; ``.`` for the root itself."""
        return "/".join(self.parts(path)) or "."

    def absolute(self, path: str) -> str:
        """The path as fingerprints name it."""
        return os.path.join(self.root, *self.parts(path))

    def open_folder(self, path: str) -> int:
        """Open a folder, component by component; the caller closes the descriptor.

        Raises:
            SandboxError: a component is a link, no folder, or may not be entered.
        """
        return self._walk(self.parts(path))

    def open_file(self, path: str) -> int:
        """Open a regular file for reading, component by component; the caller closes the descriptor.

        Raises:
            SandboxError: a component is a link, it is no regular file, or it may not be opened.
            FileNotFoundError: there is none.
        """
        parts = self.parts(path)
        if not parts:
            raise SandboxError("the path is a folder")
        folder = self._walk(parts[:-1])
        try:
            descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise SandboxError(f"the file cannot be opened: {os.strerror(error.errno or 0)}") from None
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SandboxError("the path is no regular file")
        return descriptor

    def check(self, path: str) -> None:
        """Make sure that a path may be read now: what is asked before every cached answer.

        Raises:
            SandboxError: it may not.
            FileNotFoundError: there is none.
        """
        parts = self.parts(path)
        if not parts:
            return
        folder = self._walk(parts[:-1])
        try:
            found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                raise SandboxError("the path is neither a regular file nor a folder")
            if not _may(parts[-1], os.R_OK, folder):
                raise SandboxError("the path may not be read")
        finally:
            os.close(folder)

    def replace_file(self, path: str, data: bytes) -> None:
        """Put a file in place at once: readers see the old or the new one, and no link is written through.

        Raises:
            SandboxError: a component is a link, there is something else than a regular file, or it may not be written.
            FileNotFoundError: its folder does not exist.
        """
        parts = self.parts(path)
        if not parts:
            raise SandboxError("the path is a folder")
        folder = self._walk(parts[:-1])
        fresh = f".glasscache-{secrets.token_hex(8)}"
        try:
            mode = _mode_of_target(parts[-1], folder)
            with os.fdopen(os.open(fresh, _FRESH, 0o600, dir_fd=folder), "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
            os.replace(fresh, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(fresh, dir_fd=folder)
            raise
        finally:
            os.close(folder)

    def _walk(self, parts: tuple[str, ...]) -> int:
        descriptor = os.open(self.root, _FOLDER)
        for part in parts:
            try:
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise SandboxError(f"the folder cannot be opened: {os.strerror(error.errno or 0)}") from None
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor


def _may(name: str, how: int, folder: int) -> bool:
    """Whether the process may use a name in an open folder, by the rights that opening it would have."""
    return os.access(name, how, dir_fd=folder, effective_ids=os.access in os.supports_effective_ids)


def _mode_of_target(name: str, folder: int) -> int:
    """The mode that a written file gets: that of the one it replaces."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0o644
    if not stat.S_ISREG(found.st_mode):
        raise SandboxError("the path is no regular file")
    if not _may(name, os.W_OK, folder):
        raise SandboxError("the file may not be written")
    return stat.S_IMODE(found.st_mode)
