"""Races: rows 46 to 65. Most are scenes with a barrier inside the computation."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cache import MISS, AsyncCache, Cache, Policy
from cache.clock import Deadline, SystemClock
from cache.core.local import LEASE_S
from cache.core.steps import Call
from cache.errors import StoreError
from cache.testing import ManualClock
from faults.callers import name_of
from faults.figures import Figures, Limits
from faults.place import Place
from faults.registry import Catalogue
from faults.resources import ASYNC, EITHER, QUIET, settings
from faults.truth import KEYS
from telemetry.recorder import Recorder

ROWS = Catalogue("Races")

PATIENT = {"read_deadline": 2, "write_deadline": 2}
TESTS = Path(__file__).resolve().parent.parent
_SCENES = "tests/clients/test_scenarios_of_invalidation.py"
_FLIGHTS = "tests/clients/test_flights.py"
_POLICIES = "tests/clients/test_policies_at_work.py"


@ROWS.trial("47", "generation lost while a value is computed", "DEL of each generation, FLUSHALL, restart",
            variants=EITHER, limits=QUIET, tests=(f"{_SCENES}::a_fence_that_vanished_refuses",))  # fmt: skip
def lost(place: Place, form: str, path: str) -> Figures:
    """The write is refused; who asks next computes anew."""
    figures = Figures()
    recorder = Recorder()
    with Cache.from_url(place.url, recorder=recorder, **settings(path, **PATIENT)) as cache:
        for turn in range(5 if place.short else 50):
            for how in ("DEL", "FLUSHALL", "restart") if turn < 5 else ("DEL", "FLUSHALL"):

                def old(how: str = how) -> str:
                    if how == "DEL":
                        place.admin.delete(*place.admin.keys("gen:*"))
                    elif how == "FLUSHALL":
                        place.admin.flushall()
                    else:
                        place.server.restart()
                    return "old"

                figures.wrong += cache.get_or_compute("context", (f"{how}{turn}", 0), old) != "old"
                figures.wrong += cache.get("context", (f"{how}{turn}", 0)) is not MISS
                figures.calls += 1
    figures.more["writes refused"] = refused(recorder)
    figures.errors += refused(recorder) < figures.calls // 2
    return figures


def refused(*recorders: Recorder) -> int:
    """How many writes fences refused."""
    return sum(
        count
        for recorder in recorders
        for (_, result), count in recorder.ledger.figures().writes.items()
        if result == "refused"
    )


@ROWS.trial("48", "reader joins a flight from before an invalidation", "a barrier in the computation", variants=EITHER,
            limits=QUIET, tests=(f"{_FLIGHTS}::test_a_flight_from_before_an_invalidation_is_not_joined",))  # fmt: skip
def older_flight(place: Place, form: str, path: str) -> Figures:
    figures = Figures()
    with Cache.from_url(place.url, **settings(path, **PATIENT)) as cache, ThreadPoolExecutor(1) as pool:
        for turn in range(20 if place.short else 500):
            begun, land = threading.Event(), threading.Event()

            def old(begun: threading.Event = begun, land: threading.Event = land) -> str:
                begun.set()
                land.wait(10)
                return "old"

            way: dict[str, Any] = (
                {"tags": [f"task:t{turn}"]},
                {"category": "context"},
                {"pattern": f"context:t{turn}:*"},
            )[turn % 3]
            first = pool.submit(cache.get_or_compute, "context", (f"t{turn}", 0), old)
            begun.wait(10)
            cache.invalidate(**way)
            figures.wrong += cache.get_or_compute("context", (f"t{turn}", 0), lambda: "new") != "new"
            land.set()
            first.result(10)
            figures.wrong += cache.get("context", (f"t{turn}", 0)) == "old"
            figures.calls += 2
    return figures


@ROWS.trial("49", "backfill of the local tier races an invalidation", "proxy: +10 ms before each reply", proxy=True,
            variants=EITHER, limits=QUIET,
            tests=("tests/clients/test_local_races.py::test_no_old_value_comes_back_in_the_process_that_invalidates",
                   "tests/clients/test_local_races.py::test_another_processs_changes_are_seen_within_the_lease",
                   "tests/core/test_local.py::test_what_a_look_brings_too_late_is_not_kept"))  # fmt: skip
def backfilled(place: Place, form: str, path: str) -> Figures:
    """Looks are on their way while the same process invalidates: the local tier never answers old afterwards."""
    figures, truth = Figures(), place.truth
    place.network.delay(0.01, 0.01)
    local = {"local_categories": "context"}
    with Cache.from_url(place.url, **settings(path, **PATIENT, **local)) as cache, ThreadPoolExecutor(4) as pool:
        over = threading.Event()

        def ask() -> int:
            asked = 0
            while not over.is_set():
                key = random.randrange(4)
                lowest = truth.floor(key)
                value = cache.get_or_compute("context", name_of(key), lambda key=key: truth.compute(key))
                figures.wrong += not truth.legal(key, lowest, value)
                asked += 1
            return asked

        asking = [pool.submit(ask) for _ in range(4)]
        for turn in range(40 if place.short else 500):
            key = turn % 4
            version = truth.change(key)
            done = cache.invalidate(tags=[f"task:t{key}"])
            truth.raise_floor(key, version, everywhere=done > 0)
        over.set()
        figures.calls = sum(each.result(30) for each in asking)
    return figures


@ROWS.fault("51a", "tracking connection killed, every 200 ms", "CLIENT KILL", every_s=0.2,
            settings={"local_categories": "context"}, limits=Limits(burst_ms=None), variants=(*EITHER, *ASYNC),
            tests=("tests/stores/test_tracking.py::test_a_server_that_comes_back_is_listened_to_again",))  # fmt: skip
def untracked(place: Place) -> Iterator[None]:
    while True:
        place.drop_callers()
        place.admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        yield


@ROWS.fault("51b", "tracking connection silent", "SIGSTOP beyond the lease of 1.5 s", lasts_s=5, short_s=1.7,
            settings={"local_categories": "context"}, limits=Limits(burst_ms=None), variants=(*EITHER, *ASYNC),
            tests=("tests/stores/test_tracking.py::test_a_server_that_hangs_ends_the_lease",
                   "tests/clients/test_local_tier.py::test_while_the_server_hangs_it_answers_within_the_lease_only"),
)  # fmt: skip
def silent(place: Place) -> Iterator[None]:
    place.more["lease, s"] = LEASE_S
    try:
        place.server.freeze()
        yield
    finally:
        place.server.thaw()


LEADER = """
import sys, time
from cache import Cache, Policy
url, wait_s, lock_s = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
policy = Policy(name="shared", fleet=True, wait_s=wait_s, lock_ttl_s=lock_s)
with Cache.from_url(url, policies=[policy], read_deadline=2, write_deadline=2) as cache:
    def compute():
        print("computing", flush=True)
        time.sleep(60)
    cache.get_or_compute("shared", "k", compute)
