"""The local tier's rules, with a listener and a server that do as the test says: every order of events by hand."""

from __future__ import annotations

import pytest
from support.local import NOW, SCOPES, TOKEN, Miniature, digest_of, entry_of

from cache.core.local import LEASE_S
from telemetry.vocabulary import EvictionCause


@pytest.fixture
def small() -> Miniature:
    return Miniature()


def test_what_was_read_answers(small: Miniature) -> None:
    """An entry that a look found answers from then on, with its facts."""
    small.read("k")()
    held = small.find("k")
    assert held is not None
    assert (held.times, held.scopes, held.files) == ((NOW - 10, NOW + 90, 0.5), SCOPES, ())


def test_nothing_answers_before_the_lease_is_there() -> None:
    """Without a listener nothing is kept; without a lease nothing answers."""
    deaf = Miniature(on=False)
    deaf.read("k")()
    assert deaf.tier.entries == 0
    deaf.tier.told()
    deaf.read("k")()
    assert deaf.tier.entries == 1
    assert deaf.find("k") is None
    deaf.tier.extend(deaf.clock.monotonic() + LEASE_S)
    assert deaf.find("k") is not None


def test_a_lease_that_ran_out_is_no_answer(small: Miniature) -> None:
    """A listener that is late keeps the tier quiet, and lets it go on when it has caught up."""
    small.read("k")()
    small.clock.tick(LEASE_S)
    assert small.find("k") is None
    small.tier.extend(small.clock.monotonic() + LEASE_S)
    assert small.find("k") is not None


def test_after_a_break_it_begins_empty(small: Miniature) -> None:
    """Who was not told of changes keeps nothing from before; a look from before is not kept after either."""
    late = small.read("late")
    small.read("k")()
    small.tier.lost("lost")
    small.tier.told()
    small.tier.extend(small.clock.monotonic() + LEASE_S)
    late()
    assert (small.find("k"), small.find("late"), small.tier.entries) == (None, None, 0)
    assert small.accounts.evictions()[EvictionCause.DISCONNECTED] == 1


def test_a_push_drops_the_key_and_no_other(small: Miniature) -> None:
    """What changed is gone, what did not change stays."""
    small.read("a")()
    small.read("b")()
    small.push("a")
    assert small.find("a") is None
    assert small.find("b") is not None
    assert small.accounts.evictions()[EvictionCause.INVALIDATED] == 1


def test_a_push_for_all_drops_all(small: Miniature) -> None:
    """FLUSHALL is told by a push without keys."""
    small.read("a")()
    small.tier.pushed(None)
    assert small.tier.entries == 0


@pytest.mark.parametrize("overtakes", ["push", "own change", "own write", "push of all"])
def test_what_a_look_brings_too_late_is_not_kept(small: Miniature, overtakes: str) -> None:
    """An answer that was under way while its key changed may be from before the change."""
    arrives = small.read("k", b'{"old":1}')
    if overtakes == "push":
        small.push("k")
    elif overtakes == "own change":
        small.tier.changed(names=["k"])
    elif overtakes == "own write":
        small.write("k", b'{"new":1}')()
    else:
        small.tier.pushed(None)
    arrives()
    held = small.find("k")
    assert held is None or held.payload == b'{"new":1}'


def test_a_look_whose_scope_changed_meanwhile_does_not_vouch_for_it(small: Miniature) -> None:
    """A token that was read before its generation changed is not taken for the current one."""
    small.read("a")()
    arrives = small.read("b")
    small.push("gen:category:prompt")
    arrives()
    assert small.find("a") is None
    assert small.find("b") is None


def test_a_generation_that_was_only_prolonged_lets_its_entries_answer_again(small: Miniature) -> None:
    """A push tells that a generation was touched; the server is asked, and the same token makes all well."""
    small.read("a")()
    small.push("gen:category:prompt")
    assert small.find("a") is None
    assert small.answer() == 1
    assert small.find("a") is not None


