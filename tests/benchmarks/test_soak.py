"""The soak in its short form: memory, descriptors, threads and p99 stay flat, and what grows is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.soak import SAMPLES, Sample, grown

ROOT = Path(__file__).resolve().parent.parent.parent


def test_under_mixed_load_nothing_grows() -> None:
    """40 s of it, in a process of its own, with outages: flat, and no error reached a caller."""
    command = [sys.executable, "-m", "benchmarks.soak", "0.67"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)

    assert done.returncode == 0, done.stdout.splitlines()[-3:] + done.stderr.splitlines()[-3:]
    samples = [json.loads(line) for line in done.stdout.splitlines()[:-1]]
    assert len(samples) == SAMPLES
    assert sum(sample["calls"] for sample in samples) > 1000


FLAT = [Sample(float(n), 100.0, 20, 8, 100, 1.0, 0) for n in range(60)]


def test_what_is_flat_is_no_leak() -> None:
    """The same figures throughout."""
    assert grown(FLAT) == []


@pytest.mark.parametrize("name", ["mib", "descriptors", "threads", "p99_ms"])
def test_what_grows_is_a_leak(name: str) -> None:
    """A figure that is five times as large in the last third is told."""
    grew = [replace(one, **{name: 5 * getattr(one, name)}) for one in FLAT[40:]]

    assert [word.split()[0] for word in grown(FLAT[:40] + grew)] == [name.removesuffix("_ms")]


def test_an_error_is_told() -> None:
    """One that reached a caller."""
    assert grown([*FLAT[:-1], replace(FLAT[-1], errors=1)]) == ["1 errors reached callers"]
