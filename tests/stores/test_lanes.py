"""Connections that the tasks of an event loop share: no reply meets another caller, no trouble spreads."""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest
import redis
import redis.asyncio as aredis

from cache.clock import Deadline, SystemClock
from cache.core.breaker import BreakerOptions
from cache.core.steps import Batch, Call, Lua, RunScript
from cache.errors import StoreError
from cache.stores.async_packing import Packer
from cache.stores.connect import StoreOptions, open_async_store, open_store
from cache.testing import RoundTripProxy
from telemetry.vocabulary import BreakerState, ErrorType

CLOCK = SystemClock()
PATIENT = BreakerOptions(failures=1_000_000)
HASTY = BreakerOptions(failures=1_000_000, first_pause_s=1e-4, last_pause_s=1e-4)
KEYS = 64
ECHO = Lua("echo", "return {KEYS[1], redis.call('GET', KEYS[1])}")


class Shared:
    """A store with its breaker's states, to be used in one event loop."""

    def __init__(self, url, **limits):
        self.states = []
        self.store = open_async_store(
            url, StoreOptions(**limits), on_breaker=lambda _, state: self.states.append(state), clock=CLOCK
        )

    def call(self, *args, seconds=2.0, idempotent=True):
        return self.store.execute(Call(args, Deadline(CLOCK, seconds), idempotent))

    def batch(self, *commands, seconds=2.0):
        return self.store.execute(Batch(commands, Deadline(CLOCK, seconds), True))

    def script(self, key, seconds=2.0):
        return self.store.execute(RunScript(ECHO, (key,), (), Deadline(CLOCK, seconds), True))

    async def outcome(self, *args, **how):
        """The reply, or the kind of trouble."""
        try:
            return await self.call(*args, **how)
        except StoreError as trouble:
            return trouble.kind

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.store.aclose()


def _value(number):
    return b"value of k%d " % number * (1 if number % 16 else 8_000)


def _fill(url):
    store = open_store(url, StoreOptions(), on_breaker=lambda *_: None, clock=CLOCK)
    for number in range(KEYS):
        store.execute(Call(("SET", f"k{number}", _value(number)), Deadline(CLOCK, 2)))
    store.close()


class Turns:
    """Gives the loop some turns."""

    def __init__(self, count):
        self.count = count

    def __await__(self):
        for _ in range(self.count):
            yield


def _connections(admin):
    return len([row for row in admin.client_list() if row["name"] == "glasscache"])


async def _asked(proxy, count):
    """Wait until so many commands have gone through."""
    while len(proxy.tally.commands) < count:
        await Turns(1)


async def _ask(shared, rand):
    """A call of any kind with any deadline; what was wrong with its answer, or None."""
    number, other = rand.randrange(KEYS), rand.randrange(KEYS)
    seconds = rand.choice((2.0, 2.0, 2.0, 2.0, 2.0, 0.05, rand.uniform(1e-5, 2e-3)))
    kind = rand.randrange(4)
    if kind == 0:
        asked, got = _value(number), await shared.call("GET", f"k{number}", seconds=seconds)
    elif kind == 1:
        asked = [_value(number), None, _value(other)]
        got = await shared.call("MGET", f"k{number}", "absent", f"k{other}", seconds=seconds)
    elif kind == 2:
        commands = ("GET", f"k{number}"), ("STRLEN", f"k{other}"), ("GET", f"k{other}")
        asked = [_value(number), len(_value(other)), _value(other)]
        got = await shared.batch(*commands, seconds=seconds)
    else:
        asked, got = [b"k%d" % number, _value(number)], await shared.script(f"k{number}", seconds=seconds)
    return None if got == asked else (kind, asked, got)