"""


@ROWS.trial("52", "leader of a fleet killed inside its computation", "SIGKILL, with the lock of 1 s held",
            variants=EITHER, limits=QUIET, tests=(f"{_FLIGHTS}::test_a_crashed_leaders_lock_ends",))  # fmt: skip
def crashed(place: Place, form: str, path: str) -> Figures:
    """The next one computes when the lock is over, once among 8."""
    figures, lock_s, computed = Figures(), 1.0, []
    command = [sys.executable, "-c", LEADER, place.url, "10", str(lock_s)]
    policy = Policy(name="shared", fleet=True, wait_s=10, lock_ttl_s=lock_s)
    given = settings(path, policies=[policy], **PATIENT)
    with Cache.from_url(place.url, **given) as cache, ThreadPoolExecutor(8) as pool:
        cache.get("shared", "another")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as leader:
            assert leader.stdout is not None
            assert leader.stdout.readline() == "computing\n"
            leader.send_signal(signal.SIGKILL)
        began = time.perf_counter()
        asked = [pool.submit(cache.get_or_compute, "shared", "k", lambda: computed.append(1) or 7) for _ in range(8)]
        figures.wrong = sum(each.result(30) != 7 for each in asked)
        took = time.perf_counter() - began
    figures.calls, figures.origin = 8, float(len(computed))
    figures.errors += took > lock_s + 0.5
    figures.more["waited, s"] = round(took, 2)
    return figures


@ROWS.trial("53", "lock over before the computation", "a computation of three times the lock's life",
            variants=EITHER, limits=QUIET)  # fmt: skip
def outlived(place: Place, form: str, path: str) -> Figures:
    """Two caches compute; what an invalidation overtook is refused, and nobody gives back another's lock."""
    figures = Figures()
    policy = Policy(name="shared", fleet=True, wait_s=5, lock_ttl_s=0.1)
    given = settings(path, **PATIENT)
    recorders = Recorder(), Recorder()
    with (
        Cache.from_url(place.url, policies=[policy], recorder=recorders[0], **given) as one,
        Cache.from_url(place.url, policies=[policy], recorder=recorders[1], **given) as two,
        ThreadPoolExecutor(2) as pool,
    ):
        for turn in range(3 if place.short else 20):
            begun, land = threading.Event(), threading.Event()

            def slow(begun: threading.Event = begun, land: threading.Event = land) -> str:
                begun.set()
                land.wait(10)
                return "old"

            late = pool.submit(one.get_or_compute, "shared", f"k{turn}", slow, tags=["t"])
            begun.wait(10)
            threading.Event().wait(0.15)
            two.invalidate(tags=["t"])
            figures.wrong += two.get_or_compute("shared", f"k{turn}", lambda: "new", tags=["t"]) != "new"
            land.set()
            late.result(10)
            figures.wrong += two.get("shared", f"k{turn}", tags=["t"]) != "new"
            figures.calls += 2
    figures.more["writes refused"] = refused(*recorders)
    figures.errors += refused(*recorders) == 0
    return figures


