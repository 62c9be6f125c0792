"""Starts one of the programs that measure something in a process of their own, and reads its answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.place import ROOT, pin
from benchmarks.states import variables


class ProgramError(Exception):
    """A program ended without an answer."""


def start(
    module: str, arguments: Sequence[Any], *, state: str = "absent", sink: str = "", where: Sequence[int] = ()
) -> subprocess.Popen[str]:
    """Start ``python -m benchmarks.{module}``.

    Args:
        state: the telemetry it is to run under.
        where: the cores it may use; any when empty.
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        env=environment(variables(state, sink, module)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pin(process.pid, where)
    return process


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's variables without those that would change what is measured."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith(("OTEL_", "CACHE_", "REDIS_"))}
    return {**kept, **more}


def answer(process: subprocess.Popen[str], said: str = "", timeout: float = 300) -> Any:
    """Its answer, the last line, as JSON.

    Raises:
        ProgramError: it ended with an error, or not at all.
    """
    try:
        text, _ = process.communicate(said, timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise ProgramError(f"no answer within {timeout:.0f} s") from None
    if process.returncode or not text.strip():
        raise ProgramError(f"it ended with {process.returncode}")
    return json.loads(text.strip().splitlines()[-1])


def run(module: str, *arguments: Any, **options: Any) -> Any:
    """Start a program and wait for its answer.

    Raises:
        ProgramError: as ``answer``.
    """
    return answer(start(module, arguments, **options))


def resident_kib() -> float:
    """Memory of this process that is in RAM, KiB; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024
    except (OSError, ValueError):
        return 0.0