async def _some_calls(shared, rand, count):
    """Calls of one task, some of them cancelled; how they ended."""
    ends = {"right": 0, "cancelled": 0, "trouble": 0, "mixed": []}
    for _ in range(count):
        task = asyncio.ensure_future(_ask(shared, rand))
        if rand.random() < 0.2:
            await Turns(rand.randrange(8))
            task.cancel()
        try:
            wrong = await task
        except asyncio.CancelledError:
            ends["cancelled"] += 1
        except StoreError as trouble:
            ends["trouble"] += trouble.kind is not ErrorType.BREAKER_OPEN
            await asyncio.sleep(0.001)
        else:
            ends["right"] += wrong is None
            ends["mixed"] += [wrong] if wrong else []
    return ends


@pytest.mark.parametrize("network", ["good", "cutting", "delaying"])
def test_ten_thousand_calls_by_64_tasks_never_get_anothers_reply(server, proxy, network):
    """Cancelled, out of time or cut off at any moment: whoever is answered is answered rightly."""
    _fill(server.url)

    async def spoil():
        rand = random.Random(3)
        while network != "good":
            await asyncio.sleep(rand.uniform(0.005, 0.03))
            if network == "cutting":
                await asyncio.to_thread(proxy.cut_after, rand.randrange(200_000))
                await asyncio.sleep(rand.uniform(0.005, 0.03))
                await asyncio.to_thread(proxy.heal)
            else:
                await asyncio.to_thread(proxy.delay, rand.choice((0.0, 0.001, 0.004)))

    async def main():
        url = server.url if network == "good" else proxy.url
        async with Shared(url, breaker=HASTY) as shared:
            spoiler = asyncio.ensure_future(spoil())
            tasks = (_some_calls(shared, random.Random(number), 160) for number in range(64))
            ends = await asyncio.gather(*tasks)
            spoiler.cancel()
            await asyncio.to_thread(proxy.heal)
            await asyncio.sleep(0.01)
            return ends, await shared.call("GET", "k1")

    ends, again = asyncio.run(main())

    assert [end["mixed"] for end in ends if end["mixed"]] == []
    assert again == _value(1)
    # how many depends on the machine; each kind must have occurred often
    assert sum(end["right"] for end in ends) > 100
    assert sum(end["cancelled"] for end in ends) > 100
    assert sum(end["trouble"] for end in ends) > 10


def test_a_dripping_server_is_understood(server, proxy):
    """Replies that come byte by byte, over many reads, are whole when they are handed out."""

    async def main():
        async with Shared(proxy.url) as shared:
            await shared.batch(*(("SET", f"d{number}", f"value {number}") for number in range(32)))
            proxy.drip(0)
            got = await asyncio.gather(*(shared.call("MGET", f"d{number}", "absent") for number in range(32)))
            proxy.heal()
            return got

    assert asyncio.run(main()) == [[b"value %d" % number, None] for number in range(32)]


def test_64_tasks_connect_once_and_ask_together(server, proxy):
    """Callers that come while one connects wait for it; what is asked in one turn is one round trip."""

    async def main():
        async with Shared(proxy.url) as shared:
            await asyncio.gather(*(shared.call("GET", f"k{number}") for number in range(64)))
            first = (proxy.tally.accepted, proxy.tally.greetings)
            proxy.tally.clear()
            await asyncio.gather(*(shared.call("GET", f"k{number}") for number in range(64)))
            return first, proxy.tally.round_trips, len(proxy.tally.commands)

    first, round_trips, commands = asyncio.run(main())

    assert first == (1, 1)
    assert commands == 64
    assert round_trips <= 2


def test_a_caller_that_cannot_wait_for_the_connection_leaves_the_others_theirs(server, proxy):
    """Each waits within its own deadline; the attempt goes on while anybody waits."""

    async def main():
        proxy.delay(0.15)
        async with Shared(proxy.url, breaker=PATIENT) as shared:
            got = await asyncio.gather(
                shared.outcome("GET", "a", seconds=0.03), *(shared.outcome("GET", "a") for _ in range(3))
            )
            return got, proxy.tally.accepted

    got, accepted = asyncio.run(main())

    assert got == [ErrorType.TIMEOUT, None, None, None]
    assert accepted == 1