@ROWS.trial("54", "leader cancelled, followers waiting", "task.cancel() at each stage of the leader's way",
            variants=ASYNC, limits=QUIET, tests=(f"{_FLIGHTS}::test_a_cancelled_leader_hands_over",))  # fmt: skip
def deserted(place: Place, form: str, path: str) -> Figures:
    figures = Figures()

    async def main() -> None:
        async with AsyncCache.from_url(place.url, **settings(path, **PATIENT)) as cache:
            for turn in range(30 if place.short else 600):
                computed: list[int] = []

                async def compute(computed: list[int] = computed) -> int:
                    computed.append(1)
                    await asyncio.sleep(0.002)
                    return 5

                leader = asyncio.create_task(cache.get_or_compute("prompt", f"k{turn}", compute))
                for _ in range(turn % 30):
                    await asyncio.sleep(0)
                others = [asyncio.create_task(cache.get_or_compute("prompt", f"k{turn}", compute)) for _ in range(5)]
                await asyncio.sleep(0)
                leader.cancel()
                answers = await asyncio.gather(leader, *others, return_exceptions=True)
                figures.wrong += sum(answer != 5 for answer in answers[1:])
                figures.origin = max(figures.origin or 0.0, float(len(computed)))
                figures.calls += 5
            figures.leaks = len(cache._engine.flights._groups)

    asyncio.run(main())
    return figures


@ROWS.trial("55", "computation raises", "100 followers, over and over", variants=ASYNC, limits=QUIET,
            tests=(f"{_FLIGHTS}::test_a_leaders_error_reaches_its_followers",
                   f"{_POLICIES}::failures_are_remembered_where_the_policy_says_so",
                   f"{_POLICIES}::an_invalidation_forgets_failures",
                   f"{_POLICIES}::a_refresh_that_fails_reaches_nobody"))  # fmt: skip
def raising(place: Place, form: str, path: str) -> Figures:
    """One computation, one and the same error for all, not kept; tracebacks do not grow."""
    figures = Figures()

    async def main() -> None:
        async with AsyncCache.from_url(place.url, **settings(path, **PATIENT)) as cache:
            longest = 0
            for turn in range(5 if place.short else 100):
                error, computed = KeyError("origin"), []

                async def compute(error: KeyError = error, computed: list[int] = computed) -> Any:  # type: ignore[assignment]
                    computed.append(1)
                    await asyncio.sleep(0.05)
                    raise error

                asked = [cache.get_or_compute("prompt", f"k{turn}", compute) for _ in range(100)]
                answers = await asyncio.gather(*asked, return_exceptions=True)
                figures.errors += sum(answer is not error for answer in answers)
                figures.origin = max(figures.origin or 0.0, float(len(computed)))
                depth, frame = 0, error.__traceback__
                while frame is not None:
                    depth, frame = depth + 1, frame.tb_next
                longest = max(longest, depth)
                figures.calls += 100
            figures.more["frames of the traceback"] = longest

    asyncio.run(main())
    return figures


