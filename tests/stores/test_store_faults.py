"""Faults, injected for real: what both drivers do, and how soon."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from cache.core.breaker import BreakerOptions
from cache.errors import StoreError
from cache.testing import RoundTripProxy
from telemetry.vocabulary import BreakerState, ErrorType

PATIENT = BreakerOptions(failures=1000)


def _fifty_calls(driver):
    """Seconds that fifty failing calls take, and their kinds."""
    began = time.perf_counter()
    kinds = [driver.trouble("GET", "a").kind for _ in range(50)]
    return time.perf_counter() - began, kinds


def test_fifty_calls_on_a_frozen_server_take_less_than_a_tenth_of_a_second(open_driver, own_server):
    """The first silent deadline opens the breaker; the other calls are refused at once."""
    driver = open_driver(own_server.url)
    driver.call("PING")
    own_server.freeze()

    first = driver.trouble("GET", "a")
    took, kinds = _fifty_calls(driver)

    assert (first.kind, first.silent) == (ErrorType.TIMEOUT, True)
    assert took < 0.1
    assert kinds.count(ErrorType.BREAKER_OPEN) >= 48
    assert driver.store.breaker_state() is not BreakerState.CLOSED


def test_a_thawed_server_is_used_again_within_two_seconds_and_no_late_reply_is_taken(open_driver, own_server):
    """The probe closes the breaker, and every answer belongs to its question."""
    driver = open_driver(own_server.url)
    for name in "abc":
        driver.call("SET", name, f"value of {name}")
    own_server.freeze()
    for name in "abc":
        driver.trouble("GET", name)

    own_server.thaw()

    assert driver.until_answered("GET", "b") == b"value of b"
    assert [driver.call("GET", name) for name in "cab"] == [b"value of c", b"value of a", b"value of b"]
    assert driver.states == [
        BreakerState.CLOSED,
        BreakerState.OPEN,
        *[BreakerState.HALF_OPEN, BreakerState.OPEN] * ((len(driver.states) - 4) // 2),
        BreakerState.HALF_OPEN,
        BreakerState.CLOSED,
    ]


def test_a_killed_server_is_refused_fast_and_found_again(open_driver, own_server):
    """Refused connections cost next to nothing; a new server at the same place is used within two seconds."""
    driver = open_driver(own_server.url)
    driver.call("SET", "a", 1)
    own_server.kill()

    took, kinds = _fifty_calls(driver)
    own_server.start()

    assert took < 0.1
    assert set(kinds) == {ErrorType.REFUSED, ErrorType.BREAKER_OPEN}
    assert driver.until_answered("GET", "a") is None


def test_a_connection_that_the_server_closed_is_noticed_before_use(open_driver, own_server, admin):
    """Even a step that may not be repeated does not fail on a connection that died while it was idle."""
    driver = open_driver(own_server.url)
    driver.call("PING")
    admin.client_kill_filter(_type="normal", skipme=True)

    assert driver.call("INCR", "n", idempotent=False) == 1
    assert driver.states == [BreakerState.CLOSED]


def test_a_reset_connection_costs_an_idempotent_step_one_repetition(open_driver, proxy):
    """A reply cut off is asked for once more inside the deadline; a write that may have happened is not."""
    driver = open_driver(proxy.url, breaker=PATIENT)
    driver.call("SET", "n", 1)

    proxy.tally.clear()
    proxy.cut_after(0)
    read = driver.trouble("GET", "n", seconds=0.5)
    reads = proxy.tally.commands.count("GET")
    proxy.heal()
    driver.until_answered("PING")
    proxy.cut_after(0)
    write = driver.trouble("INCR", "n", seconds=0.5, idempotent=False)
    proxy.heal()

    assert (read.kind, write.kind, write.sent_nothing) == (ErrorType.REFUSED, ErrorType.REFUSED, False)
    assert reads == 1, "the second connection is cut in its handshake already"
    assert driver.until_answered("GET", "n") == b"2"


def test_a_reply_cut_after_any_byte_never_becomes_a_wrong_value(open_driver, proxy):
    """For every n: the value, or an error; the next call on a good network has the right answer."""
    driver = open_driver(proxy.url, breaker=PATIENT)
    driver.call("SET", "a", "0123456789")
    whole = len(b"*2\r\n$10\r\n0123456789\r\n_\r\n")
    outcomes = []

    for count in range(whole + 2):
        driver.until_answered("PING")
        proxy.cut_after(count)
        try:
            outcomes.append(driver.call("MGET", "a", "b", seconds=0.2, idempotent=False))
        except StoreError as trouble:
            outcomes.append(trouble.kind)
        proxy.heal()
        assert driver.until_answered("MGET", "b", "a") == [None, b"0123456789"]

    assert set(map(str, outcomes)) == {"refused", str([b"0123456789", None])}
    assert outcomes[whole + 1] == [b"0123456789", None]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"*1000000000\r\n",
        b"$1000000000000\r\n",
        b"%500000000\r\n",
        b"*1\r\n" * 4000,
    ],
    ids=["http", "tls", "array", "bulk", "map", "nested"],
)
def test_something_else_behind_the_port_is_trouble_not_a_value(open_driver, proxy, answer):
    """No crash, no memory, no waiting beyond the deadline: an error, then the breaker."""
    driver = open_driver(proxy.url)
    proxy.impersonate(answer)

    began = time.perf_counter()
    kinds = {driver.trouble("GET", "a").kind for _ in range(20)}

    assert time.perf_counter() - began < 0.5
    assert kinds <= {ErrorType.PROTOCOL, ErrorType.TIMEOUT, ErrorType.BREAKER_OPEN, ErrorType.OTHER, ErrorType.REFUSED}
    assert ErrorType.BREAKER_OPEN in kinds


def test_a_reply_beyond_the_bound_closes_the_connection(open_driver, server):
    """It is refused by its header before anything is kept, and the next call is answered."""
    driver = open_driver(server.url, max_reply_bytes=100_000)
    driver.call("SET", "small", b"x" * 90_000)
    driver.call("SET", "large", b"x" * 200_000)

    assert driver.trouble("GET", "large", seconds=1).kind is ErrorType.PROTOCOL
    assert driver.trouble("MGET", "small", "small", seconds=1).kind is ErrorType.PROTOCOL
    assert len(driver.call("GET", "small")) == 90_000


def test_a_wrong_password_is_not_tried_in_a_loop(open_driver, own_server, admin):
    """After three refusals the breaker keeps callers away; the text of the error has no password."""
    admin.config_set("requirepass", "right")
    driver = open_driver(f"redis://:wrong-secret@127.0.0.1:{own_server.port}/0")
    before = admin.info("stats")["total_connections_received"]

    troubles = [driver.trouble("GET", "a") for _ in range(200)]

    assert troubles[0].kind is ErrorType.AUTH
    assert "wrong-secret" not in "".join(map(str, troubles))
    assert admin.info("stats")["total_connections_received"] - before <= 4


def test_the_right_password_opens(open_driver, own_server, admin):
    """With a user's name and without one."""
    admin.config_set("requirepass", "p@ss/word")
    admin.acl_setuser("worker", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])

    for user in (":p%40ss%2Fword", "worker:secret"):
        assert open_driver(f"redis://{user}@127.0.0.1:{own_server.port}/2").call("PING") == b"PONG"


