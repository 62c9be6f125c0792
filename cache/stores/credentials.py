"""A password that may change while the program runs: in a file that is read for each new connection."""

from __future__ import annotations

from dataclasses import dataclass

import redis

LONGEST = 4096
"""Bytes of a password."""


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """The password in a file, as mounted secrets have it: one line, whose end does not count.

    Args:
        path: of the file; small and near, for it is read by whoever connects.
    """

    path: str

    def __call__(self) -> str | None:
        """The password that the file holds now; None for an empty one.

        Raises:
            redis.AuthenticationError: it cannot be read, or is no password; its text shows neither path nor content.
        """
        try:
            with open(self.path, "rb") as file:
                data = file.read(LONGEST + 1)
            text = data.decode().rstrip("\r\n")
        except (OSError, UnicodeError, ValueError):
            raise redis.AuthenticationError("the password's file cannot be read") from None
        if len(data) > LONGEST or "\n" in text:
            raise redis.AuthenticationError("the password's file holds more than a password")
        return text or None
