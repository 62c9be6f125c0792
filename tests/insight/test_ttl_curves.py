"""What another TTL would give: the sample against a full simulation of the same requests."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from insight.truth import Step, hit_ratios

from cache.cli import main
from cache.errors import TraceError
from cache.insight.curve import advice, curve
from cache.insight.replay import replay
from cache.insight.reuse import GRID, OFFER_EVERY, Reuse
from cache.insight.traces import Act, Request, requests

WRITER = Path(__file__).with_name("trace_writer.py")


def digest(key: str) -> bytes:
    """What the sample knows of a key."""
    return hashlib.sha256(key.encode()).digest()[:8]


def zipf(count: int, keys: int, seed: int) -> list[Step]:
    """A Zipf stream, 100 requests a second; everything is invalidated at each 20000th."""
    dice, now, steps = random.Random(seed), 0.0, list[Step]()
    weights = list(itertools.accumulate(1 / rank for rank in range(1, keys + 1)))
    for number, key in enumerate(dice.choices(range(keys), cum_weights=weights, k=count)):
        now += dice.expovariate(100)
        if number % 20_000 == 19_999:
            steps.append((now, "", "drop_all"))
        steps.append((now, f"k{key}", "look"))
    return steps


def fed(reuse: Reuse, steps: list[Step]) -> dict[str, Any]:
    """The curve of a sample that saw the steps."""
    now = 0.0
    for now, key, act in steps:
        if act == "drop_all":
            reuse.invalidated_all(now)
            continue
        reuse.lookups += 1
        if not reuse.lookups % OFFER_EVERY:
            reuse.offer(digest(key), now)
        reuse.looked(digest(key), now, size=100)
    return curve(reuse, now)


def errors(found: dict[str, Any], truth: list[float]) -> list[float]:
    """How far each point of the grid is off."""
    return [abs(row["hit_ratio"] - ratio) for row, ratio in zip(found["grid"], truth, strict=True)]


def test_a_sample_of_all_keys_is_exact() -> None:
    """While every key fits, every point is what the full simulation says, to the last lookup, and no error is shown."""
    steps = zipf(40_000, 1_000, 1)
    found = fed(Reuse(300.0), steps)
    assert found["rate"] == 1.0
    assert max(errors(found, hit_ratios(steps, GRID))) < 1e-12
    assert {row["error"] for row in found["grid"]} == {0.0}


def test_a_sample_in_a_hundred_is_near_the_truth() -> None:
    """With far more keys than fit, each point is within the shown error or a hundredth of the truth."""
    steps = zipf(100_000, 50_000, 2)
    found = fed(Reuse(300.0), steps)
    assert found["rate"] < 0.1
    truth = hit_ratios(steps, GRID)
    for row, ratio in zip(found["grid"], truth, strict=True):
        assert abs(row["hit_ratio"] - ratio) <= max(1.5 * row["error"], 0.01), row
    assert all(row["error"] < 0.04 for row in found["grid"])


def test_a_trace_file_of_the_public_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that another program wrote: each point of the command's answer is within a hundredth of the truth."""
    path = tmp_path / "cluster.csv"
    with path.open("w") as file:
        subprocess.run([sys.executable, str(WRITER), "30000", "7"], stdout=file, check=True)
    assert main(["advise", "--trace", str(path), "--ttl", "600", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = [line.strip().split(",") for line in path.read_text().splitlines()]
    acts = {"get": "look", "gets": "look", "set": "store", "delete": "drop"}
    steps = [(float(row[0]), row[1], acts[row[5]]) for row in rows if row[5] in acts]
    assert max(errors(found, hit_ratios(steps, GRID))) <= 0.01
    assert found["lookups"] == sum(act == "look" for _, _, act in steps)
    assert main(["advise", "--trace", str(path), "--ttl", "600"]) == 0
    shown = capsys.readouterr().out
    assert "10 min (today)" in shown
    assert "advice: " in shown


def test_a_trace_is_replayed_in_a_sample_too() -> None:
    """A trace of more keys than are kept is sampled, and corrected."""
    steps = zipf(60_000, 30_000, 3)
    trace = (Request(now, digest(key), 100, Act.LOOK) for now, key, act in steps if act == "look")
    found = replay(trace, 300.0, most_keys=8000)
    assert found["rate"] < 1.0
    assert max(errors(found, hit_ratios([step for step in steps if step[2] == "look"], GRID))) <= 0.01


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1,k,1,1,1,get",
        "x,k,1,1,1,get,0",
        "1,k,-1,1,1,get,0",
        "1,k,1,1,1,steal,0",
        "1,k,1,9" * 4000,
        "٣,k,1,1,1,get,0",
    ],
)
def test_what_is_no_trace_is_named(line: str) -> None:
    """A line that is not of the format is refused by its number."""
    with pytest.raises(TraceError, match="line 2: "):
        list(requests(["1,k,1,1,1,get,0", line]))