@ROWS.trial("56", "computation hangs", "a computation that never ends; followers wait 0.1 s", variants=ASYNC,
            limits=QUIET, tests=(f"{_FLIGHTS}::test_a_follower_waits_a_bounded_time",))  # fmt: skip
def hanging(place: Place, form: str, path: str) -> Figures:
    """Followers compute by themselves after ``wait_s``; a cancelled leader leaves nothing behind."""
    figures, policy = Figures(), Policy(name="slow", wait_s=0.1)

    async def main() -> None:
        async with AsyncCache.from_url(place.url, policies=[policy], **settings(path, **PATIENT)) as cache:
            leader = asyncio.create_task(cache.get_or_compute("slow", "k", asyncio.Event().wait))
            await asyncio.sleep(0.05)
            began = time.perf_counter()
            values = await asyncio.gather(*(cache.get_or_compute("slow", "k", lambda: 7) for _ in range(20)))
            took = time.perf_counter() - began
            leader.cancel()
            await asyncio.gather(leader, return_exceptions=True)
            figures.wrong, figures.calls = sum(value != 7 for value in values), 20
            figures.errors += took > 0.5
            figures.more["followers waited, ms"] = round(took * 1000)
            figures.leaks = len(cache._engine.flights._groups)

    asyncio.run(main())
    return figures


HERD = """
import json, sys, threading, time
from cache import Cache, Policy
url, threads, fast = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "fast"
policy = Policy(name="shared", fleet=True)
cache = Cache.from_url(url, policies=[policy], read_deadline=2, write_deadline=2, fast_path=fast, max_connections=256)
computed, wrong, took = [], [], []
def compute():
    computed.append(1)
    time.sleep(0.3)
    return {"k": 1}
def ask():
    began = time.perf_counter()
    value = cache.get_or_compute("shared", "k", compute)
    took.append(time.perf_counter() - began)
    if value != {"k": 1}:
        wrong.append(value)
crowd = [threading.Thread(target=ask) for _ in range(threads)]
print("ready", flush=True)
sys.stdin.readline()
for each in crowd: each.start()
for each in crowd: each.join()
print(json.dumps({"computed": len(computed), "wrong": len(wrong), "longest": max(took)}), flush=True)
cache.close()
"""


@ROWS.trial("58", "herd on one key", "4 processes of 250 threads, in CI of 50, at once on a cold key", variants=EITHER,
            limits=Limits(burst_ms=None, lag_ms=None, recovery_s=None, origin=1.0),
            tests=(f"{_FLIGHTS}::test_64_threads_compute_once", f"{_FLIGHTS}::test_64_tasks_compute_once",
                   f"{_FLIGHTS}::test_a_fleet_computes_once"))  # fmt: skip
def herded(place: Place, form: str, path: str) -> Figures:
    crowd = 50 if place.short else 250
    command = [sys.executable, "-c", HERD, place.url, str(crowd), path]
    herd = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    figures = Figures(calls=4 * crowd)
    for one in herd:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in herd:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [json.loads(one.communicate(timeout=120)[0]) for one in herd]
    figures.wrong = sum(one["wrong"] for one in told)
    figures.origin = float(sum(one["computed"] for one in told))
    figures.more["longest wait, ms; the computation takes 300"] = round(max(one["longest"] for one in told) * 1000)
    return figures


@ROWS.trial("59", "mass expiry", "10^5 keys of one TTL, in CI 10^4, written at once; a clock that is moved",
            limits=QUIET, variants=EITHER,
            tests=("tests/core/test_ttl.py::test_jitter_only_ever_shortens",))  # fmt: skip