@pytest.fixture
def longest_hold(monkeypatch):
    """For how long a single callback has held its loop, at most, in seconds of its thread's own time."""
    longest, run = [0.0], asyncio.Handle._run

    def timed(handle):
        began = time.thread_time()
        run(handle)
        longest[0] = max(longest[0], time.thread_time() - began)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    return longest


def test_fifty_calls_on_a_frozen_server_end_together_and_hold_nobody(own_server, longest_hold):
    """Side by side they take one deadline, and nothing else in the loop waits. A busy machine may try thrice."""

    async def main():
        async with Shared(own_server.url) as shared:
            await shared.call("PING")
            own_server.freeze()
            longest_hold[0] = 0.0
            began = time.perf_counter()
            kinds = await asyncio.gather(*(shared.outcome("GET", "a", seconds=0.05) for _ in range(50)))
            took = time.perf_counter() - began
            own_server.thaw()
            return set(kinds), took, shared.states

    for _ in range(3):
        kinds, took, states = asyncio.run(main())
        assert kinds == {ErrorType.TIMEOUT}
        assert states == [BreakerState.CLOSED, BreakerState.OPEN]
        assert longest_hold[0] < 0.01
        if took < 0.1:
            return
    pytest.fail(f"{took:.3f} s")


def test_a_megabyte_holds_the_loop_for_less_than_two_milliseconds(server, longest_hold):
    """Neither packing, writing, reading nor parsing it takes longer in one piece: the median, on a busy machine."""
    large, held = os.urandom(1 << 20), []

    async def main():
        async with Shared(server.url) as shared:
            await shared.call("PING")
            for _ in range(11):
                longest_hold[0] = 0.0
                assert await shared.call("SET", "large", large) == b"OK"
                assert await shared.call("GET", "large") == large
                held.append(longest_hold[0])

    asyncio.run(main())

    assert 0 < sorted(held)[5] < 0.002


def test_a_silent_connection_is_given_up_for_all_and_harmless_calls_are_repeated(server, proxy):
    """Who waited a whole deadline opens the breaker; the others go on over a new connection, or say that it broke."""

    async def main():
        async with Shared(proxy.url) as shared:
            await shared.call("SET", "a", 1)
            proxy.hold()
            patient = asyncio.ensure_future(shared.outcome("GET", "a"))
            write = asyncio.ensure_future(shared.outcome("INCR", "n", idempotent=False))
            hasty = await shared.outcome("GET", "a", seconds=0.05)
            states = list(shared.states)
            proxy.heal()
            return hasty, states, await patient, await write, proxy.tally.accepted

    hasty, states, patient, write, accepted = asyncio.run(main())

    assert (hasty, patient, write) == (ErrorType.TIMEOUT, b"1", ErrorType.REFUSED)
    assert states == [BreakerState.CLOSED, BreakerState.OPEN]
    assert accepted == 2


def test_a_deadline_on_a_connection_that_speaks_costs_nobody_else_anything(server, proxy):
    """The place of whoever gave up is kept; its late reply is thrown away."""

    async def main():
        async with Shared(proxy.url, breaker=PATIENT) as shared:
            await shared.batch(("SET", "a", "of a"), ("SET", "b", "of b"))
            proxy.delay(0.06)
            first = asyncio.ensure_future(shared.call("GET", "b"))
            await asyncio.sleep(0.03)
            hasty = asyncio.ensure_future(shared.outcome("GET", "a", seconds=0.045))
            later = [asyncio.ensure_future(shared.call("GET", "b")) for _ in range(5)]
            return await first, await hasty, await asyncio.gather(*later), proxy.tally.accepted

    assert asyncio.run(main()) == (b"of b", ErrorType.TIMEOUT, [b"of b"] * 5, 1)


