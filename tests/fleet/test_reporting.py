"""Members of a fleet over a real server: sums, losses, folds, and those who come back."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from support.figures import facts, hits
from support.fleet import KEY, Join, Member

from cache.core import fleet_folding
from cache.core.fleet_folding import KEPT_ENDED
from cache.core.fleet_records import encode
from cache.core.fleet_scripts import SWAP, WRITE
from cache.testing import EmbeddedServer
from telemetry.figures import nothing

ROOT = Path(__file__).resolve().parent.parent.parent


def names(admin: redis.Redis, kind: str) -> set[str]:
    """Ids of the fields of one kind."""
    return {name.decode()[2:] for name in admin.hkeys(KEY) if name.decode().startswith(kind)}


def age(admin: redis.Redis, member: Member, seconds: int) -> None:
    """Let a member's record look as if it had been written earlier."""
    stamp, _, data = admin.hget(KEY, f"p:{member.id}").partition(b" ")
    admin.hset(KEY, f"p:{member.id}", b"%d " % (int(stamp) - 1000 * seconds) + data)


def fold(member: Member) -> None:
    """Fold what is due."""
    member.reporter._beats = -1  # the next look is due
    member.beat()


def test_living_and_ended_are_added_up_exactly(join: Join) -> None:
    """Every field of the sum is the sum of the ledgers; the reader's own figures are of this moment."""
    a, b, c = (join().count(n).beat() for n in (1, 10, 100))
    b.count(1000).beat(last=True)
    c.count(5)

    found = c.sum()

    expected = nothing()
    for member in (a, b, c):
        expected = expected.plus(member.ledger.figures())
    assert facts(found.figures) == facts(expected)
    assert hits(found.figures) == 1116
    assert (found.workers, found.processes, found.silent, found.complete) == (2, 3, 0, True)
    assert 0 <= found.oldest_s < 5


def test_the_hash_expires_long_after_the_last_write(join: Join, admin: redis.Redis) -> None:
    """A fleet that is gone leaves nothing behind for ever."""
    join().beat()

    assert 6 * 86_400 < admin.ttl(KEY) <= 7 * 86_400


def test_a_flush_heals_where_all_live(join: Join, admin: redis.Redis) -> None:
    """Nothing had ended: after a write of each the sum is whole again; before, it says that it is not."""
    a, b = join().count(1).beat(), join().count(10).beat()
    a.beat()
    admin.flushall()

    a.beat()
    between = a.sum()
    b.beat()
    after = a.sum()

    assert (hits(between.figures), between.complete) == (1, False)
    assert (hits(after.figures), after.complete) == (11, True)
    assert names(admin, "m:") == set()


@pytest.mark.parametrize("folded", [False, True], ids=["ended", "folded"])
def test_a_flush_that_takes_ended_ones_is_told(folded: bool, join: Join, admin: redis.Redis) -> None:
    """The living heal, the ended are lost: not complete, since the flush was noticed; also after a second flush."""
    a = join().count(1).beat()
    for n in range(KEPT_ENDED + 1 if folded else 1):
        join().count(10 + n).beat().beat(last=True)
    a.beat().beat()
    assert bool(names(admin, "e:")) is not folded
    assert a.sum().complete
    seconds, micros = admin.time()
    flushed = seconds + micros / 1e6
    admin.flushall()

    a.beat()
    first = a.sum()
    admin.flushall()
    a.beat()
    second = a.sum()

    assert (hits(first.figures), first.complete) == (1, False)
    assert flushed - 0.01 <= (first.lost_since or 0) <= (second.lost_since or 0) <= flushed + 60
    assert not second.complete


def test_a_restarted_server_that_forgot_is_noticed(fleet_server: EmbeddedServer, join: Join) -> None:
    """A server that was killed comes back empty: told like a flush."""
    a = join().count(1).beat()
    join().count(10).beat(last=True)
    a.beat()
    fleet_server.kill()
    fleet_server.start()

    for _ in range(50):
        a.reporter.beat()
        if a.reporter._trouble is None:
            break
    found = a.sum()

    assert (hits(found.figures), found.complete) == (1, False)


