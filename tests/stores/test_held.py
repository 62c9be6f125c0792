"""Connections that are held open: no reply meets another caller, whatever happens in between."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from cache.clock import Deadline, SystemClock
from cache.core.breaker import Breaker, BreakerOptions
from cache.core.sent import NOT_NOW, Failed
from cache.core.steps import Batch, Call
from cache.errors import StoreError
from cache.stores.connect import StoreOptions, _spans, open_store
from cache.stores.exchange import CURRENT
from cache.stores.plain_path import PlainPath
from cache.stores.redis_store import RedisStore
from cache.stores.urls import parse
from cache.testing import RoundTripProxy
from telemetry.vocabulary import BreakerState, ErrorType

CLOCK = SystemClock()
PATIENT = BreakerOptions(failures=1_000_000)
KEYS = 64


def _open(url, **limits):
    return open_store(url, StoreOptions(**limits), on_breaker=lambda *_: None, clock=CLOCK)


class _Deaf(Breaker):
    """Stays closed: deadlines of microseconds are no fault of the server."""

    def failed(self, permit, *, silent=False):
        return


def _open_patiently(url, **limits):
    breaker, options = _Deaf(CLOCK, lambda _: None), StoreOptions(**limits)
    return RedisStore(parse(url), options, breaker=breaker, clock=CLOCK, spans=_spans(parse(url), lambda: None))


def _call(store, *args, seconds=2.0, idempotent=True):
    return store.execute(Call(args, Deadline(CLOCK, seconds), idempotent))


def _fill(url):
    """Each value names its key, some are long."""
    store = _open(url)
    for number in range(KEYS):
        _call(store, "SET", f"k{number}", _value(number))
    store.close()


def _value(number):
    return b"value of k%d " % number * (1 if number % 8 else 6_000)


def _connections(server):
    with redis.Redis(unix_socket_path=server.socket) as admin:
        return [row["id"] for row in admin.client_list() if row["name"] == "glasscache"]


def _one_call(store, rand):
    """A call of any kind with any deadline: None, or what was wrong with its answer."""
    number, other = rand.randrange(KEYS), rand.randrange(KEYS)
    seconds = rand.choice((2.0, 2.0, 2.0, 0.05, rand.uniform(1e-5, 5e-4)))
    try:
        if rand.random() < 0.3:
            commands = (("GET", f"k{number}"), ("LPUSH", "k0", "x"), ("GET", f"k{other}"))
            one, wrong_type, two = store.execute(Batch(commands, Deadline(CLOCK, seconds), True))
            right = (one, two) == (_value(number), _value(other)) and isinstance(wrong_type, StoreError)
        else:
            found = _found(store, rand, ("MGET", f"k{number}", "absent", f"k{other}"), seconds)
            right = found == [_value(number), None, _value(other)]
    except StoreError as trouble:
        return None if trouble.kind in (ErrorType.TIMEOUT, ErrorType.POOL_EXHAUSTED) else trouble
    return None if right else (number, other)


def _found(store, rand, question, seconds):
    """What a question finds, asked straight away as often as by a step."""
    found = store.straight.ask(question, seconds) if rand.random() < 0.5 else NOT_NOW
    if type(found) is Failed:
        if not isinstance(found.error, Exception):
            raise found.error
        if found.trouble is not None:
            raise found.trouble
        found = NOT_NOW
    return _call(store, *question, seconds=seconds) if found is NOT_NOW else found


@pytest.fixture
def interrupted_finalizers(monkeypatch):
    """An interrupt that falls into a finalizer is lost there, by Python's rules; pytest would keep its frames alive."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)


def _places(store, count):
    """Whether so many callers can be under way at a time, and no more."""
    # an error that refers to itself may keep the frame, and the place, of an interrupted call
    gc.collect()
    rack, call = store._path._rack, store._guard.admit(Deadline(CLOCK, 0.5))
    taken = {rack.take(call) for _ in range(count)}
    with pytest.raises(StoreError):
        rack.take(store._guard.admit(Deadline(CLOCK, 0.01)))
    for place in taken:
        rack.give_back(place)
    return len(taken) == count