@pytest.mark.parametrize("idempotent", [True, False])
def test_one_broken_connection_is_one_trouble_to_the_breaker(server, proxy, idempotent):
    """Of 64 calls that it carried, those that may be repeated are answered; the breaker hears of one failure."""

    async def main():
        async with Shared(proxy.url) as shared:
            await shared.call("SET", "a", 1)
            proxy.hold()
            proxy.tally.clear()
            calls = [asyncio.ensure_future(shared.outcome("INCR", "a", idempotent=idempotent)) for _ in range(64)]
            await _asked(proxy, 64)
            proxy.reset_connections()
            proxy.heal()
            return await asyncio.gather(*calls), shared.states, await shared.call("GET", "a")

    got, states, value = asyncio.run(main())

    assert states == [BreakerState.CLOSED]
    if idempotent:
        assert sorted(got) == list(range(66, 130))
    else:
        assert (set(got), value) == ({ErrorType.REFUSED}, b"65")


def test_a_write_that_never_went_is_sent_elsewhere(own_server):
    """What still waited behind a large request when the connection was given up is no lost write."""
    large = b"x" * (8 << 20)

    async def main():
        async with Shared(own_server.url) as shared:
            await asyncio.gather(*(shared.call("SET", f"large{number}", large) for number in range(2)))
            own_server.freeze()
            first = asyncio.ensure_future(shared.outcome("SET", "large0", large, seconds=0.1, idempotent=False))
            others = [
                asyncio.ensure_future(shared.outcome("SET", "large1", large + b"y", idempotent=False)) for _ in range(3)
            ]
            kind = await first
            own_server.thaw()
            ends = await asyncio.gather(*others)
        async with Shared(own_server.url) as shared:
            return kind, ends, await shared.call("STRLEN", "large1")

    kind, others, length = asyncio.run(main())

    assert kind is ErrorType.TIMEOUT
    assert b"OK" in others
    assert length == len(large) + 1


def test_what_waits_behind_a_large_request_proves_nothing(own_server):
    """A small call that never went out in its time says so; the breaker stays closed, the large one goes on."""
    large = b"x" * (8 << 20)

    async def main():
        async with Shared(own_server.url) as shared:
            await shared.call("PING")
            own_server.freeze()
            upload = asyncio.ensure_future(shared.outcome("SET", "large", large))
            await asyncio.sleep(0)
            with pytest.raises(StoreError) as caught:
                await shared.call("GET", "a", seconds=0.05)
            states = list(shared.states)
            own_server.thaw()
            return caught.value, states, await upload

    trouble, states, upload = asyncio.run(main())

    assert (trouble.kind, trouble.sent_nothing) == (ErrorType.TIMEOUT, True)
    assert states == [BreakerState.CLOSED]
    assert upload == b"OK"


def test_a_large_reply_whose_caller_has_gone_blames_nobody_else(server):
    """It ends the connection; those behind it are answered over another, and the breaker hears nothing."""

    async def main():
        async with Shared(server.url, max_reply_bytes=200_000) as shared:
            await shared.batch(("SET", "small", "s"), ("SET", "large", b"x" * 400_000))
            gone = asyncio.ensure_future(shared.call("GET", "large"))
            calls = [asyncio.ensure_future(shared.call("GET", "small")) for _ in range(8)]
            await asyncio.sleep(0)
            gone.cancel()
            return await asyncio.gather(*calls), shared.states

    assert asyncio.run(main()) == ([b"s"] * 8, [BreakerState.CLOSED])


