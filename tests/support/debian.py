"""Programs of Debian's packages: found, or installed where that is allowed."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess


@functools.cache
def found(program: str, package: str) -> str | None:
    """Path of a program, installed by its package where this is Debian and we are root; None: it is not to be had."""
    path = shutil.which(program)
    if path is None and shutil.which("apt-get") and os.geteuid() == 0:
        # runlevel 1 begins no service
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run(["apt-get", "-q", *words], env=environment, capture_output=True, timeout=300, check=False)
        path = shutil.which(program)
    return path
