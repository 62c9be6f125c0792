"""Row 46: invalidations race computations, by every way in which a value can be made or made invalid."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cache import MISS, Cache, Policy
from faults.figures import Figures
from faults.place import Place
from faults.races import refused
from faults.registry import Catalogue
from faults.resources import EITHER, QUIET, settings
from faults.truth import KEYS, Truth
from telemetry.recorder import Recorder

ROWS = Catalogue("Races")

PATIENT = {"read_deadline": 2, "write_deadline": 2}
TESTS = Path(__file__).resolve().parent.parent
LONG, SHORT = 1_000_000, 20_000
HOT = 12
"""Keys that most callers ask for: they meet in flights."""

AHEAD = Policy(name="ahead", ttl_s=0.5, jitter=0.5, refresh_ahead=0.9, serve_stale=True)
"""Refreshed in the background nearly all the time."""


class Racing:
    """One process's callers of one cache.

    Args:
        category: of the values.
        lag_s: how long a computation takes after it has read the origin.
    """

    def __init__(self, cache: Cache, truth: Truth, category: str) -> None:
        self._cache, self._truth, self._category = cache, truth, category
        self.over = threading.Event()
        self.wrong: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    def tag(self, key: int) -> str:
        return f"race:t{key}"

    def _compute(self, key: int) -> dict[str, int]:
        made = self._truth.compute(key)
        # another thread runs here, as often as not; sometimes for as long as an invalidation takes
        threading.Event().wait(0.0005 if random.random() < 0.2 else 0)
        return made

    def _judge(self, how: str, key: int, lowest: int, value: Any) -> None:
        self.asked[how] += 1
        if value is not MISS and not self._truth.legal(key, lowest, value):
            self.wrong[how] += 1

    def one(self) -> None:
        key = random.randrange(HOT)
        lowest = self._truth.floor(key)
        value = self._cache.get_or_compute(self._category, f"k{key}", lambda: self._compute(key), tags=[self.tag(key)])
        self._judge("get_or_compute", key, lowest, value)

    def many(self) -> None:
        keys = random.sample(range(KEYS), 8)
        lowest = [self._truth.floor(key) for key in keys]
        values = self._cache.get_or_compute_many(
            self._category,
            [f"k{key}" for key in keys],
            lambda names: [self._compute(int(name[1:])) for name in names],
            tags=["race:all"],
        )
        for key, low, value in zip(keys, lowest, values, strict=True):
            self._judge("get_or_compute_many", key, low, value)

    def look(self) -> None:
        key = random.randrange(KEYS)
        lowest = self._truth.floor(key)
        # without the tag: it is found in the entry
        self._judge("get", key, lowest, self._cache.get(self._category, f"k{key}"))

    def repeat(self, act: Callable[[], None]) -> None:
        while not self.over.is_set():
            act()


def invalidate(cache: Cache, truth: Truth, category: str, count: int) -> Counter[str]:
    """Change the origin and invalidate, ``count`` scopes and keys altogether; floors are raised when it is done."""
    done: Counter[str] = Counter()
    every = list(range(KEYS))
    turn = 0
    while done.total() < count:
        turn += 1
        if turn % 7 == 0:
            keys, way = random.sample(every, 4), "key"
        elif turn % 9 == 0:
            keys, way = every, "category"
        elif turn % 31 == 0:
            keys, way = every, "pattern"
        else:
            keys, way = every, "tag"
        versions = [truth.change(key) for key in keys]
        if way == "key":
            for key in keys:
                cache.delete(category, f"k{key}")
            done["key"] += len(keys)
        elif way == "category":
            done["category"] += cache.invalidate(category=category)
        elif way == "pattern":
            cache.invalidate(pattern=f"{category}:*")
            done["pattern"] += 1
        else:
            # values made in a batch have one tag in common, the others each one of its own
            done["tag"] += cache.invalidate(tags=[*(f"race:t{key}" for key in keys), "race:all"])
        if cache.pending:
            raise RuntimeError("the store did not take an invalidation")
        for key, version in zip(keys, versions, strict=True):
            truth.raise_floor(key, version, everywhere=True)
    return done


def _race(place: Place, path: str, category: str, count: int, **more: Any) -> tuple[Figures, Recorder]:
    figures, recorder = Figures(), Recorder()
    given = settings(path, policies=[AHEAD], recorder=recorder, max_connections=16, **PATIENT, **more)
    with Cache.from_url(place.url, **given) as cache:
        racing = Racing(cache, place.truth, category)
        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(racing.repeat, act) for act in (racing.one, racing.one, racing.many, racing.look)]
            try:
                done = invalidate(cache, place.truth, category, count)
            finally:
                racing.over.set()
            for each in running:
                each.result(60)
    figures.calls, figures.wrong = racing.asked.total(), racing.wrong.total()
    if racing.wrong:
        figures.more["wrong"] = dict(racing.wrong)
    figures.more |= {"invalidations": dict(done), "asked": dict(racing.asked)}
    return figures, recorder


@ROWS.trial("46", "old value stored after an invalidation",
            "10^6 invalidations, in CI 20,000, by tag, key, category and pattern, race computations: alone, in "
            "batches, followed, refreshed in the background, kept in the process, in another process",
            variants=EITHER, limits=QUIET, patience_s=1500,
            tests=("tests/clients/test_fenced_writes.py::test_no_old_value_comes_back",
                   "tests/clients/test_local_races.py::test_no_old_value_comes_back_in_the_process_that_invalidates",
                   "tests/clients/test_scenarios_of_invalidation.py::a_computation_that_was_overtaken_is_not_stored",
                   "tests/clients/test_policies_at_work.py::a_refresh_that_an_invalidation_overtook_is_refused"),
)  # fmt: skip
def overtaken(place: Place, form: str, path: str) -> Figures:
    """0 old values, though writes were refused; half of the invalidations on the fast path, half on the plain one."""
    count = (SHORT if place.short else LONG) // 2
    command = [sys.executable, "-m", "faults.overtaking", place.url, str(place.folder), path]
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    other = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "ready\n"
    total, recorders, told = Figures(), [], {}
    for name, category, share, more in (
        ("store alone", "prompt", 0.5, {}),
        ("kept in the process", "prompt", 0.3, {"local_categories": "prompt"}),
        ("refreshed in the background", AHEAD.name, 0.2, {}),
    ):
        if category == AHEAD.name:
            # the other process asks for prompts, which are not what is invalidated from here on
            told = json.loads(other.communicate("end\n", timeout=60)[0])
        figures, recorder = _race(place, path, category, int(share * count), **more)
        recorders.append(recorder)
        total.calls += figures.calls
        total.wrong += figures.wrong
        total.more[name] = figures.more
    total.calls += told["asked"]
    total.wrong += told["wrong"]
    total.more["another process"] = told
    total.more["writes refused"] = refused(*recorders) + told["refused"]
    total.errors += refused(*recorders) == 0 or told["refused"] == 0
    return total


def main(url: str, folder: str, path: str) -> None:
    """Another process's callers, until a line comes."""
    recorder = Recorder()
    truth = Truth(Path(folder) / "truth", 1)
    with Cache.from_url(url, **settings(path, recorder=recorder, **PATIENT)) as cache:
        racing = Racing(cache, truth, "prompt")
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(racing.repeat, act) for act in (racing.one, racing.many)]
            print("ready", flush=True)
            sys.stdin.readline()
            racing.over.set()
            for each in running:
                each.result(60)
    told = {"asked": racing.asked.total(), "wrong": racing.wrong.total(), "refused": refused(recorder)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
