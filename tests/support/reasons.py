"""A ledger of its own that knows why each lookup of a stress must have missed, and the stress.

It knows what was written, deleted and invalidated, by its own calls, and what the server evicted, by the server's own
events. What the cache says of its misses is never asked for.
"""

from __future__ import annotations

import fnmatch
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.faces import Stage

from cache import MISS, Computed
from cache.clock import SystemClock
from cache.core.policies import Policy
from cache.stores.files import fingerprint

CATEGORY = "stress"
POLICY = Policy(name=CATEGORY, ttl_s=60, jitter=0.0, stale_window_s=0.02)
KEYS, TAGS = 2500, 24
VALUE = "".join(map(chr, range(97, 123))) * 80
ROOM = 2_000_000
"""Bytes that the server has for them: less than a half of what they take."""

LIVES = (0.1, 0.4, 60.0, 60.0, 60.0)
"""Seconds: the first ones are over by the server's own clock while the stress runs."""

Why = tuple[str, str | None]
"""Reason and trigger."""


class Ahead(SystemClock):
    """A clock that goes a minute ahead: no file was changed just now."""

    def time(self) -> float:
        return super().time() + 60


@dataclass
class Written:
    """The last write of a key, and what has happened to it since.

    Args:
        earliest, latest: between these its entry expires, seconds of the monotonic clock.
        invalid: what made it invalid.
    """

    earliest: float
    latest: float
    tag: str
    invalid: set[str] = field(default_factory=set)


class Ledger:
    """What is true of each key.

    Args:
        names: the Redis keys, by number.
    """

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.written: dict[int, Written] = {}
        self.matrix: Counter[tuple[str, str]] = Counter()
        self.triggers: Counter[tuple[str | None, str | None]] = Counter()
        self.evicted: set[int] = set()
        self.unsure = 0

    def wrote(self, n: int, began: float, life: float, tag: str) -> None:
        self.written[n] = Written(began + life, time.perf_counter() + life, tag)

    def invalidated(self, trigger: str, numbers: Any) -> None:
        for n in numbers:
            if n in self.written:
                self.written[n].invalid.add(trigger)

    def matching(self, glob: str) -> list[int]:
        return [n for n, name in enumerate(self.names) if fnmatch.fnmatchcase(name, glob)]

    def missed(self, n: int, began: float, said: Why) -> None:
        """Judge one miss; ``began``: of the lookup, which has just ended."""
        last, ended = self.written.get(n), time.perf_counter()
        if last is None:
            self.judged("cold", said)
        elif last.invalid:
            self.judged("invalidated", said)
            expected = said[1] if said[1] in last.invalid else min(last.invalid)
            if said[0] == "invalidated":
                self.triggers[expected, said[1]] += 1
        elif began >= last.latest:
            self.judged("expired", said)
        elif ended < last.earliest - 0.25:
            self.judged("evicted", said)
            self.evicted.add(n)
        else:
            self.unsure += 1

    def judged(self, truth: str, said: Why) -> None:
        self.matrix[truth, said[0]] += 1

    def right(self, truth: str) -> float:
        """Share of the misses of a true reason that were told rightly."""
        return self.matrix[truth, truth] / sum(n for (true, _), n in self.matrix.items() if true == truth)

    def said(self, reason: str) -> float:
        """Share of all misses that were told so."""
        return sum(n for (_, told), n in self.matrix.items() if told == reason) / self.matrix.total()

    def table(self) -> str:
        """The confusion matrix as text, a row for each truth."""
        columns = sorted({told for _, told in self.matrix})
        rows = [["truth", *columns, "right"]]
        rows += [
            [truth, *(str(self.matrix[truth, told]) for told in columns), f"{self.right(truth):.2%}"]
            for truth in sorted({true for true, _ in self.matrix})
        ]
        return "\n".join("".join(cell.rjust(13) for cell in row) for row in rows)


