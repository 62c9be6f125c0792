"""A picture of where a call spends its time: ``python -m benchmarks.flames JOB STATE [CONTENDER]``.

py-spy looks at the process 500 times a second from outside, for eight seconds of calls one after the other, and draws
``docs/pictures/flame-JOB-STATE.svg``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.crew import Bench
from benchmarks.pictures import FOLDER

SECONDS, RATE = 8, 500


def recorded(bench: Bench, job: str, state: str, name: str, picture: Path) -> None:
    """Record one contender's job.

    Raises:
        WorkerError, CalledProcessError: it cannot be opened; py-spy may not look.
    """
    (hand,) = bench.crew([(name, state, {})])
    hand.ask("open", job=job, name="json200", url=bench.server.url)
    program = Path(sysconfig.get_path("scripts"), "py-spy")
    command = [program, "record", "--pid", hand.pid, "--duration", SECONDS, "--rate", RATE, "--output", picture]
    with subprocess.Popen([*map(str, command), "--threads", "--nonblocking"]) as watching:
        while watching.poll() is None:
            hand.ask("flood", seconds=0.5, limit=4000)
    if watching.returncode:
        raise subprocess.CalledProcessError(watching.returncode, "py-spy")
    # it writes its own command line over the picture
    text = re.sub(r'(<text id="title"[^>]*>)[^<]*', rf"\g<1>{name}: {job}, {state}", picture.read_text())
    picture.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def main(job: str, state: str, name: str = "glasscache") -> None:
    """Draw one picture."""
    bench = Bench.start(quick=True)
    try:
        recorded(bench, job, state, name, FOLDER / f"flame-{job}-{state}.svg")
    finally:
        bench.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