def expiring(place: Place, form: str, path: str) -> Figures:
    """Computations in each hundredth of the TTL, over the tenth in which they expire: peak by mean."""
    figures, count, clock = Figures(), (10_000 if place.short else 100_000), _Ticking()
    with Cache.from_url(place.url, clock=clock, **settings(path, **PATIENT)) as cache:
        keys = [f"k{n}" for n in range(count)]
        for start in range(0, count, 500):
            cache.set_many("prompt", dict.fromkeys(keys[start : start + 500], 1))
        gone: list[int] = []
        clock.step(3600 * 0.9)
        left = keys
        for _ in range(11):
            clock.step(3600 * 0.01)
            values: list[Any] = []
            for start in range(0, len(left), 500):
                values += cache.get_many("prompt", left[start : start + 500])
            expired = [key for key, value in zip(left, values, strict=True) if value is MISS]
            gone.append(len(expired))
            dead = set(expired)
            left = [key for key in left if key not in dead]
    spread = [n for n in gone if n]
    figures.calls = count
    figures.more["peak by mean"] = peak = round(max(spread) / (sum(spread) / len(spread)), 2)
    figures.errors += peak > 2 or len(left) > 0
    return figures


class _Ticking(ManualClock):
    """A wall clock that is moved by hand over real monotonic time."""

    def monotonic(self) -> float:
        return time.perf_counter()


@ROWS.trial("60", "write repeated after a time-out", "SIGSTOP of 0.3 s during INCR", variants=EITHER, limits=QUIET,
            tests=("tests/stores/test_store_faults.py::test_a_reset_connection_costs_an_idempotent_step_one_repetition",),
)  # fmt: skip
def repeated(place: Place, form: str, path: str) -> Figures:
    """A step that may not be repeated is sent once: the counter is never above what was sent."""
    figures, clock = Figures(), SystemClock()
    with Cache.from_url(place.url, **settings(path)) as cache:
        store = cache._parts.runner.store
        sent = answered = 0
        for _ in range(3 if place.short else 20):
            for frozen in (False, True):
                if frozen:
                    place.server.freeze()
                try:
                    store.execute(Call(("INCR", "n"), Deadline(clock, 0.1), False))
                    answered += 1
                    sent += 1
                except StoreError as trouble:
                    sent += not trouble.sent_nothing
                threading.Event().wait(0.3 if frozen else 0.0)
                place.server.thaw()
                threading.Event().wait(0.2)
        counter = int(place.admin.get("n") or 0)
    figures.calls = sent
    figures.wrong = int(not answered <= counter <= sent)
    figures.more |= {"sent": sent, "answered": answered, "counter": counter}
    return figures


@ROWS.trial("61", "clock steps by an hour, both ways; machines an hour apart", "an injected clock",
            variants=EITHER, limits=QUIET,
            tests=("tests/clients/test_scenarios.py::a_clock_that_steps_back_harms_nothing",))  # fmt: skip