class Stress:
    """Evictions, expiry and invalidations at once, over two caches on one server: each reads what the other wrote.

    Args:
        stage: its cache is one of them.
        folder: for a file that a value is made from.
    """

    def __init__(self, stage: Stage, folder: Path, seed: int = 7) -> None:
        self.random = random.Random(seed)
        self.caches = [stage.another((POLICY,), clock=Ahead()) for _ in range(2)]
        engine = (self.caches[0].cache if stage.kind == "sync" else self.caches[0])._engine
        self.name = lambda key: engine.shelf(CATEGORY).want(key).address.name
        self.ledger = Ledger([self.name(f"k{n}") for n in range(KEYS)])
        self.stage, self.file = stage, folder / "file"
        self.file.write_text("one")

    async def run(self, steps: int) -> Ledger:
        for step in range(1, steps + 1):
            await self._step()
            if step % 250 == 0:
                await self._by_tag()
            if step % 1000 == 0:
                await self._by_pattern()
            if step == 2 * steps // 3:
                await self._by_category()
            if step % 300 == 0:
                await self._spoil()
        for cache in self.caches:
            await cache.aclose()
        return self.ledger

    def _cache(self) -> Any:
        return self.random.choice(self.caches)

    async def _step(self) -> None:
        # few keys are asked for often, many seldom
        n = int(KEYS * self.random.random() ** 2)
        tag, began = f"t{n % TAGS}", time.perf_counter()
        cache = self._cache()
        found = await cache.lookup(CATEGORY, f"k{n}", tags=[tag])
        if found.value is MISS:
            self.ledger.missed(n, began, (str(found.miss_reason), found.miss_trigger and str(found.miss_trigger)))
            began, life = time.perf_counter(), self.random.choice(LIVES)
            if await cache.set(CATEGORY, f"k{n}", VALUE, ttl=life, tags=[tag]):
                self.ledger.wrote(n, began, life, tag)
        elif self.random.random() < 0.03:
            await self._cache().delete(CATEGORY, f"k{n}")
            self.ledger.invalidated("key", [n])

    async def _by_tag(self) -> None:
        tag = f"t{self.random.randrange(TAGS)}"
        assert await self._cache().invalidate(tags=[tag]) == 1
        self.ledger.invalidated("tag", [n for n, last in self.ledger.written.items() if last.tag == tag])

    async def _by_pattern(self) -> None:
        glob = f"{CATEGORY}:{self.random.choice('0123456789abcdef')}*"
        await self._cache().invalidate(pattern=glob)
        # of those that matched: what had expired was not there any more
        began, written = time.perf_counter(), self.ledger.written
        there = [n for n in self.ledger.matching(glob) if n in written and began < written[n].latest]
        self.ledger.invalidated("pattern", there)

    async def _by_category(self) -> None:
        assert await self._cache().invalidate(category=CATEGORY) == 1
        self.ledger.invalidated("category", range(KEYS))

    async def _spoil(self) -> None:
        """What somebody else did to a key is asked for at once, before the server may let it go."""
        cache, text = self._cache(), "foreign"
        await cache.set(CATEGORY, "spoilt", VALUE)
        with self.stage.server() as server:
            name = self.name("spoilt")
            sound = server.get(name)
            for truth, raw in (
                ("version", text.encode()),
                ("corrupt", sound and sound[:-1] + bytes([sound[-1] ^ 1])),
            ):
                server.set(name, raw)
                self.ledger.judged(truth, (str((await cache.lookup(CATEGORY, "spoilt")).miss_reason), None))
            server.set(self.name("other"), sound)
            self.ledger.judged("collision", (str((await cache.lookup(CATEGORY, "other")).miss_reason), None))
        await self._change(cache)

    async def _change(self, cache: Any) -> None:
        self.file.write_text(str(self.random.random()))
        printed = fingerprint(self.file)
        await cache.get_or_compute(CATEGORY, "file", lambda: Computed(VALUE, files=(printed,)))
        self.file.write_text("another text")
        self.ledger.judged("changed", (str((await cache.lookup(CATEGORY, "file")).miss_reason), None))