def test_time_does_not_go_back() -> None:
    """A trace out of order would be simulated wrongly: it is refused."""
    with pytest.raises(TraceError, match="line 2: its time"):
        list(requests(["5,k,1,1,1,get,0", "4,k,1,1,1,get,0"]))


def test_a_key_may_have_commas() -> None:
    """The key is what stands between the time and the last five columns."""
    (found,) = requests(["5,a,b,3,10,1,get,0"])
    assert found == Request(5.0, digest("a,b"), 13, Act.LOOK)


def test_the_sample_stays_below_a_mebibyte() -> None:
    """A full sample with all its watched keys, by the allocator's own count."""
    dice = random.Random(4)
    tracemalloc.start()
    try:
        reuse = Reuse(300.0)
        for _ in range(400):
            key = dice.randbytes(8)
            reuse.offer(key, 0.0)
            reuse.offer(key, 0.0)
        for number in range(4_000):
            reuse.looked(dice.randbytes(8), float(number), size=number, cost_s=0.1 * number)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(reuse.hot) == 400
    assert len(reuse.keys) > 1200
    assert most < 1 << 20


def test_the_stored_bytes_and_the_computation_time() -> None:
    """What would be held at the end, and what the misses would have cost."""
    reuse = Reuse(30.0, grid=(1.0, 10.0, 100.0))
    for number in range(10):
        reuse.lookups += 1
        reuse.looked(digest("a"), 5.0 * number, size=1000, cost_s=2.0)
    found = curve(reuse, 46.5)
    assert [row["hit_ratio"] for row in found["grid"]] == [0.0, 0.5, 0.9]
    assert [row["bytes"] for row in found["grid"]] == [0.0, 1000.0, 1000.0]
    assert [row["compute_s"] for row in found["grid"]] == [20.0, 10.0, 2.0]


def test_the_advice_is_the_shortest_that_gives_nearly_all() -> None:
    """A longer TTL has to give more than the set gain."""
    rows = [
        {"ttl": ttl, "hit_ratio": ratio, "error": 0.001, "bytes": ttl, "compute_s": 100 * (1 - ratio)}
        for ttl, ratio in ((1.0, 0.1), (60.0, 0.8), (600.0, 0.805), (60.0, 0.8))
    ]
    assert advice(rows)["ttl"] == 60.0
    assert not advice(rows)["certain"]
    assert advice(rows, gain=0.001)["ttl"] == 600.0
    assert advice([]) == {}


def test_an_invalidation_ends_an_entry_under_every_ttl() -> None:
    """Whatever its TTL, an entry that was invalidated is a miss."""
    reuse = Reuse(30.0, grid=(10.0, 100.0))
    for now in (0.0, 1.0):
        reuse.lookups += 1
        reuse.looked(digest("a"), now)
    reuse.invalidated(digest("a"), 1.5)
    reuse.lookups += 1
    reuse.looked(digest("a"), 2.0)
    assert [row["hit_ratio"] for row in curve(reuse, 2.0)["grid"]] == pytest.approx([1 / 3, 1 / 3])
