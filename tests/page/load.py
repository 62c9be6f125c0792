"""Load for the page: a process that looks up, computes, invalidates and lets expire, and reports to the fleet.

python load.py FOLDER        until SIGTERM; a line "ready" once it began
"""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from cache import Cache, Computed
from cache.fleet import report
from cache.observing import observed
from cache.settings import Settings

TASKS, FILES, TEXTS = 12, 24, 60


def main() -> None:
    """Steady, and the same each time."""
    stop, chance = threading.Event(), random.Random(7)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = Settings.load()

    def computation(seconds: float, ttl: float | None = None, numbers: int = 0) -> Callable[[], Any]:
        def compute() -> Any:
            stop.wait(chance.expovariate(1 / seconds))
            value = [0.5] * numbers or {"text": "x" * chance.randrange(200, 4000)}
            return Computed(value, ttl=ttl) if ttl else value

        return compute

    with observed(settings, "page-load"), report(settings), Cache.from_settings(settings) as cache:
        print("ready", flush=True)
        round_ = 0
        while not stop.wait(0.01):
            round_ += 1
            task, turn = f"canary-task-{chance.randrange(TASKS)}", chance.randrange(4)
            cache.get_or_compute("context", (task, turn), computation(0.02), tags=[f"task:{task}"])
            text = f"canary text {int(chance.paretovariate(1.1)) % TEXTS}"
            cache.get_or_compute("embedding", text, computation(0.06, numbers=384))
            path = f"canary/{int(chance.paretovariate(0.8)) % FILES}.py"
            cache.get_or_compute("tool", ("read_file", {"path": path}), computation(0.004, ttl=2.0))
            if round_ % 3 == 0:
                cache.get_or_compute("prompt", f"canary prompt {chance.randrange(round_ + 1)}", computation(0.01))
            if round_ % 40 == 0:
                cache.invalidate(tags=[f"task:{task}"])
            if round_ % 90 == 0:
                cache.delete("embedding", text)


if __name__ == "__main__":
    sys.exit(main())
