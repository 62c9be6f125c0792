"""A process that uses a cache and reports to the fleet; run as a program, it does what its input says.

hit N    N hits, then a line of JSON: its own summary
fork N   a forked child counts N hits and ends cleanly, then the same line
die N    a forked child counts N hits and is gone without a word once they are reported
end      close the reporter, then the same line, then end
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


class Process:
    """The parent's side."""

    def __init__(self, url: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CACHE_READ_DEADLINE": "2", "CACHE_WRITE_DEADLINE": "2"}
        command = [sys.executable, "-W", "ignore::DeprecationWarning", __file__, url]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def tell(self, words: str) -> dict[str, Any]:
        """Send a line; the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return dict(json.loads(line))

    def kill(self) -> None:
        """End it as the system does when memory is short."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=10)

    def end(self) -> dict[str, Any]:
        """Let it end cleanly; its last own summary."""
        told = self.tell("end")
        _, errors = self.process.communicate(timeout=20)
        assert (self.process.returncode, errors) == (0, "")
        return told


def _main(url: str) -> None:
    from cache import Cache, fleet
    from cache.metrics import get_metrics
    from cache.settings import Settings

    def hit(n: int) -> None:
        with Cache.from_settings(settings) as cache:
            cache.set("prompt", "k", os.getpid())
            for _ in range(n):
                assert cache.get("prompt", "k") is not None

    def fork(n: int, *, cleanly: bool) -> None:
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            hit(n)
            if cleanly:
                shared.close()
            else:
                reporter = shared._reporter
                assert reporter is not None
                while reporter._written is None or sum(reporter._written.requests.values()) != n:
                    time.sleep(0.01)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    settings = Settings.of(redis_url=url)
    shared = fleet.report(settings)
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "hit":
            hit(int(number))
        elif word in ("fork", "die"):
            fork(int(number), cleanly=word == "fork")
        elif word == "end":
            shared.close()
        print(json.dumps(get_metrics().summary()), flush=True)
        if word == "end":
            return


if __name__ == "__main__":
    _main(sys.argv[1])