def test_a_server_that_went_back_is_noticed(join: Join, admin: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restored from a copy in which a process still lived: its last figures are lost, and that is told."""
    a, b = join().count(1).beat(), join().count(10).beat()
    copy = admin.dump(KEY)
    b.count(100).beat(last=True)
    a.beat()
    admin.restore(KEY, 0, copy, replace=True)
    monkeypatch.setattr(a.store, "identity", lambda: b"another")

    a.beat()

    found = a.sum()
    assert (hits(found.figures), found.complete) == (11, False)


def test_a_server_that_went_back_to_before_a_process_is_written_to_in_full(
    join: Join, admin: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy does not know the process at all: it is not taken for folded."""
    a = join().count(1).beat()
    copy = admin.dump(KEY)
    b = join().count(10).beat()
    admin.restore(KEY, 0, copy, replace=True)
    monkeypatch.setattr(b.store, "identity", lambda: b"another")

    b.count(100).beat()

    assert hits(a.sum().figures) == 111


def test_ended_ones_are_folded_and_the_hash_stays_small(join: Join, admin: redis.Redis) -> None:
    """A hundred processes come and go: the sum is exact, and the fields stay below two hundred."""
    a = join().beat()
    for n in range(100):
        join().count(n).beat(last=True)
        a.beat()

    found = a.sum()

    assert hits(found.figures) == sum(range(100))
    assert (found.processes, found.workers, found.complete) == (101, 1, True)
    assert len(names(admin, "e:")) <= KEPT_ENDED + 1
    assert admin.hlen(KEY) <= 3 + 1 + KEPT_ENDED + 1 + fleet_folding.KEPT_FOLDED


def test_two_who_fold_at_once_fold_once(join: Join, admin: redis.Redis) -> None:
    """Both saw the same records; the second finds them changed and leaves them."""
    a, b = join().beat(), join().beat()
    for n in range(KEPT_ENDED + 1):
        join().count(n).beat(last=True)
    seen = [member.reporter._read() for member in (a, b)]
    folds = [fleet_folding.due(table) for table in seen]

    done = [
        member.reporter._execute(SWAP, made.arguments())
        for member, made in zip((a, b), folds, strict=True)
        if made is not None
    ]

    assert done == [1, 0]
    assert hits(a.sum().figures) == sum(range(KEPT_ENDED + 1))


def test_many_who_fold_in_threads_keep_the_sum(join: Join) -> None:
    """Six members write, end and fold at the same time, again and again: nothing is lost and nothing counts twice."""
    watcher = join().beat()
    rounds, crew = 12, 6
    barrier = threading.Barrier(crew)

    def work(number: int, members: list[Member]) -> None:
        barrier.wait()
        for member in members:
            member.count(number + 1)
            member.reporter.beat()
            member.reporter.beat(last=True)
            folding[number].reporter.beat()

    folding = [join().beat() for _ in range(crew)]
    plan = [[join() for _ in range(rounds)] for _ in range(crew)]
    threads = [threading.Thread(target=work, args=(n, plan[n])) for n in range(crew)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = watcher.sum()
    assert hits(found.figures) == rounds * sum(range(1, crew + 1))
    assert found.processes == 1 + crew + crew * rounds
    assert found.complete


def test_a_folded_one_that_comes_back_counts_once(join: Join, admin: redis.Redis) -> None:
    """Suspended for an hour, folded, then resumed: it goes on under another name, and every hit counts once."""
    a, b = join().count(1).beat(), join().count(10).beat()
    age(admin, b, 3601)
    first = b.id
    fold(a)
    assert first not in names(admin, "p:")
    assert hits(a.sum().figures) == 11

    b.count(100)
    assert hits(b.sum().figures) == 111
    b.beat()

    assert b.id != first
    assert hits(a.sum().figures) == hits(b.sum().figures) == 111
    b.count(1000).beat(last=True)
    assert hits(a.sum().figures) == 1111


def test_folded_twice_counts_once(join: Join, admin: redis.Redis) -> None:
    """The same again, from the figures that were folded before."""
    a, b = join().count(1).beat(), join()
    for n in (10, 100, 1000):
        b.count(n).beat()
        age(admin, b, 3601)
        fold(a)
        assert b.id not in names(admin, "p:")
    b.count(10_000).beat()

    assert hits(a.sum().figures) == 11_111


def test_a_folded_one_that_nobody_remembers_counts_once(join: Join, admin: redis.Redis) -> None:
    """Its name has made room for others': it was there before and is not, in the same hash, so it was folded."""
    a, b = join().count(1).beat(), join().count(10).beat()
    age(admin, b, 3601)
    fold(a)
    admin.hdel(KEY, f"f:{b.id}")

    b.count(100).beat()

    assert hits(a.sum().figures) == 111


def test_a_flush_after_a_fold_heals_in_full(join: Join, admin: redis.Redis) -> None:
    """What was folded of a living process went with the flush: it writes everything again."""
    a, b = join().count(1).beat(), join().count(10).beat()
    age(admin, b, 3601)
    fold(a)
    b.count(100).beat()
    admin.flushall()

    b.beat()
    a.beat()

    assert hits(a.sum().figures) == 111


def test_a_late_write_does_not_undo_the_last_one(join: Join, admin: redis.Redis) -> None:
    """A write that was on its way when the process said its last word: ignored, before and after folding."""
    a, b = join().beat(), join().count(10).beat()
    late = [b.id, encode(b.ledger.figures()), 0, "0" * 16, 1000, b""]
    b.count(100).beat(last=True)

    b.reporter._execute(WRITE, late)
    assert hits(a.sum().figures) == 110
    assert b.id not in names(admin, "p:")

    for _ in range(KEPT_ENDED):
        join().beat(last=True)
    a.beat().beat()
    b.reporter._execute(WRITE, late)
    assert hits(a.sum().figures) == 110


def test_a_last_word_that_is_said_twice_counts_once(join: Join) -> None:
    """The answer to it was lost, and before it came again it was folded: it is not written under another name."""
    a, b = join().beat(), join().count(10).beat()
    b.beat(last=True)
    for _ in range(KEPT_ENDED):
        join().beat(last=True)
    a.beat().beat()

    b.beat(last=True)

    found = a.sum()
    assert (hits(found.figures), found.processes) == (10, 2 + KEPT_ENDED)


def test_what_another_version_wrote_is_left_out(join: Join, admin: redis.Redis) -> None:
    """No error, no wrong sum: not complete."""
    a = join().count(1).beat()
    admin.hset(KEY, "p:other", b'%d j{"format":"99"}' % (admin.time()[0] * 1000))

    found = a.sum()

    assert (hits(found.figures), found.complete, found.foreign, found.workers) == (1, False, 1, 2)


def test_trouble_is_logged_when_it_changes(
    fleet_server: EmbeddedServer, join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is away for many writes: one line when it begins, one when it is over."""
    caplog.set_level(logging.INFO, "glasscache")
    a = join().count(1).beat()
    fleet_server.kill()
    for _ in range(20):
        a.reporter.beat()
    fleet_server.start()
    for _ in range(200):
        a.reporter.beat()
        if a.reporter._trouble is None:
            break
        threading.Event().wait(0.05)

    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO"]
    assert hits(a.sum().figures) == 1


def stack_rights() -> list[str]:
    """The commands that the shipped stack's user may give."""
    (user,) = re.findall(
        r"^user glasscache (.*)$", (ROOT / "dashboards" / "redis" / "users.acl").read_text(), re.MULTILINE
    )
    return [word for word in user.split() if word.startswith("+")]


def guide_rights() -> list[str]:
    """What the guide says that a restricted user needs on the hash, and what the connection and any script need."""
    text = (ROOT / "docs" / "guide.md").read_text()
    (named,) = re.findall(r"restricted rights needs, beside what a cache needs, (.*?) on the key", text, re.DOTALL)
    return [f"+{name.lower()}" for name in ("INFO", "EVAL", "EVALSHA", *re.findall(r"`(\w+)`", named))]


@pytest.mark.parametrize("rights", [guide_rights, stack_rights])
def test_restricted_rights_are_enough(
    rights: Callable[[], list[str]], fleet_server: EmbeddedServer, join: Join, admin: redis.Redis
) -> None:
    """A user with the commands that the guide names, and the stack's own user, write, mark, fold and read."""
    admin.acl_setuser("narrow", enabled=True, reset=True, passwords=["+pw"], keys=[KEY], commands=rights())
    narrow = Member(fleet_server.url.replace("unix://", "unix://narrow:pw@"))
    narrow.beat()
    for n in range(KEPT_ENDED + 1):
        join().count(n).beat(last=True)
    narrow.beat().beat()
    assert narrow.sum().complete
    assert names(admin, "e:") == set()
    admin.flushall()
    narrow.beat()

    assert not narrow.sum().complete
    narrow.store.close()
    admin.acl_deluser("narrow")
