"""Series begin at zero for whoever watches: a program of ours exports them once before it counts anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from support.otlp_sink import otlp_sink

PROGRAM = """
import sys
from cache.observing import observed
from cache.settings import Settings
with observed(Settings.of(), "first-export"):
    print("observed", flush=True)
    sys.stdin.read()
"""


def test_every_counter_is_exported_at_zero_long_before_the_first_interval() -> None:
    """With ten minutes between exports the Collector has all series of lookups within seconds, each of them 0."""
    with otlp_sink() as sink:
        asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
        command = [sys.executable, "-c", PROGRAM]
        with subprocess.Popen(
            command, env={**os.environ, **asked}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdin
            assert program.stdout
            assert program.stdout.readline() == "observed\n"
            give_up = time.monotonic() + 20
            while "cache.requests" not in sink.metrics and time.monotonic() < give_up:
                time.sleep(0.02)
            points = list(sink.metrics["cache.requests"].sum.data_points)
            program.stdin.close()

    assert program.returncode == 0
    assert len(points) > 50
    assert {point.as_int for point in points} == {0}
