"""Redis as Debian ships it: found, or installed where that is allowed, or named as missing."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

from cache.testing import EmbeddedServer

PACKAGE = "redis-server"


@functools.cache
def program() -> str:
    """Path of ``redis-server``.

    Raises:
        AssertionError: it is not there and cannot be installed; the text names the package.
    """
    found = shutil.which(PACKAGE)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        # runlevel 1 begins no service
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", PACKAGE]):
            subprocess.run(["apt-get", "-q", *words], env=environment, capture_output=True, timeout=300, check=False)
        found = shutil.which(PACKAGE)
    assert found is not None, f"needs Debian's package {PACKAGE}: apt-get install {PACKAGE}"
    return found


def version() -> tuple[int, ...]:
    """Its version's numbers."""
    told = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in told.split("v=")[1].split()[0].split("."))


class DebianRedis(EmbeddedServer):
    """As the embedded server, with Redis's program instead of Valkey's."""

    def _command(self, _: str) -> list[str]:
        return super()._command(program())