def test_a_server_that_refuses_hello_is_spoken_to_as_of_old(open_driver, own_server, admin):
    """AUTH and SELECT are said one by one; replies are the same."""
    admin.acl_setuser("old", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-hello"])
    admin.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-hello"])

    for user in ("old:pw@", ""):
        driver = open_driver(f"redis://{user}127.0.0.1:{own_server.port}/1")
        driver.call("SET", "a", "b")
        assert driver.call("MGET", "a", "c") == [b"b", None]
        assert len(driver.store.identity()) == 8


def test_noperm_degrades_that_command_only(open_driver, own_server, admin):
    """INFO, scripts and keys that are forbidden are named; the rest works, and the breaker stays closed."""
    admin.acl_setuser(
        "weak", enabled=True, passwords=["+pw"], keys=["ok*"], commands=["+@all", "-info", "-eval", "-evalsha"]
    )
    driver = open_driver(f"redis://weak:pw@127.0.0.1:{own_server.port}/0")

    assert driver.call("SET", "ok", 1) == b"OK"
    assert driver.store.identity() == b""
    assert [driver.trouble("GET", "other").kind for _ in range(5)] == [ErrorType.NOPERM] * 5
    with pytest.raises(StoreError) as caught:
        driver.script("return 1")
    assert caught.value.kind is ErrorType.NOPERM
    assert driver.store.breaker_state() is BreakerState.CLOSED


def test_a_full_server_still_reads(open_driver, own_server, admin):
    """Writes are refused with ``oom``, in scripts too; reads go on, and the breaker stays closed."""
    driver = open_driver(own_server.url)
    driver.call("SET", "a", 1)
    admin.config_set("maxmemory-policy", "noeviction")
    admin.config_set("maxmemory", 1)

    assert [driver.trouble("SET", "b", 1).kind for _ in range(5)] == [ErrorType.OOM] * 5
    with pytest.raises(StoreError) as caught:
        driver.script("return redis.call('SET', KEYS[1], 'x')", "k")
    assert caught.value.kind is ErrorType.OOM
    assert driver.call("GET", "a") == b"1"
    assert driver.store.breaker_state() is BreakerState.CLOSED


def test_a_demoted_primary_still_reads(open_driver, own_server, admin):
    """Writes are refused with ``readonly``; idle connections are let go, so that a name is resolved again."""
    driver = open_driver(own_server.tcp_url)
    driver.call("SET", "a", 1)
    admin.replicaof("127.0.0.1", "1")
    admin.config_set("replica-serve-stale-data", "yes")
    before = admin.info("stats")["total_connections_received"]

    assert driver.trouble("SET", "b", 1).kind is ErrorType.READONLY
    assert driver.call("GET", "a") == b"1"
    assert admin.info("stats")["total_connections_received"] == before + 1
    assert driver.store.breaker_state() is BreakerState.CLOSED


def test_too_many_clients_is_refused_fast(open_driver, own_server, admin):
    """As if the server were down, and no slower."""
    admin.config_set("maxclients", 1)
    driver = open_driver(own_server.url)

    took, kinds = _fifty_calls(driver)

    assert took < 0.3
    assert kinds[0] is ErrorType.REFUSED
    assert ErrorType.BREAKER_OPEN in kinds


def test_loading_is_as_if_down(open_driver, proxy):
    """A server that loads its data opens the breaker."""
    driver = open_driver(proxy.url)
    proxy.impersonate(b"-LOADING Valkey is loading the dataset in memory\r\n")

    kinds = [driver.trouble("GET", "a").kind for _ in range(10)]

    assert kinds[0] is ErrorType.LOADING
    assert kinds[-1] is ErrorType.BREAKER_OPEN


def test_a_busy_script_counts_as_slow(open_driver, own_server, admin):
    """BUSY is a time-out; after the script the store is used again."""
    admin.config_set("busy-reply-threshold", 20)
    driver = open_driver(own_server.url)
    with RoundTripProxy(own_server.url) as proxy:
        other = open_driver(proxy.url)
        assert other.call("PING") == b"PONG"
        with pytest.raises(StoreError):
            other.script("while true do end", seconds=0.1)

        assert driver.trouble("GET", "a", seconds=0.5).kind is ErrorType.TIMEOUT
        admin.script_kill()

    assert driver.until_answered("GET", "a") is None


def test_a_blackhole_ends_at_the_deadline(open_driver, proxy):
    """A network that swallows everything costs one deadline, connected or not."""
    for connected in (True, False):
        driver = open_driver(proxy.url)
        if connected:
            driver.call("PING")
        proxy.blackhole()
        began = time.perf_counter()
        trouble = driver.trouble("GET", "a", seconds=0.05)
        took = time.perf_counter() - began
        proxy.heal()

        assert (trouble.kind, trouble.silent) == (ErrorType.TIMEOUT, True)
        assert 0.045 < took < 0.2


def test_slow_answers_open_the_breaker_without_being_lost(open_driver, proxy):
    """Three answers that take most of their deadline are handed on, then the store is left alone."""
    driver = open_driver(proxy.url)
    driver.call("SET", "a", 1)
    proxy.delay(0.21)

    assert [driver.call("GET", "a", seconds=0.25) for _ in range(3)] == [b"1"] * 3
    assert driver.trouble("GET", "a").kind is ErrorType.BREAKER_OPEN


def test_a_trickle_is_no_silence(open_driver, proxy):
    """A call that heard something before its deadline does not open the breaker by itself."""
    driver = open_driver(proxy.url)
    proxy.impersonate(b"$10\r\n01")

    trouble = driver.trouble("GET", "a")

    assert (trouble.kind, trouble.silent) == (ErrorType.TIMEOUT, False)
    assert driver.store.breaker_state() is BreakerState.CLOSED


def test_a_name_that_does_not_resolve_is_refused(open_driver):
    """It ends within the deadline."""
    driver = open_driver("redis://nowhere.invalid:6379/0")

    began = time.perf_counter()
    trouble = driver.trouble("GET", "a", seconds=0.1)

    assert trouble.kind in {ErrorType.REFUSED, ErrorType.TIMEOUT}
    assert trouble.sent_nothing
    assert time.perf_counter() - began < 0.2


def test_a_name_is_resolved(open_driver, server):
    """``localhost`` may have several addresses; one of them answers."""
    assert open_driver(f"redis://localhost:{server.port}/0").call("PING") == b"PONG"


def test_a_silent_name_server_costs_one_deadline_and_holds_nobody(open_driver, monkeypatch):
    """The call ends in time, and an event loop ends without waiting for the resolver."""
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(10) and [])
    driver = open_driver("redis://slow.example:6379/0")
    began = time.perf_counter()

    trouble = driver.trouble("GET", "a", seconds=0.05)
    driver.close()

    assert time.perf_counter() - began < 1
    assert (trouble.kind, trouble.sent_nothing) == (ErrorType.TIMEOUT, True)
    answer.set()


def test_a_missing_socket_is_refused(open_driver, tmp_path):
    """A Unix socket that is not there is no server."""
    assert open_driver(f"unix://{tmp_path}/none.sock").trouble("GET", "a").kind is ErrorType.REFUSED


def test_keys_values_and_passwords_stay_out_of_errors(open_driver, own_server, admin):
    """Neither text, representation nor cause of an error tells what was asked, or how we logged in."""
    driver = open_driver(own_server.url)
    driver.call("SET", "secret-key", "secret-value")
    wrong_type = driver.trouble("LPUSH", "secret-key", "secret-value", seconds=1)
    unknown = driver.trouble("SECRET-COMMAND", "secret-key", seconds=1)
    admin.config_set("requirepass", "right")
    refused = open_driver(f"redis://:secret@127.0.0.1:{own_server.port}/0").trouble("PING", seconds=1)

    for trouble in (wrong_type, unknown, refused):
        assert "secret" not in (repr(trouble) + str(trouble)).lower()
        assert trouble.__cause__ is None
        assert trouble.__suppress_context__
    assert str(wrong_type) == "other: ResponseError WRONGTYPE"
