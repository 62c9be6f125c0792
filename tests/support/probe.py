"""A caller inside the stack: paced hits with full telemetry, timed one by one; run by ``python -`` in a container.

Prints one line of JSON a second, then what its own SDK counted; nothing is imported but the product.
"""

import json
import sys
import time

import telemetry
from cache import MISS, Cache

SECONDS, A_SECOND = float(sys.argv[1]), 100
"""How long, and how many hits each second."""


def main() -> None:
    handle = telemetry.setup(service_name="glasscache-probe")
    with Cache.from_settings() as cache:
        cache.set("prompt", "probe", {"text": "x" * 1000})
        errors = 0
        began = time.perf_counter()
        for second in range(int(SECONDS)):
            taken = []
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
