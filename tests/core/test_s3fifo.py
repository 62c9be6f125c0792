"""S3-FIFO: what stays, what goes, and that the bytes keep within the bound."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest

from cache.core.s3fifo import MAIN, MOST_HITS, SMALL, Ghost, Item, S3Fifo


class Sized(Item):
    """An item of so many bytes."""

    __slots__ = ("bytes",)

    def __init__(self, name: str, size: int = 100) -> None:
        super().__init__(name)
        self.bytes = size

    def size(self) -> int:
        return self.bytes

    def empty(self) -> None:
        pass


def ask(fifo: S3Fifo[Sized], name: str, size: int = 100) -> bool:
    """Look a name up and take it in when it is not there; True for a hit."""
    found = fifo.index.get(name)
    if found is not None:
        found.hits = min(MOST_HITS, found.hits + 1)
        return True
    fifo.put(Sized(name, size))
    list(fifo.evict())
    return False


def test_what_is_asked_for_once_leaves_and_what_is_asked_for_again_stays() -> None:
    """A scan of ten times the bound does not push out what is asked for all the time."""
    fifo: S3Fifo[Sized] = S3Fifo(100_000)
    hot = [f"hot{n}" for n in range(50)]
    for n in range(10_000):
        ask(fifo, hot[n % 50])
        ask(fifo, f"once{n}")
    assert all(name in fifo.index for name in hot)
    assert {fifo.index[name].place for name in hot} == {MAIN}


def test_what_comes_back_soon_enters_the_main_queue() -> None:
    """The ghost remembers who left lately, and only them."""
    fifo: S3Fifo[Sized] = S3Fifo(50_000)
    for n in range(600):
        ask(fifo, f"k{n}")
    gone = [name for name in (f"k{n}" for n in range(600)) if name not in fifo.index]
    ask(fifo, gone[-1])
    ask(fifo, "new")
    assert (fifo.index[gone[-1]].place, fifo.index["new"].place) == (MAIN, SMALL)


def test_the_ghost_forgets() -> None:
    """A name is remembered once, and not for longer than as many departures as there are cells."""
    ghost = Ghost(16)
    ghost.add("a")
    assert ghost.take("a")
    assert not ghost.take("a")
    ghost.add("b")
    for n in range(100):
        ghost.add(f"later{n}")
    assert not ghost.take("b")


@pytest.mark.parametrize("seed", range(5))
def test_the_bytes_keep_within_the_bound_and_are_counted_exactly(seed: int) -> None:
    """Whatever is put in, replaced and removed: the sum is that of the items, and nothing is left over."""
    dice, fifo = random.Random(seed), S3Fifo[Sized](200_000)
    empty = fifo.used
    for _ in range(20_000):
        name = f"k{dice.randrange(3000)}"
        if dice.random() < 0.2 and name in fifo.index:
            fifo.remove(fifo.index[name])
        elif dice.random() < 0.3:
            fifo.put(Sized(name, dice.randrange(300, 2000)))
            list(fifo.evict())
        else:
            ask(fifo, name, dice.randrange(300, 2000))
        assert fifo.used <= 200_000
    held = sum(item.size() for item in fifo.index.values())
    assert fifo._bytes[SMALL] + fifo._bytes[MAIN] == held
    for item in list(fifo.index.values()):
        fifo.remove(item)
    assert len(fifo) == 0
    assert fifo._bytes == [0, 0, 0]
    fifo.clear()
    assert fifo.used <= empty + 1000


def test_it_is_no_worse_than_lru_where_few_are_popular() -> None:
    """On a Zipf trace with one-hit wonders, the case the paper is about, it misses less than LRU of the same size."""
    dice = random.Random(7)
    popular = [f"p{n}" for n in range(2000)]
    weights = [1 / (n + 1) for n in range(2000)]
    trace = dice.choices(popular, weights, k=30_000)
    trace = [name if dice.random() < 0.7 else f"once{n}" for n, name in enumerate(trace)]
    fifo: S3Fifo[Sized] = S3Fifo(60_000)
    fifo.max_bytes = 20_000 + fifo.used
    hits = sum(ask(fifo, name) for name in trace)
    room, lru, lru_hits = len(fifo), OrderedDict[str, None](), 0
    for name in trace:
        lru_hits += name in lru
        lru[name] = None
        lru.move_to_end(name)
        if len(lru) > room:
            lru.popitem(last=False)
    assert hits > lru_hits


def test_removed_items_do_not_pile_up() -> None:
    """Replacing one item for ever takes the memory of a bounded number of shells."""
    fifo: S3Fifo[Sized] = S3Fifo(10_000_000)
    for _ in range(20_000):
        fifo.put(Sized("k"))
    assert len(fifo._small) + len(fifo._main) < 1100
    assert len(fifo) == 1
