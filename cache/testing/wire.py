"""What goes over the wire, as a proxy sees it: the commands in a stream of requests, and round trips."""

from __future__ import annotations

import threading


class RequestParser:
    """Finds the commands in a stream of RESP requests, however it is cut up."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Names of the commands that are complete now, in capitals."""
        self._buffer += data
        names = []
        while (found := self._command()) is not None:
            name, end = found
            del self._buffer[:end]
            names.append(name)
        return names

    def _command(self) -> tuple[str, int] | None:
        count, at = self._number(0, b"*")
        name = b""
        for index in range(count):
            size, start = self._number(at, b"$")
            at = start + size + 2
            if size < 0 or at > len(self._buffer):
                return None
            if index == 0:
                name = bytes(self._buffer[start : start + size])
        return (name.decode("ascii", "replace").upper(), at) if count > 0 else None

    def _number(self, at: int, mark: bytes) -> tuple[int, int]:
        """The number after ``mark`` and where the next line begins; -1 when it is not there yet."""
        end = self._buffer.find(b"\r\n", at)
        if end < 0 or self._buffer[at : at + 1] != mark:
            return -1, at
        return int(self._buffer[at + 1 : end]), end + 2


class Tally:
    """Counts what passes; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.commands: list[str] = []
        self.round_trips = self.greetings = self.accepted = self.open = 0

    def clear(self) -> None:
        """Begin to count anew; open connections stay counted."""
        with self._lock:
            self.commands = []
            self.round_trips = self.greetings = 0
            self.accepted = self.open

    def connected(self, change: int) -> None:
        """A connection came (1) or went (-1)."""
        with self._lock:
            self.open += change
            self.accepted += change > 0

    def asked(self, names: list[str], *, turned: bool) -> None:
        """Commands went to the server; ``turned`` when they are the first since it last spoke."""
        with self._lock:
            if turned and names[:1] == ["HELLO"]:
                self.greetings += 1
            elif turned:
                self.round_trips += 1
            self.commands += names
