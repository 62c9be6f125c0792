"""Server answers: rows 16 to 29."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import redis

from cache import Cache
from faults.callers import name_of
from faults.figures import Limits
from faults.place import Place, beside
from faults.registry import Catalogue
from faults.truth import KEYS

ROWS = Catalogue("Server answers")

_STORE = "tests/stores/test_store_faults.py"
_HUGE = "tests/stores/test_huge_replies.py::test_a_reply_of_512_mib_is_refused_within_the_bound"
MIB = 1 << 20


@ROWS.fault("16", "memory full, noeviction", "CONFIG SET maxmemory 1",
            tests=(f"{_STORE}::test_a_full_server_still_reads",))  # fmt: skip
def full(place: Place) -> Iterator[None]:
    try:
        place.admin.config_set("maxmemory-policy", "noeviction")
        place.admin.config_set("maxmemory", 1)
        yield
    finally:
        place.admin.config_set("maxmemory", 256 * MIB)


@ROWS.fault("17", "eviction storm", "maxmemory of 4 MiB, allkeys-lru, ten times that written", every_s=0.05)
def evictions(place: Place) -> Iterator[None]:
    before = place.admin.info("stats")["evicted_keys"]
    place.admin.config_set("maxmemory", 4 * MIB)
    try:
        for turn in itertools.count():
            with place.admin.pipeline(transaction=False) as many:
                for n in range(200):
                    many.set(f"filler:{turn}:{n}", bytes(10_000))
                many.execute()
            yield
    finally:
        place.more["evicted"] = place.admin.info("stats")["evicted_keys"] - before
        place.admin.config_set("maxmemory", 256 * MIB)


@ROWS.fault("18", "READONLY: a demoted primary", "REPLICAOF a server that is not there",
            tests=(f"{_STORE}::test_a_demoted_primary_still_reads",))  # fmt: skip
def demoted(place: Place) -> Iterator[None]:
    try:
        place.admin.config_set("replica-serve-stale-data", "yes")
        place.admin.replicaof("127.0.0.1", "1")
        yield
    finally:
        place.admin.replicaof("NO", "ONE")


@ROWS.fault("19", "LOADING", "DEBUG RELOAD of 2,000 keys, a pause at each", lasts_s=2, short_s=2,
            options=("--enable-debug-command", "local", "--key-load-delay", "2000",
                     "--loading-process-events-interval-bytes", "1024"),
            tests=(f"{_STORE}::test_loading_is_as_if_down",))  # fmt: skip
def loading(place: Place) -> Iterator[None]:
    with place.admin.pipeline(transaction=False) as many:
        for n in range(2000):
            many.set(f"filler:{n}", bytes(100))
        many.execute()
    other = redis.Redis(unix_socket_path=place.server.socket, socket_timeout=60)
    reload = beside(lambda: other.execute_command("DEBUG", "RELOAD"))
    _until_refused(place, b"LOADING")
    try:
        yield
    finally:
        reload.join(60)
        other.close()


def _until_refused(place: Place, word: bytes) -> None:
    """Wait until the server answers with an error that begins so."""
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        try:
            place.admin.get("filler:0")
        except redis.RedisError as error:
            name = type(error).__name__
            if word.decode().lower() in f"{name} {error}".lower():
                place.more["it said"] = word.decode()
                return
        time.sleep(0.005)
    raise TimeoutError(f"the server never said {word!r}")


@ROWS.fault("20", "BUSY script", "a Lua loop without end, busy-reply-threshold 50 ms; SCRIPT KILL",
            tests=(f"{_STORE}::test_a_busy_script_counts_as_slow",))  # fmt: skip
def busy(place: Place) -> Iterator[None]:
    place.admin.config_set("busy-reply-threshold", 50)
    other = redis.Redis(unix_socket_path=place.server.socket, socket_timeout=60)
    loop = beside(lambda: other.eval("while true do end", 0))
    _until_refused(place, b"BUSY")
    try:
        yield
    finally:
        place.admin.script_kill()
        loop.join(60)
        other.close()


@ROWS.fault("21", "NOSCRIPT", "SCRIPT FLUSH every 50 ms", every_s=0.05, limits=Limits(burst_ms=None),
            tests=("tests/stores/test_store_contract.py::test_a_script_runs_though_the_server_forgot_it",))  # fmt: skip
def forgotten_scripts(place: Place) -> Iterator[None]:
    for flushed in itertools.count(1):
        place.admin.script_flush()
        place.more["flushed"] = flushed
        yield


@ROWS.fault("22", "password rotated", "CONFIG SET requirepass and CLIENT KILL; later lifted",
            tests=(f"{_STORE}::test_a_wrong_password_is_not_tried_in_a_loop",))  # fmt: skip
def rotated(place: Place) -> Iterator[None]:
    began = time.perf_counter()
    place.admin.config_set("requirepass", "another")
    place.admin.execute_command("AUTH", "another")
    place.admin.config_resetstat()
    place.drop_callers()
    try:
        yield
    finally:
        calls: dict[str, Any] = place.admin.info("commandstats")
        tried = sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("auth", "hello"))
        place.more["greetings a second"] = round(tried / (time.perf_counter() - began), 1)
        place.admin.config_set("requirepass", "")


@ROWS.fault("23", "NOPERM on scripts", "ACL SETUSER default -eval -evalsha",
            tests=(f"{_STORE}::test_noperm_degrades_that_command_only",
                   "tests/cli/test_cli.py::test_doctor_names_missing_rights"))  # fmt: skip
def no_scripts(place: Place) -> Iterator[None]:
    try:
        place.admin.acl_setuser("default", enabled=True, commands=["-eval", "-evalsha"])
        yield
    finally:
        place.admin.acl_setuser("default", enabled=True, commands=["+eval", "+evalsha"])


@ROWS.fault("24", "maxclients", "CONFIG SET maxclients 1 and CLIENT KILL",
            tests=(f"{_STORE}::test_too_many_clients_is_refused_fast",))  # fmt: skip
def too_many(place: Place) -> Iterator[None]:
    try:
        place.admin.config_set("maxclients", 1)
        place.drop_callers()
        yield
    finally:
        place.admin.config_set("maxclients", 1000)


@ROWS.fault("25", "CLIENT KILL of all, every 100 ms", "an admin's connection", every_s=0.1,
            limits=Limits(burst_ms=None),
            tests=(f"{_STORE}::test_a_reset_connection_costs_an_idempotent_step_one_repetition",))  # fmt: skip
def killed_clients(place: Place) -> Iterator[None]:
    before, began = place.admin.info("stats")["total_connections_received"], time.perf_counter()
    try:
        while True:
            place.drop_callers()
            yield
    finally:
        made = place.admin.info("stats")["total_connections_received"] - before
        place.more["connections a second"] = round(made / (time.perf_counter() - began), 1)


@ROWS.fault("26", "FLUSHALL under load, every 250 ms", "an admin's connection", every_s=0.25,
            limits=Limits(burst_ms=None, origin=1.1),
            expected=lambda place, calls: place.more["flushed"] * 2 * KEYS + place.more["changes"],
            tests=("tests/clients/test_scenarios_of_invalidation.py::a_fence_that_vanished_refuses",))  # fmt: skip
def flushed(place: Place) -> Iterator[None]:
    before = sum(map(place.truth.version, range(KEYS)))
    try:
        for count in itertools.count(1):
            place.admin.flushall()
            place.more["flushed"] = count
            place.more["changes"] = sum(map(place.truth.version, range(KEYS))) - before
            yield
    finally:
        place.more["changes"] = sum(map(place.truth.version, range(KEYS))) - before


@ROWS.fault("28", "huge values under keys of ours", "SET by hand of 64 MiB, in CI 16, to 3 keys, over and over",
            every_s=0.5, maxmemory="2gb", limits=Limits(burst_ms=None, mib=256.0, lag_ms=100.0),
            tests=(f"{_STORE}::test_a_reply_beyond_the_bound_closes_the_connection", _HUGE))  # fmt: skip
def huge(place: Place) -> Iterator[None]:
    data = bytes((16 if place.short else 64) * MIB)
    names = [":".join(map(str, ("context", *name_of(key)))) for key in range(3)]
    place.more["MiB each"] = len(data) // MIB
    while True:
        for name in names:
            place.admin.set(name, data)
        yield


@ROWS.fault("29", "invalidation by pattern over a million keys", "DEBUG POPULATE, in CI 10^5; then the sweep",
            options=("--enable-debug-command", "local"), maxmemory="2gb", lasts_s=6, short_s=2,
            limits=Limits(burst_ms=None, p99_ms=10.0),
            tests=("tests/clients/test_scenarios_of_invalidation.py::a_pattern_drops_its_keys_alone",))  # fmt: skip
def swept(place: Place) -> Iterator[None]:
    count = 100_000 if place.short else 1_000_000
    place.admin.execute_command("DEBUG", "POPULATE", count, "prompt:x", 32)
    told: list[tuple[int, float]] = []

    def sweep() -> None:
        with Cache.from_url(place.server.url, read_deadline=2, write_deadline=2) as cache:
            began = time.perf_counter()
            told.append((cache.invalidate(pattern="prompt:x:*"), time.perf_counter() - began))

    sweeping = beside(sweep)
    try:
        yield
    finally:
        sweeping.join(60)
        place.more |= {"keys unlinked": told[0][0], "seconds": round(told[0][1], 2), "of": count}