class _Shaken:
    """A thread's work that is interrupted again and again, until it is done and left alone."""

    def __init__(self, store, seed, calls):
        self._store, self._rand, self._calls = store, random.Random(seed), calls
        self.done, self.idle_turns, self.interrupted, self.wrong = 0, 0, 0, []
        self.left_alone = False
        self.thread = threading.Thread(target=self._work)

    def _work(self):
        # an interrupt between the lines of the inner loop ends in the outer one
        while not self.left_alone:
            with contextlib.suppress(KeyboardInterrupt):
                self._turns()

    def _turns(self):
        while not self.left_alone:
            try:
                self._turn()
            except KeyboardInterrupt:
                self.interrupted += 1

    def _turn(self):
        if self.done == self._calls:
            self.idle_turns += 1
            threading.Event().wait(0.001)
            return
        wrong = _one_call(self._store, self._rand)
        if wrong is not None:
            self.wrong.append(wrong)
        self.done += 1

    def shake(self):
        """Interrupt it wherever it is; once it is done, see it turn a few times with nothing pending."""
        if self.done == self._calls:
            self.left_alone = self.idle_turns > 5
            return
        exception = ctypes.py_object(KeyboardInterrupt)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident or 0), exception)


@pytest.mark.usefixtures("interrupted_finalizers")
def test_ten_thousand_calls_that_end_anyhow_mix_no_replies(server):
    """Threads, time-outs of microseconds, interrupts between any two instructions: values are those of their keys."""
    _fill(server.url)
    store = _open_patiently(server.url, max_connections=6)
    work = [_Shaken(store, seed, 1250) for seed in range(8)]
    for one in work:
        one.thread.start()

    rand = random.Random(99)
    while rest := [one for one in work if not one.left_alone]:
        rand.choice(rest).shake()
        threading.Event().wait(rand.uniform(0, 0.004))
    for one in work:
        one.thread.join()

    assert [one.wrong for one in work] == [[]] * 8
    assert sum(one.done for one in work) == 10_000
    assert sum(one.interrupted for one in work) > 50
    assert _places(store, 6)
    assert len(_connections(server)) <= 6
    store.close()


@pytest.mark.usefixtures("interrupted_finalizers")
def test_a_signal_that_raises_while_waiting_leaves_nothing_behind(server):
    """The main thread is interrupted in its system calls; the next call has the right answer."""
    _fill(server.url)
    store = _open_patiently(server.url, max_connections=2)
    rand, interrupted, wrong = random.Random(5), 0, []

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(1000):
            try:
                signal.setitimer(signal.ITIMER_REAL, rand.uniform(1e-5, 4e-4))
                wrong.append(_one_call(store, rand))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert [found for found in wrong if found is not None] == []
    assert interrupted > 50
    assert CURRENT.get() is None
    assert _places(store, 2)
    assert _call(store, "GET", "k7") == _value(7)
    store.close()


def test_signals_do_not_prolong_a_wait(own_server):
    """A profiler's timer interrupts every system call; the deadline holds all the same."""
    store = _open(own_server.url, breaker=PATIENT)
    _call(store, "PING")
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.004, 0.004)
    own_server.freeze()
    began = time.perf_counter()
    try:
        with pytest.raises(StoreError) as caught:
            _call(store, "GET", "a", seconds=0.06)
        took = time.perf_counter() - began
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        own_server.thaw()
    store.close()

    assert (caught.value.kind, caught.value.silent) == (ErrorType.TIMEOUT, True)
    assert 0.055 < took < 0.3


def test_push_messages_are_skipped(server):
    """News that the server sends by itself comes before, between and after replies; the connection stays."""
    _fill(server.url)
    store = _open(server.url, max_connections=1)
    before = _call(store, "CLIENT", "ID")
    assert _call(store, "CLIENT", "TRACKING", "ON", "BCAST") == b"OK"
    with redis.Redis(unix_socket_path=server.socket) as other:
        for number in range(50):
            other.set("news", number)
            assert _call(store, "SET", "own", number, idempotent=False) == b"OK"
            commands = (("GET", "own"), ("SET", "own", "x"), ("GET", "k3"))
            found = store.execute(Batch(commands, Deadline(CLOCK, 2)))
            assert found == [b"%d" % number, b"OK", _value(3)]
            assert _call(store, "GET", "k5") == _value(5)

    assert _call(store, "CLIENT", "ID") == before
    store.close()


