"""Plays rows, each in a process of its own: what it holds, hangs or breaks is its own, and so is its network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.debian import found

from faults import catalogue
from faults.figures import Figures
from faults.measuring import play
from faults.registry import Fault, Row

TESTS = Path(__file__).resolve().parent.parent
PATIENCE_S = 180.0
SHORT_SLACK = 3.0
"""CI's machines are shared: there times may be three times as long."""


@dataclass(slots=True)
class Played:
    """One row, played once.

    Args:
        reached: why it could not be played; empty when it was.
        broken: what is not as it must be.
    """

    number: str
    form: str
    path: str
    figures: Figures
    reached: str = ""
    broken: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "number": self.number,
            "form": self.form,
            "path": self.path,
            "figures": self.figures.as_data(),
            "reached": self.reached,
            "broken": list(self.broken),
        }


def unreached(row: Row) -> str:
    """What this machine lacks for a row; empty when nothing is missing."""
    if not row.network:
        return ""
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2"), ("iptables", "iptables")):
        if found(program, package) is None:
            return f"{program} is not installed"
    asked = subprocess.run([*_apart(), "iptables", "-L", "-n"], capture_output=True, text=True, check=False)
    return "" if asked.returncode == 0 else f"no network namespace with iptables: {asked.stderr.strip()[:120]}"


def _apart() -> list[str]:
    """Into a network and a mount namespace of one's own; loopback is up."""
    return ["unshare", "-n", "-m", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def played(row: Row, form: str, path: str, *, short: bool) -> Played:
    """Play a row in a process of its own; once more when nothing but time was exceeded, for the machine is shared."""
    missing = unreached(row)
    if missing:
        return Played(row.number, form, path, Figures(), missing)
    slack = SHORT_SLACK if short else 1.0
    first = _once(row, form, path, short=short, slack=slack)
    if not first.broken or not row.limits.only_late(first.figures, slack) or "it fell" in first.broken[0]:
        return first
    second = _once(row, form, path, short=short, slack=slack)
    second.figures.more["played twice"] = "; ".join(first.broken)
    return second


def _once(row: Row, form: str, path: str, *, short: bool, slack: float) -> Played:
    command = [sys.executable, "-m", "faults.running", row.number, form, path, "short" if short else "long"]
    command = [*_apart(), *command] if row.network else command
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    patience = PATIENCE_S if isinstance(row, Fault) else row.patience_s
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        err += f"\nit did not end within {patience:.0f} s"
    if process.returncode != 0:
        return Played(row.number, form, path, Figures(), broken=(f"it fell: {err.strip()[-1500:]}",))
    figures = Figures.of(json.loads(out.splitlines()[-1]))
    return Played(row.number, form, path, figures, broken=tuple(row.limits.broken(figures, slack)))


def main(number: str, form: str, path: str, length: str) -> None:
    """Play one row here and print its figures."""
    # callers, proxy and ledger share an interpreter: who waits 5 ms for it waits for them, not for a store
    sys.setswitchinterval(0.0005)
    figures = play(catalogue.row(number), form, path, short=length == "short")
    print(json.dumps(figures.as_data()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
