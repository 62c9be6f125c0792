"""A history check: processes ask, set, delete and invalidate at random while the store has faults.

The source of each key is versioned by the processes themselves, in memory that they share: who changes a key first
counts up its version, then invalidates it (or deletes, or sets the new value), then, when the cache said that it was
done, raises the floor. A value is legal when it was the key's at some time between the call and its return: its
version is not below the floor at the call, nor above the version at the return. An answer that the cache itself
counts as stale is a stale one on purpose, and is counted apart.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cache import MISS, Cache
from faults.figures import Figures
from faults.place import Place
from faults.registry import Catalogue
from faults.truth import KEYS, Truth

ROWS = Catalogue("Histories")

PROCESSES = 8
LONG_S, SHORT_S = 600.0, 20.0
TESTS = Path(__file__).resolve().parent.parent
PROMPTS = KEYS // 2
"""Keys below are contexts, with a tag; those from here on are prompts, which are deleted and swept."""


class History:
    """One process's part of it.

    Args:
        url: of the store.
        truth: shared by all.
        folder: of the keys' locks: a key is changed by one process at a time.
    """

    def __init__(self, url: str, truth: Truth, folder: Path, settings: dict[str, Any]) -> None:
        self._truth, self._folder = truth, folder
        self._cache = Cache.from_url(url, **settings)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def go_on(self, until: float) -> None:
        """Do something at random until the time is over."""
        acts = [self._ask] * 8 + [self._ask_all] + [self._look] * 4 + [self._change] * 2
        with self._cache:
            while time.time() < until:
                key = random.randrange(KEYS)
                try:
                    random.choice(acts)(key)
                except Exception as trouble:
                    self.wrong.append(f"error: {type(trouble).__name__}: {trouble}"[:200])

    def _place(self, key: int) -> tuple[str, Any]:
        return ("context", (f"t{key}", 0)) if key < PROMPTS else ("prompt", f"k{key}")

    def _judge(self, key: int, lowest: int, value: Any, how: str) -> None:
        if value is MISS:
            self.counts[f"{how}: miss"] += 1
            return
        self.counts[how] += 1
        if isinstance(value, dict) and value["version"] < lowest and self._truth.is_unsure(key, value["version"]):
            # a set whose answer was lost takes effect when the server gets to it, perhaps after another one
            self.counts["a set without an answer came late"] += 1
        elif not self._truth.legal(key, lowest, value):
            self.wrong.append(f"{how} of {key}: {value}, legal {lowest} to {self._truth.version(key)}")

    def _ask(self, key: int) -> None:
        lowest = self._truth.floor(key)
        value = self._cache.get_or_compute(*self._place(key), lambda: self._truth.compute(key))
        self._judge(key, lowest, value, "get_or_compute")

    def _ask_all(self, key: int) -> None:
        keys = [one for one in range(PROMPTS, KEYS) if one % 4 == key % 4]
        lowest = [self._truth.floor(one) for one in keys]
        values = self._cache.get_or_compute_many(
            "prompt", [f"k{one}" for one in keys], lambda names: [self._truth.compute(int(name[1:])) for name in names]
        )
        for one, low, value in zip(keys, lowest, values, strict=True):
            self._judge(one, low, value, "get_or_compute_many")

    def _look(self, key: int) -> None:
        lowest = self._truth.floor(key)
        self._judge(key, lowest, self._cache.get(*self._place(key)), "get")

    def _change(self, key: int) -> None:
        with self._alone(key):
            version = self._truth.change(key)
            if key < PROMPTS:
                done, how = self._cache.invalidate(tags=[f"task:t{key}"]) > 0, "tag"
            elif random.random() < 0.05:
                done, how = self._sweep(key), "pattern"
            elif random.random() < 0.5:
                self._cache.delete(*self._place(key))
                done, how = not self._cache.pending, "delete"
            else:
                done, how = self._cache.set(*self._place(key), {"key": key, "version": version}), "set"
            # what the store did not take is still to come, in this process before it reads or writes again
            mine = how != "set" or done
            self.counts[how if done else f"{how}: not done"] += 1
            if not mine:
                self._truth.unsure(key, version)
            else:
                self._truth.raise_floor(key, version, everywhere=done)

    def _sweep(self, key: int) -> bool:
        self._cache.invalidate(pattern="prompt:*")
        return not self._cache.pending

    @contextmanager
    def _alone(self, key: int) -> Iterator[None]:
        descriptor = os.open(self._folder / f"lock-{key}", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def disturb(place: Place, until: float) -> Counter[str]:
    """Faults of the store, at random, until the time is over."""
    struck: Counter[str] = Counter()
    while (left := until - time.time()) > 1:
        time.sleep(min(left - 1, random.uniform(0.3, 1.0)))
        fault = random.choice(("freeze", "restart", "flush", "kill clients", "scripts", "delay", "cut", "lose"))
        struck[fault] += 1
        if fault == "freeze":
            place.server.freeze()
            time.sleep(random.uniform(0.02, 0.4))
            place.server.thaw()
        elif fault == "restart":
            place.server.restart()
        elif fault == "flush":
            place.admin.flushall()
        elif fault == "kill clients":
            place.drop_callers()
        elif fault == "scripts":
            place.admin.script_flush()
        elif fault == "delay":
            place.network.delay(0.01, 0.08)
            time.sleep(0.3)
            place.network.heal()
        elif fault == "cut":
            place.network.cut_open_after(random.randrange(200))
        else:
            for name in place.admin.scan_iter("gen:*", count=1000):
                if random.random() < 0.3:
                    place.admin.delete(name)
    return struck


@ROWS.trial("H1", "random operations of 8 processes under random faults: every value legal at some time of its call",
            "freezes, restarts, flushes, cuts, delays, lost generations", proxy=True, patience_s=LONG_S + 120,
            variants=(("sync", "fast"),))  # fmt: skip
def histories(place: Place, form: str, path: str) -> Figures:
    seconds = SHORT_S if place.short else LONG_S
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    urls = [place.server.tcp_url, place.network.url]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "faults.history", urls[slot % 2], str(place.folder), str(slot)],
            env={**environment, "CACHE_FAST_PATH": "false" if slot % 4 == 3 else "true"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for slot in range(PROCESSES)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    until = time.time() + seconds
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{until}\n")
        process.stdin.flush()
    struck = disturb(place, until)
    figures, counts = Figures(), Counter[str]()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        told = json.loads(out)
        counts.update(told["counts"])
        errors = [one for one in told["wrong"] if one.startswith("error")]
        figures.errors += len(errors)
        figures.wrong += len(told["wrong"]) - len(errors)
        if told["wrong"]:
            figures.more["first of them"] = told["wrong"][0]
    figures.calls = sum(counts.values())
    figures.more |= {"operations": dict(sorted(counts.items())), "faults": dict(struck), "seconds": seconds}
    return figures


def main(url: str, folder: str, slot: str) -> None:
    """One process's part; begins when it is told until when."""
    one = History(url, Truth(Path(folder) / "truth", int(slot) + 1), Path(folder), {})
    print("ready", flush=True)
    one.go_on(float(sys.stdin.readline()))
    print(json.dumps({"counts": dict(one.counts), "wrong": one.wrong[:1000]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