def test_a_dripping_server_is_left_at_the_deadline(open_driver, proxy):
    """Each byte comes in time, all of them do not: the deadline is the whole call's."""
    driver = open_driver(proxy.url, breaker=PATIENT)
    driver.call("SET", "a", b"x" * 1000)
    proxy.drip(0.002)
    began = time.perf_counter()
    trouble = driver.trouble("GET", "a", seconds=0.1)
    took = time.perf_counter() - began
    proxy.heal()

    assert (trouble.kind, trouble.silent) == (ErrorType.TIMEOUT, False)
    assert 0.09 < took < 0.4
    assert driver.until_answered("GET", "a") == b"x" * 1000


def test_a_reply_in_drops_is_whole(open_driver, proxy):
    """Headers and values that come byte by byte are put together."""
    driver = open_driver(proxy.url)
    driver.call("SET", "a", b"12345678901234567890")
    proxy.drip(1e-4)

    assert driver.call("MGET", "a", "absent", "a") == [b"12345678901234567890", None, b"12345678901234567890"]
    one, two = driver.batch(("LPUSH", "a", "x"), ("STRLEN", "a"))
    assert (one.kind, two) == (ErrorType.OTHER, 20)


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_connection_that_the_server_closed_meanwhile_costs_no_error(own_server, admin, idempotent):
    """All idle connections are gone at once; every caller gets a fresh one."""
    store = _open(own_server.url, max_connections=4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: _call(store, "SET", f"n{n}", 1), range(40)))
        admin.client_kill_filter(_type="normal", skipme=True)
        found = list(pool.map(lambda n: _call(store, "INCR", f"n{n}", idempotent=idempotent), range(4)))

    assert found == [2] * 4
    assert store.breaker_state() is BreakerState.CLOSED
    store.close()


def test_bytes_beyond_the_reply_close_the_connection(open_driver, proxy):
    """Whether they come with the reply or later: they answer nobody."""
    driver = open_driver(proxy.url, max_connections=1, breaker=PATIENT)
    driver.call("SET", "a", "value of a")
    proxy.impersonate(b"$5\r\nfirst\r\n$6\r\nsecond\r\n")
    assert driver.call("GET", "b") == b"first"
    proxy.heal()
    assert driver.call("GET", "a") == b"value of a"

    proxy.say(b"$7\r\nunasked\r\n")

    for _ in range(3):
        assert driver.until_answered("GET", "a") == b"value of a"


ANSWERS = {
    "refusal": b"-WRONGTYPE no\r\n+OK\r\n",
    "unknown refusal": b"-SOMETHING secret\r\n+OK\r\n",
    "loading": b"+OK\r\n-LOADING it loads\r\n",
    "no password": b"-NOAUTH Authentication required.\r\n+OK\r\n",
    "wrong password": b"-WRONGPASS no\r\n-WRONGPASS no\r\n",
    "no permission": b"+OK\r\n-NOPERM no\r\n",
    "too many": b"-ERR max number of clients reached\r\n+OK\r\n",
    "read only": b"-READONLY no\r\n+OK\r\n",
    "refusals in a list": b"*2\r\n-ERR one\r\n:1\r\n*1\r\n-LOADING it loads\r\n",
    "not the protocol": b"+OK\r\nHTTP/1.1 400 Bad Request\r\n",
    "one only": b"+OK\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("kind", ["call", "batch"])
def test_refusals_are_what_they_are_by_redis_py(server, answer, kind):
    """Each answer means the same over both paths, and leaves as many connections behind."""

    def outcome(fast_path):
        with RoundTripProxy(server.url) as proxy:
            store = _open(proxy.url, fast_path=fast_path)
            _call(store, "PING")
            proxy.impersonate(answer if kind == "batch" else answer.partition(b"+OK\r\n")[0] or answer)
            deadline = Deadline(CLOCK, 0.2)
            step = Call(("GET", "a"), deadline) if kind == "call" else Batch((("GET", "a"), ("GET", "b")), deadline)
            try:
                found = store.execute(step)
            except StoreError as trouble:
                found = (str(trouble), trouble.sent_nothing, trouble.silent)
            proxy.heal()
            state = store.breaker_state()
            before = proxy.tally.accepted
            _call(store, "PING")
            store.close()
            return str(found), state, proxy.tally.accepted - before

    assert outcome(True) == outcome(False)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000, 5_000_000])
