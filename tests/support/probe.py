"""A caller inside the stack: paced hits with full telemetry, timed one by one; run by ``python -`` in a container.

Prints one line of JSON a second; nothing is imported but the product. The variables that compose sets for the
workflow name its service; this one has a name of its own, so that its figures stand alone.
"""

import json
import os
import sys
import time

import telemetry
from cache import MISS, Cache

SECONDS, A_SECOND = int(sys.argv[1]), 100
"""How long, and how many hits each second; the second argument names the service."""


def main() -> None:
    os.environ["OTEL_SERVICE_NAME"] = sys.argv[2]
    handle = telemetry.setup()
    with Cache.from_settings() as cache:
        cache.set("prompt", "probe", {"text": "x" * 1000})
        began = time.perf_counter()
        for second in range(SECONDS):
            taken, errors = [], 0
            for n in range(A_SECOND):
                due = began + second + n / A_SECOND
                time.sleep(max(0.0, due - time.perf_counter()))
                start = time.perf_counter()
                errors += cache.get("prompt", "probe") is MISS
                taken.append(time.perf_counter() - start)
            print(json.dumps({"at": time.time(), "second": second, "taken": taken, "errors": errors}), flush=True)
    handle.shutdown(10)


if __name__ == "__main__":
    main()