def test_large_values_and_small_ones_do_not_wait_for_each_other(own_server, admin):
    """A megabyte goes over a second connection, every value is whole; and when both are closed, over new ones."""
    large = os.urandom(1 << 20)

    async def main():
        async with Shared(own_server.url) as shared:
            await shared.call("SET", "small", "s")

            async def bulky(number):
                written = b"%d " % number + large
                return [
                    (await shared.call("SET", f"large{number}", written), await shared.call("GET", f"large{number}"))
                    == (b"OK", written)
                    for _ in range(10)
                ]

            async def quick():
                return [await shared.call("GET", "small") == b"s" for _ in range(200)]

            ends = await asyncio.gather(*(bulky(number) for number in range(3)), *(quick() for _ in range(8)))
            before = _connections(admin)
            await asyncio.to_thread(admin.client_kill_filter, _type="normal", skipme=True)
            again = [await shared.call("SET", "large", large, idempotent=False) for _ in range(3)]
            return ends, before, again, _connections(admin), shared.states

    ends, before, again, after, states = asyncio.run(main())

    assert all(all(end) for end in ends)
    assert again == [b"OK"] * 3
    assert before == 2
    assert after == 1
    assert states == [BreakerState.CLOSED]


def test_a_reply_beyond_the_bound_fails_its_own_caller_only(server):
    """The others that shared the connection are answered over another."""

    async def main():
        async with Shared(server.url, max_reply_bytes=200_000, breaker=PATIENT) as shared:
            await shared.batch(("SET", "small", "s"), ("SET", "large", b"x" * 400_000))
            calls = [shared.outcome("GET", "large" if number == 8 else "small") for number in range(16)]
            return await asyncio.gather(*calls)

    got = asyncio.run(main())

    assert got.pop(8) is ErrorType.PROTOCOL
    assert got == [b"s"] * 15


