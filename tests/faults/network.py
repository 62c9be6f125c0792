"""Store and network: rows 1 to 15."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

from faults.figures import Limits
from faults.place import Place
from faults.registry import Catalogue
from faults.truth import KEYS

ROWS = Catalogue("Store and network")

_OUTAGES = "tests/clients/test_outages.py"
_STORE = "tests/stores/test_store_faults.py"


@ROWS.fault("1", "server frozen", "SIGSTOP", tests=(f"{_OUTAGES}::test_50_calls_on_a_frozen_server_are_quick",))
def frozen(place: Place) -> Iterator[None]:
    try:
        place.server.freeze()
        yield
    finally:
        place.server.thaw()


@ROWS.fault(
    "2",
    "frozen for 5 s, then thawed; late replies",
    "SIGSTOP, and a proxy that keeps what was answered",
    lasts_s=5,
    proxy=True,
    tests=(f"{_STORE}::test_a_thawed_server_is_used_again_within_two_seconds_and_no_late_reply_is_taken",),
)
def thawed(place: Place) -> Iterator[None]:
    try:
        place.network.hold()
        yield
        place.server.freeze()
        yield
    finally:
        place.server.thaw()
        place.network.heal()


@ROWS.fault(
    "3",
    "server killed, connections refused",
    "SIGKILL; later a new, empty server",
    tests=(f"{_OUTAGES}::test_a_killed_server_harms_nobody_and_comes_back",),
)
def killed(place: Place) -> Iterator[None]:
    try:
        place.server.kill()
        yield
    finally:
        place.server.start()


@ROWS.fault(
    "4",
    "restarted empty",
    "SIGKILL and a new server at once",
    limits=Limits(origin=1.1),
    # every key anew, once for each process of the web form, and what was changed meanwhile; then hits
    expected=lambda place, calls: 2 * KEYS + place.more["changes"],
)
def restarted(place: Place) -> Iterator[None]:
    before = sum(map(place.truth.version, range(KEYS)))
    place.server.restart()
    try:
        yield
    finally:
        place.more["changes"] = sum(map(place.truth.version, range(KEYS))) - before


@ROWS.fault("5", "black hole: nothing comes, nothing is refused", "iptables DROP on the port", network=True,
            tests=(f"{_STORE}::test_a_blackhole_ends_at_the_deadline",))  # fmt: skip
def black_hole(place: Place) -> Iterator[None]:
    rule = ("INPUT", "-p", "tcp", "--dport", str(place.server.port), "-j", "DROP")
    try:
        place.firewall(*rule)
        yield
    finally:
        place.firewall(*rule, add=False)


@ROWS.fault("6", "connecting falls into a black hole", "iptables DROP of SYN, open connections killed", network=True,
            tests=(f"{_STORE}::test_a_blackhole_ends_at_the_deadline",))  # fmt: skip
def no_handshake(place: Place) -> Iterator[None]:
    rule = ("INPUT", "-p", "tcp", "--dport", str(place.server.port), "--syn", "-j", "DROP")
    try:
        place.firewall(*rule)
        place.drop_callers()
        yield
    finally:
        place.firewall(*rule, add=False)


@ROWS.fault("7", "reset inside a reply, after every byte", "proxy: RST of every connection after n bytes, n growing",
            proxy=True, every_s=0.02, lasts_s=8,
            tests=(f"{_STORE}::test_a_reply_cut_after_any_byte_never_becomes_a_wrong_value",
                                 "tests/stores/test_held.py::test_ten_thousand_calls_that_end_anyhow_mix_no_replies"),
)  # fmt: skip
def cut_off(place: Place) -> Iterator[None]:
    try:
        for count in itertools.count():
            place.network.cut_open_after(count % 400)
            place.more["cut after at most"] = min(count, 399)
            yield
    finally:
        place.network.heal()


def _slower(number: str, milliseconds: int, jitter: int = 0) -> None:
    name = f"slow link, +{milliseconds} ms" + (f" ± {jitter} ms" if jitter else "")

    @ROWS.fault(number, name, "proxy: delay", proxy=True, limits=Limits(burst_ms=None if milliseconds < 50 else 200),
                tests=(f"{_STORE}::test_slow_answers_open_the_breaker_without_being_lost",))  # fmt: skip
    def slow_link(place: Place) -> Iterator[None]:
        try:
            place.network.delay(milliseconds / 1000, jitter / 1000)
            yield
        finally:
            place.network.heal()


_slower("8a", 5)
_slower("8b", 20, 10)
_slower("8c", 100)
_slower("8d", 500)


@ROWS.fault("9a", "replies in pieces of one byte", "proxy: slicing", proxy=True, limits=Limits(burst_ms=None))
def sliced(place: Place) -> Iterator[None]:
    try:
        place.network.slice(1)
        yield
    finally:
        place.network.heal()


@ROWS.fault("9b", "replies sent twice", "proxy: duplication", proxy=True, limits=Limits(burst_ms=None))
def doubled(place: Place) -> Iterator[None]:
    try:
        place.network.duplicate()
        yield
    finally:
        place.network.heal()


@ROWS.fault("10", "half-open connections", "proxy drops the state of all connections, without a word", proxy=True,
            tests=(f"{_STORE}::test_a_connection_that_the_server_closed_is_noticed_before_use",))  # fmt: skip
def half_open(place: Place) -> Iterator[None]:
    place.network.forget()
    yield


@ROWS.fault("11", "flapping every 200 ms", "SIGSTOP and SIGCONT in turn", every_s=0.2, lasts_s=60, short_s=2)
def flapping(place: Place) -> Iterator[None]:
    try:
        while True:
            place.server.freeze()
            yield
            place.server.thaw()
            yield
    finally:
        place.server.thaw()


@ROWS.fault("14", "no Redis behind the port", "proxy answers as HTTP, TLS, garbage, in turn", proxy=True, every_s=0.3,
            tests=(f"{_STORE}::test_something_else_behind_the_port_is_trouble_not_a_value",))  # fmt: skip
def stranger(place: Place) -> Iterator[None]:
    answers = (
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"*1000000000\r\n",
        b"$3\r\nabc\r\n",
        b"*3\r\n$-1\r\n$-1\r\n$-1\r\n",
    )
    try:
        for answer in itertools.cycle(answers):
            place.network.impersonate(answer)
            place.network.reset_connections()
            yield
    finally:
        place.network.reset_connections()
        place.network.heal()


class _Names:
    """The resolver's files, other ones than the machine's; the row runs in a mount namespace of its own."""

    def __init__(self, place: Place) -> None:
        self._hosts = place.folder / "hosts"
        self._resolver = place.folder / "resolv.conf"
        self._resolver.write_text("nameserver 127.0.0.53\noptions timeout:5 attempts:3\n")
        self.say("127.0.0.1")
        for ours, theirs in ((self._hosts, "/etc/hosts"), (self._resolver, "/etc/resolv.conf")):
            subprocess.run(["mount", "--bind", str(ours), str(Path(theirs).resolve())], check=True)

    def say(self, address: str) -> None:
        """The name's address; empty: there is none."""
        self._hosts.write_text("127.0.0.1 localhost\n" + (f"{address} cache.example\n" if address else ""))


@ROWS.fault("15a", "name server silent", "hosts file and iptables DROP in namespaces of its own", network=True,
            prepares=True,
            tests=(f"{_STORE}::test_a_silent_name_server_costs_one_deadline_and_holds_nobody",
                   f"{_STORE}::test_a_name_that_does_not_resolve_is_refused"),
)  # fmt: skip
def no_names(place: Place) -> Iterator[None]:
    names = _Names(place)
    rule = ("OUTPUT", "-p", "udp", "--dport", "53", "-j", "DROP")
    place.url = f"redis://cache.example:{place.server.port}/0"
    yield
    try:
        place.firewall(*rule)
        names.say("")
        place.drop_callers()
        yield
    finally:
        names.say("127.0.0.1")
        place.firewall(*rule, add=False)


@ROWS.fault("15b", "name leads to a wrong address", "hosts file in a mount namespace of its own", network=True,
            prepares=True)  # fmt: skip
def wrong_address(place: Place) -> Iterator[None]:
    names = _Names(place)
    place.url = f"redis://cache.example:{place.server.port}/0"
    yield
    try:
        names.say("127.0.0.9")
        place.drop_callers()
        yield
    finally:
        names.say("127.0.0.1")
