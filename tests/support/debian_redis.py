"""Redis as Debian ships it: found, or installed where that is allowed, or named as missing."""

from __future__ import annotations

import subprocess

from support.debian import found

from cache.testing import EmbeddedServer

PACKAGE = "redis-server"


def program() -> str:
    """Path of ``redis-server``.

    Raises:
        AssertionError: it is not there and cannot be installed; the text names the package.
    """
    path = found(PACKAGE, PACKAGE)
    assert path is not None, f"needs Debian's package {PACKAGE}: apt-get install {PACKAGE}"
    return path


def version() -> tuple[int, ...]:
    """Its version's numbers."""
    told = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in told.split("v=")[1].split()[0].split("."))


class DebianRedis(EmbeddedServer):
    """As the embedded server, with Redis's program instead of Valkey's."""

    def _command(self, _: str) -> list[str]:
        return super()._command(program())