def test_pushes_are_no_replies(server, proxy):
    """What the server says unasked in RESP3 is passed over, also between the replies of a batch."""

    async def main():
        async with Shared(proxy.url) as shared:
            await shared.batch(("SET", "a", "of a"), ("SET", "b", "of b"))
            proxy.hold()
            proxy.tally.clear()
            calls = [asyncio.ensure_future(shared.call("GET", name)) for name in "abab"]
            await _asked(proxy, 4)
            proxy.say(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n")
            proxy.heal()
            return await asyncio.gather(*calls), proxy.tally.accepted

    assert asyncio.run(main()) == ([b"of a", b"of b"] * 2, 1)


def test_a_reply_that_nobody_asked_for_ends_the_connection(server, proxy):
    """It is never handed to the next caller."""

    async def main():
        async with Shared(proxy.url) as shared:
            await shared.call("SET", "a", "of a")
            proxy.say(b"$5\r\nwrong\r\n")
            await asyncio.sleep(0.01)
            return await shared.call("GET", "a"), proxy.tally.accepted, shared.states

    assert asyncio.run(main()) == (b"of a", 2, [BreakerState.CLOSED])


def test_too_many_that_wait_are_refused_at_once(server, proxy):
    """33 for each of ``max_connections``, those included whose callers gave up; the breaker stays closed."""

    async def main():
        async with Shared(proxy.url, max_connections=1, breaker=PATIENT) as shared:
            await shared.call("PING")
            proxy.hold()
            calls = [asyncio.ensure_future(shared.outcome("GET", "a")) for _ in range(33)]
            await asyncio.sleep(0.01)
            for gone in calls[:5]:
                gone.cancel()
            await asyncio.sleep(0)
            refused = await shared.outcome("GET", "a")
            proxy.heal()
            return refused, await asyncio.gather(*calls[5:]), await shared.call("GET", "a"), shared.states

    refused, answered, again, states = asyncio.run(main())

    assert refused is ErrorType.POOL_EXHAUSTED
    assert answered == [None] * 28
    assert again is None
    assert states == [BreakerState.CLOSED]


def test_aclose_waits_for_calls_under_way_but_not_for_ever(server, proxy):
    """A call that ends in time is answered; a held one is told, and closing takes its seconds at most."""

    async def main():
        shared = Shared(proxy.url)
        await shared.call("SET", "a", 1)
        proxy.delay(0.1)
        in_time = asyncio.ensure_future(shared.outcome("GET", "a"))
        await asyncio.sleep(0.01)
        await shared.store.aclose(1.0)
        proxy.heal()
        await shared.call("PING")
        proxy.hold()
        held = asyncio.ensure_future(shared.outcome("GET", "a", idempotent=False))
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        await shared.store.aclose(0.2)
        took = time.perf_counter() - began
        proxy.heal()
        return in_time.done() and await in_time, took, await held

    in_time, took, held = asyncio.run(main())

    assert in_time == b"1"
    assert took < 0.4
    assert held is ErrorType.REFUSED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_in_a_running_loop_leaves_the_parent_its_connections(server):
    """The child begins anew in a loop of its own; the parent's calls under way are answered."""
    _fill(server.url)

    async def main():
        async with Shared(server.url) as shared:
            await shared.call("PING")
            calls = [asyncio.ensure_future(shared.call("GET", f"k{number}")) for number in range(KEYS)]
            await asyncio.sleep(0)
            pid = os.fork()
            if pid == 0:
                code = 99
                try:
                    code = 0 if asyncio.run(shared.call("GET", "k5")) == _value(5) else 1
                finally:
                    os._exit(code)
            got = await asyncio.gather(*calls)
            _, status = await asyncio.to_thread(os.waitpid, pid, 0)
            return os.waitstatus_to_exitcode(status), got, await shared.call("GET", "k7")

    code, got, after = asyncio.run(main())

    assert code == 0
    assert got == [_value(number) for number in range(KEYS)]
    assert after == _value(7)


def test_a_loop_that_was_closed_without_a_word_is_forgotten(server):
    """Its connections go when the store is next used; the new loop has its own."""
    shared = Shared(server.url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(shared.call("SET", "a", 1))
    loop.run_until_complete(shared.store.aclose())
    loop.close()

    assert asyncio.run(shared.call("GET", "a")) == b"1"
    assert len(shared.store._homes) == 1


COMMANDS = [
    ("GET", "k"),
    ("CONFIG GET", "maxmemory"),
    (b"CONFIG GET", b"a b"),
    ("SET", "ä", b"\xff", 5, 1.5, -0.0, 10**30),
    ("SET", "k", memoryview(b"abc"), bytearray(b"def")),
    ("SET", "k", "a\udc80"),
    ("SET", "k", b"x" * 100_000),
    ("SET", None),
    ("SET", True),
    ("SET", ["a"]),
    ("SET", {"a": 1}),
]


@pytest.mark.parametrize("args", COMMANDS)
def test_requests_are_those_of_redis_asyncio(args):
    """Byte for byte, and refused in the same words."""

    def outcome(pack):
        try:
            return pack()
        except redis.DataError as error:
            return str(error)

    theirs = aredis.Connection(encoding_errors="surrogateescape").pack_command

    def ours():
        packed = Packer().pack(args)
        return packed if isinstance(packed, bytes) else b"".join(packed)

    assert outcome(ours) == outcome(lambda: b"".join(theirs(*args)))


def test_a_batch_of_none_asks_nothing(server, proxy):
    """As redis-py's empty pipeline; a batch of one holds its own refusal."""

    async def main():
        async with Shared(proxy.url) as shared:
            nothing = await shared.batch()
            asked = proxy.tally.round_trips
            (refused,) = await shared.batch(("NO-SUCH-COMMAND",))
            return nothing, asked, refused.kind

    assert asyncio.run(main()) == ([], 0, ErrorType.OTHER)


def test_a_restarted_server_is_found_by_all_at_once(own_server):
    """Nobody's call fails for a connection that died while it was idle; the new server's identity is learnt."""

    async def main():
        with RoundTripProxy(own_server.url) as proxy:
            async with Shared(proxy.url, breaker=PATIENT) as shared:
                await shared.call("PING")
                before = shared.store.identity()
                await asyncio.to_thread(own_server.restart)
                got = await asyncio.gather(*(shared.outcome("GET", "a") for _ in range(16)))
                return before, shared.store.identity(), set(got)

    before, after, got = asyncio.run(main())

    assert len(before) == len(after) == 8
    assert before != after
    assert got == {None}
