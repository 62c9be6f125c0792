"""Writers, invalidators and readers over a cluster whose primaries freeze, die and hand slots on: no old value."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Self

from support.cluster import Cluster, until

from cache import Cache

KEYS = [f"key{n}" for n in range(8)]
ROUNDS = 1
"""Of all faults; more of them are the soak's."""


class History:
    """The truth of each key, and what a reader may see at least: what an invalidation that has ended left behind."""

    def __init__(self, caches: list[Cache]) -> None:
        self.caches = caches
        self.truth = dict.fromkeys(KEYS, 0)
        self.floors: list[dict[str, int]] = [dict.fromkeys(KEYS, 0) for _ in caches]
        self.wrong: list[Any] = []
        self.errors: list[BaseException] = []
        self.reads = self.invalidations = self.refused = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(n,)) for n in range(len(caches)) for _ in range(2)]
        self._threads.append(threading.Thread(target=self._change))

    def _read(self, number: int) -> None:
        cache, floors, pick = self.caches[number], self.floors[number], random.Random(number)
        while not self._stop.is_set():
            key = pick.choice(KEYS)
            least = floors[key]
            try:
                found = cache.get_or_compute("prompt", key, lambda key=key: self.truth[key], tags=[key])
            except BaseException as error:
                self.errors.append(error)
                return
            self.reads += 1
            if found < least:
                self.wrong.append((number, key, found, least))

    def _change(self) -> None:
        """Change the truth, then invalidate; once that has ended nobody may see what was before."""
        pick = random.Random(1)
        while not self._stop.is_set():
            key = pick.choice(KEYS)
            self.truth[key] += 1
            now = self.truth[key]
            done = self.caches[0].invalidate(tags=[key])
            # where it failed it is pending, and this very cache knows; the others cannot
            self.floors[0][key] = now
            if done:
                self.invalidations += 1
                for floors in self.floors[1:]:
                    floors[key] = now
            time.sleep(0.002)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


def test_no_old_value_whatever_happens_to_the_servers(session_cluster: Cluster) -> None:
    """Two caches of one cluster, as two processes have them, and one fault of the cluster after another."""
    cluster = session_cluster
    cluster.flush()
    deadlines = {"read_deadline": 0.2, "write_deadline": 0.2}
    caches = [Cache.from_url(cluster.url, **deadlines) for _ in range(2)]
    pick = random.Random(3)
    with History(caches) as history:
        for _ in range(ROUNDS):
            frozen = pick.choice(cluster.primaries())
            frozen.server.freeze()
            others = [node for node in cluster.nodes if node is not frozen]
            until(lambda others=others: sum(node.is_primary for node in others) == 3, "a replica takes over")
            frozen.server.thaw()
            cluster.settle()

            slot, source = cluster.slot("gen:tag:key1"), cluster.owner("gen:tag:key1")
            target = pick.choice([node for node in cluster.primaries() if node is not source])
            cluster.begin_move(slot, source, target)
            cluster.move_keys(slot, source, target)
            cluster.end_move(slot, target)

            killed = pick.choice(cluster.primaries())
            killed.server.kill()
            others = [node for node in cluster.nodes if node is not killed]
            until(lambda others=others: sum(node.is_primary for node in others) == 3, "a replica takes over")
            cluster.revive()
        until(lambda: caches[0].set("prompt", "end", 1), "the cache is back")
    for cache in caches:
        cache.close()

    print(f"{history.reads} reads, {history.invalidations} invalidations")
    assert (history.wrong, history.errors) == ([], [])
    assert history.reads > 500
    assert history.invalidations > 30