def test_values_of_any_size_come_back(open_driver, server, size):
    """Small ones are copied into the request, large ones are sent from where they lie; both may need several turns."""
    driver, value = open_driver(server.url), os.urandom(size)

    assert driver.call("SET", "a", value, seconds=2) == b"OK"
    assert driver.batch(("SET", "b", value), ("APPEND", "b", value), ("GET", "a"), seconds=2)[2] == value
    assert driver.call("MGET", "a", "absent", "b", seconds=2) == [value, None, value * 2]


def test_a_server_that_takes_nothing_ends_the_sending_at_the_deadline(own_server):
    """A request larger than every buffer in between is given up in time."""
    store = _open(own_server.url, breaker=PATIENT)
    _call(store, "PING")
    own_server.freeze()
    began = time.perf_counter()
    with pytest.raises(StoreError) as caught:
        _call(store, "SET", "a", bytes(20_000_000), seconds=0.1)
    took = time.perf_counter() - began
    own_server.thaw()
    store.close()

    assert (caught.value.kind, caught.value.sent_nothing) == (ErrorType.TIMEOUT, False)
    assert 0.09 < took < 0.4


def test_close_waits_for_calls_under_way_then_cuts_them_off(server, proxy):
    """A call that ends in time is answered; one that does not is refused, and no connection is left."""
    store = _open(proxy.url, max_connections=3, breaker=PATIENT)
    _call(store, "SET", "a", 1)
    ends = []

    def ask(seconds):
        try:
            ends.append(_call(store, "GET", "a", seconds=seconds))
        except StoreError as trouble:
            ends.append(trouble.kind)

    proxy.delay(0.1)
    quick = threading.Thread(target=ask, args=(2,))
    quick.start()
    _until(lambda: proxy.tally.commands.count("GET") == 1)
    store.close(1)
    quick.join(5)
    assert ends == [b"1"]

    store = _open(proxy.url, max_connections=3, breaker=PATIENT)
    proxy.heal()
    _call(store, "PING")
    proxy.hold()
    slow = threading.Thread(target=ask, args=(2,))
    slow.start()
    _until(lambda: proxy.tally.commands.count("GET") == 2)
    began = time.perf_counter()
    store.close(0.05)
    slow.join(5)

    assert ends == [b"1", ErrorType.REFUSED]
    assert time.perf_counter() - began < 1
    proxy.heal()
    _until(lambda: not _connections(server))


def _until(check, within_s=5.0):
    give_up = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def test_a_place_that_is_lost_comes_back(server):
    """An interrupt between two instructions may lose a caller's place: it is put back, its connection closed."""
    store = _open(server.url, max_connections=1)
    _call(store, "PING")
    place = store._path._rack.free.pop()
    assert place.is_open

    del place

    assert _call(store, "PING") == b"PONG"
    assert len(_connections(server)) == 1
    store.close()


def test_a_store_that_is_dropped_closes_its_connections(server):
    """Without ``close``: the collector does it, and nothing warns of what was left open."""
    store = _open(server.url)
    _call(store, "PING")
    del store
    gc.collect()

    _until(lambda: not _connections(server))


def test_the_socket_is_no_longer_the_parents_after_a_fork(server):
    """A child that ends does not end the parent's connection."""
    store = _open(server.url, max_connections=1)
    before = _call(store, "CLIENT", "ID")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            theirs = _call(store, "CLIENT", "ID")
            store.close()
            gc.collect()
            code = 0 if theirs != before else 2
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert _call(store, "CLIENT", "ID") == before
    store.close()


def test_a_rack_tells_idle_from_used(server, proxy):
    """As many connections as there are, each in the state that it is in."""
    store = _open(proxy.url, max_connections=4)
    rack = store._path._rack

    def levels():
        return rack.idle(), rack.in_use()

    assert levels() == (0, 0)
    _call(store, "PING")
    assert levels() == (1, 0)
    proxy.hold()
    waiting = threading.Thread(target=lambda: _call(store, "PING", seconds=5))
    waiting.start()
    _until(lambda: levels() == (0, 1))
    proxy.heal()
    waiting.join(5)
    assert levels() == (1, 0)
    store.close()
    assert levels() == (0, 0)


def test_where_there_is_no_poll_redis_py_carries(server, monkeypatch):
    """A system without ``poll`` gets the plain path."""
    monkeypatch.delattr("select.poll")
    store = _open(server.url)

    assert isinstance(store._path, PlainPath)
    store.close()
