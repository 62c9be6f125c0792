"""What both drivers promise when all is well."""

from __future__ import annotations

import pytest

from cache.clock import Deadline, SystemClock
from cache.core.steps import Call
from cache.errors import StoreError
from cache.stores.connect import StoreOptions, open_store
from telemetry.vocabulary import BreakerState, ErrorType


@pytest.fixture(params=["unix", "tcp"])
def url(request, server):
    return server.url if request.param == "unix" else server.tcp_url


def test_replies_are_raw(open_driver, url):
    """Bytes, integers, lists and None come back as the server sent them."""
    driver = open_driver(url)

    assert driver.call("SET", "a", b"\xff\x00") == b"OK"
    assert driver.call("MGET", "a", "absent") == [b"\xff\x00", None]
    assert driver.call("INCR", "n", idempotent=False) == 1
    assert driver.call("SCAN", 0, "MATCH", "n", "COUNT", 100) == [b"0", [b"n"]]
    assert driver.call("INFO", "server").startswith(b"# Server")


def test_a_batch_holds_each_commands_own_failure(open_driver, url):
    """One command's refusal stands in its place; the others are answered."""
    driver = open_driver(url)

    one, two, three = driver.batch(("SET", "a", "text"), ("INCR", "a"), ("GET", "a"))

    assert (one, two.kind, three) == (b"OK", ErrorType.OTHER, b"text")


def test_a_script_runs_though_the_server_forgot_it(open_driver, server, url):
    """EVALSHA is followed by EVAL once when the script is unknown, also after a flush."""
    driver = open_driver(url)
    text = "return {KEYS[1], ARGV[1]}"

    assert driver.script(text, "k", args=(b"\xfe",)) == [b"k", b"\xfe"]
    driver.call("SCRIPT", "FLUSH")
    assert driver.script(text, "k", args=("v",)) == [b"k", b"v"]


def test_identity_is_known_after_the_first_connection_and_changes_with_the_server(open_driver, own_server):
    """Eight bytes of the run id's hash, empty before; another server has others."""
    driver = open_driver(own_server.url)
    assert driver.store.identity() == b""

    driver.call("PING")
    first = driver.store.identity()
    own_server.restart()
    driver.until_answered("PING")

    assert len(first) == 8
    assert len(driver.store.identity()) == 8
    assert driver.store.identity() != first


def test_a_handshake_is_one_round_trip_and_a_call_another(open_driver, proxy):
    """HELLO, SELECT and INFO travel together; then each step is one round trip."""
    driver = open_driver(proxy.url.replace("/0", "/3"))

    driver.call("PING")
    assert (proxy.tally.greetings, proxy.tally.round_trips) == (1, 1)
    assert proxy.tally.commands == ["HELLO", "SELECT", "INFO", "PING"]

    proxy.tally.clear()
    driver.batch(("GET", "a"), ("GET", "b"))
    driver.script("return 1")
    driver.script("return 1")

    assert proxy.tally.commands == ["GET", "GET", "EVAL", "EVALSHA"]
    assert (proxy.tally.greetings, proxy.tally.round_trips) == (0, 3)


def test_a_step_whose_deadline_has_passed_sends_nothing(open_driver, server):
    """No byte goes out, and the breaker does not hear of it."""
    driver = open_driver(server.url)
    driver.call("PING")

    for _ in range(5):
        trouble = driver.trouble("SET", "a", 1, seconds=-1)
        assert (trouble.kind, trouble.sent_nothing) == (ErrorType.TIMEOUT, True)

    assert driver.store.breaker_state() is BreakerState.CLOSED
    assert driver.call("GET", "a") is None


def test_arguments_that_cannot_be_sent_are_a_store_error(open_driver, server):
    """Whatever the driver raises for them, it is named, and the connection goes on."""
    driver = open_driver(server.url)

    with pytest.raises(StoreError):
        driver.call("SET", "a", {"no": "argument"})

    assert driver.call("GET", "a") is None


def test_the_public_client_speaks_text_and_keeps_odd_bytes(server, open_driver):
    """``client`` decodes; bytes that are no UTF-8 come back as lone surrogates."""
    driver = open_driver(server.url)
    driver.call("SET", "a", b"\xc3\xa4\xff")

    if driver._runner is None:
        text = driver.store.client.get("a")
    else:

        async def ask():
            return await driver.store.client.get("a")

        text = driver._runner.run(ask())

    assert text == "ä\udcff"


def test_a_closed_store_refuses(server):
    """After ``close`` a blocking store refuses at once, and says that nothing was sent."""
    store = open_store(server.url, StoreOptions(), on_breaker=lambda *_: None, clock=SystemClock())
    ping = Call(("PING",), Deadline(SystemClock(), 5), True)
    store.execute(ping)
    store.close()

    with pytest.raises(StoreError) as caught:
        store.execute(ping)

    assert (caught.value.kind, caught.value.sent_nothing) == (ErrorType.REFUSED, True)