def stepped(place: Place, form: str, path: str) -> Figures:
    """Fences know no clock: what was invalidated stays so; what expires by a step is computed anew."""
    figures, clocks, truth = Figures(), (_Ticking(), _Ticking()), place.truth
    given = settings(path, **PATIENT)
    with (
        Cache.from_url(place.url, clock=clocks[0], **given) as one,
        Cache.from_url(place.url, clock=clocks[1], **given) as two,
    ):
        for turn in range(60 if place.short else 1000):
            if turn % 10 == 0:
                clocks[turn // 10 % 2].step(random.choice((-3600, 3600)))
            key = turn % KEYS
            cache, other = (one, two) if turn % 2 else (two, one)
            for each in (cache, other):
                lowest = truth.floor(key)
                value = each.get_or_compute("context", name_of(key), lambda key=key: truth.compute(key))
                figures.wrong += not truth.legal(key, lowest, value)
            version = truth.change(key)
            done = cache.invalidate(tags=[f"task:t{key}"])
            truth.raise_floor(key, version, everywhere=done > 0)
            figures.calls += 2
    return figures


def _stale(place: Place, path: str, during: Callable[[], None]) -> Figures:
    figures, computed, clock = Figures(), [], _Ticking()
    policy = Policy(name="rates", ttl_s=10, jitter=0, stale_on=(ConnectionError,))
    down = ConnectionError("origin")

    def origin() -> str:
        computed.append(1)
        raise down

    def asked() -> Any:
        try:
            return cache.get_or_compute("rates", "k", origin)
        except ConnectionError as error:
            return error

    with Cache.from_url(place.url, clock=clock, policies=[policy], **settings(path)) as cache:
        assert cache.set("rates", "k", "kept")
        clock.step(11)
        during()
        answers = [asked() for _ in range(100)]
        figures.more["answers"] = dict(Counter("kept" if one == "kept" else "the origin's error" for one in answers))
        figures.wrong = sum(one != "kept" and one is not down for one in answers)
        figures.calls, figures.origin = 100, float(len(computed))
    return figures


@ROWS.trial("62", "origin down, stale value there", "the computation raises what the policy names", variants=EITHER,
            limits=QUIET,
            tests=(f"{_POLICIES}::a_stale_value_answers_for_a_failed_origin",
                   f"{_POLICIES}::a_failed_origin_is_left_alone_for_a_second",
                   f"{_POLICIES}::a_batch_is_answered_by_stale_values_or_not_at_all",
                   f"{_POLICIES}::what_was_invalidated_never_answers"))  # fmt: skip
def origin_down(place: Place, form: str, path: str) -> Figures:
    figures = _stale(place, path, lambda: None)
    figures.errors = 100 - figures.more["answers"].get("kept", 0)
    return figures


@ROWS.trial("63", "origin down and store down", "the computation raises, SIGKILL of the store", variants=EITHER,
            limits=QUIET, tests=("tests/clients/test_scenarios.py::errors_pass_unchanged",))  # fmt: skip
def both_down(place: Place, form: str, path: str) -> Figures:
    """The origin's own error, unchanged."""
    return _stale(place, path, place.server.kill)


@ROWS.trial("64", "cold start of a fleet", "empty store, two workers of uvicorn and 16 clients at once",
            variants=(("web", "fast"),),
            limits=Limits(burst_ms=None, lag_ms=None, recovery_s=None, origin=2.0))  # fmt: skip
def cold(place: Place, form: str, path: str) -> Figures:
    """All 48 keys at once, each computation takes 50 ms: computations for each key, of two processes."""
    from faults.web import Site

    figures, site = Figures(), Site(place.folder, place.url, settings(path, **PATIENT))
    try:
        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(site.fresh, f"/slow/{n % KEYS}?seconds=0.05") for n in range(KEYS * 8)]
            for n, each in enumerate(asked):
                try:
                    figures.wrong += each.result(60).get("key") != n % KEYS
                except Exception:
                    figures.errors += 1
        figures.calls, figures.origin = len(asked), place.truth.computed() / KEYS
    finally:
        site.end()
    return figures


@ROWS.trial("65", "rolling upgrade", "entries with every other version byte, beside ours",
            variants=EITHER, limits=QUIET,
            tests=("tests/core/test_entry.py::test_what_is_not_ours_is_of_another_version",
                   f"{_SCENES}::foreign_bytes_are_repaired",
                   "tests/fleet/test_reporting.py::test_what_another_version_wrote_is_left_out"))  # fmt: skip
def upgraded(place: Place, form: str, path: str) -> Figures:
    """Another version is a miss, and the next write puts ours in its place."""
    figures = Figures()
    with Cache.from_url(place.url, **settings(path, **PATIENT)) as cache:
        cache.set("prompt", "k", "ours")
        name = cache._engine.want(cache.policies["prompt"], "k").address.name
        raw = place.admin.get(name)
        assert isinstance(raw, bytes)
        for version in range(256):
            if version == raw[2]:
                continue
            place.admin.set(name, raw[:2] + bytes([version]) + raw[3:])
            found = cache.lookup("prompt", "k")
            figures.wrong += found.value is not MISS
            figures.errors += cache.get_or_compute("prompt", "k", lambda: "new") != "new"
            figures.errors += cache.get("prompt", "k") != "new"
            figures.calls += 2
    return figures
