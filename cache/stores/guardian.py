"""The program that ends an embedded server with the process that started it.

Run as ``python -I -S guardian.py DIRECTORY PROGRAM ARGUMENT...``, standard library only. It reads
one-letter commands from its standard input and answers each with one line; the end of the input,
which also comes when the starter was killed, ends the server and removes the directory.

    s  start the server unless it runs; answers its process id
    k  kill it; answers 0
    p  answers its process id, 0 when it has ended
"""

import os
import shutil
import signal
import sys
import time

GRACE_S = 3.0
"""How long the server may take to end by itself."""


class Ward:
    """The server that is guarded."""

    def __init__(self, directory: str, command: list[str]) -> None:
        self._directory, self._command = directory, command
        self.pid = 0

    def start(self) -> int:
        """Start it; its process id."""
        if not self.alive():
            log = os.path.join(self._directory, "server.log")
            self.pid = os.posix_spawn(
                self._command[0],
                self._command,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
            )
        return self.pid

    def alive(self) -> int:
        """Its process id; 0 when it has ended."""
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = 0
        return self.pid

    def kill(self) -> int:
        """End it as a crash would."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        return 0

    def end(self) -> None:
        """Ask it to end, then make it; remove what it leaves."""
        if self.alive():
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)
            give_up = time.monotonic() + GRACE_S
            while self.alive() and time.monotonic() < give_up:
                time.sleep(0.002)
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def main(directory: str, command: list[str]) -> None:
    """Serve until the input ends."""
    ward = Ward(directory, command)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))
    answers = {b"s": ward.start, b"k": ward.kill, b"p": ward.alive}
    try:
        while letter := os.read(0, 1):
            os.write(1, b"%d\n" % answers[letter]())
    finally:
        ward.end()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