def test_a_generation_that_changed_ends_all_its_entries(small: Miniature) -> None:
    """Invalidation is one push, whatever it covers; the entries go as they are met."""
    for n in range(100):
        small.read(f"k{n}")()
    small.store["gen:category:prompt"] = b"u" * 16
    small.push("gen:category:prompt")
    assert small.find("k1") is None
    small.answer()
    assert [small.find(f"k{n}") for n in range(100)] == [None] * 100
    assert small.tier.entries == 0


def test_an_own_invalidation_is_heeded_before_its_push(small: Miniature) -> None:
    """Who invalidates sees it at once: no push is waited for."""
    small.read("a")()
    small.tier.changed(scopes=["category:prompt"])
    assert small.find("a") is None


def test_what_was_written_answers_at_once_and_outlives_its_own_push(small: Miniature) -> None:
    """The push of our own write sets the entry aside until the server has said whose it is."""
    small.write("k")()
    assert small.find("k") is not None
    small.push("k")
    assert small.find("k") is None
    assert small.answer() == 1
    assert small.find("k") is not None
    small.push("k")
    assert small.answer() == 0
    assert small.find("k") is None


def test_a_push_that_came_before_the_writes_reply_is_settled_too(small: Miniature) -> None:
    """Reply and push travel on different connections: their order is no one's promise."""
    ends = small.write("k")
    small.push("k")
    ends()
    assert small.find("k") is None
    assert small.woken == 1
    small.answer()
    assert small.find("k") is not None


def test_one_push_for_two_writers_is_not_mistaken_for_our_own(small: Miniature) -> None:
    """Another's write in the same moment has no push of its own: the server's answer tells."""
    small.write("k", b'{"by":"us"}')()
    small.store["k"] = entry_of("k", b'{"by":"them"}')[0]
    small.push("k")
    small.answer()
    assert small.find("k") is None


def test_an_own_delete_beats_the_answer_to_an_earlier_question(small: Miniature) -> None:
    """What was set aside does not come back after we deleted it, whatever the server had answered before."""
    small.write("k")()
    small.push("k")
    (question,) = small.tier.questions()
    replies = [small._reply(*command) for command in question.commands]
    small.tier.changed(names=["k"])
    question.answered(replies)
    assert small.find("k") is None


def test_two_own_writers_never_leave_the_older_one(small: Miniature) -> None:
    """Two threads write one key: whose reply is handled last says nothing about whose write stands."""
    first = small.write("k", b'{"n":1}')
    second = small.write("k", b'{"n":2}')
    second()
    held = small.find("k")
    assert held is not None
    assert held.payload == b'{"n":2}'
    first()
    assert small.find("k") is None
    small.answer()
    assert small.find("k") is None


def test_another_keys_entry_does_not_answer(small: Miniature) -> None:
    """A short name that two keys share is told apart by what the entry is bound to."""
    small.read("k")()
    assert small.tier.find("k", digest_of("other"), NOW) is None


def test_an_expired_entry_does_not_answer_and_leaves(small: Miniature) -> None:
    """Expiry is by the cache's clock."""
    small.read("k")()
    assert small.find("k", NOW + 89.9) is not None
    assert small.find("k", NOW + 90) is None
    assert small.tier.entries == 0
    assert small.accounts.evictions()[EvictionCause.EXPIRED] == 1


def test_what_is_larger_than_a_tenth_of_the_bound_is_not_kept() -> None:
    """One entry does not push all others out, and the one before it does not answer in its place."""
    small = Miniature(1 << 17)
    small.write("k")()
    small.write("k", b"x" * (1 << 15), codec=3)()
    assert small.find("k") is None


def test_bonds_leave_with_their_entries() -> None:
    """A million tasks that came and went leave nothing behind."""
    small = Miniature(1 << 17)
    for n in range(2000):
        small.read(f"k{n}", scopes=(*SCOPES, (f"tag:{n}", TOKEN)))()
        assert small.tier.used <= 1 << 17
    assert small.tier.entries > 20
    assert len(small.tier._bonds._bonds) == small.tier.entries + 1
    assert small.accounts.evictions()[EvictionCause.CAPACITY] == 2000 - small.tier.entries
    small.tier.changed(names=[f"k{n}" for n in range(2000)])
    assert (small.tier.entries, small.tier._bonds.used) == (0, 0)
