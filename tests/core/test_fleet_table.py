"""What was lost of the fleet, what it comes to, and what is folded: decisions over plain data."""

from __future__ import annotations

import pytest
from support.figures import count, hits

from cache.core import fleet_folding
from cache.core.fleet_folding import BATCH, CROWD, KEPT_ENDED, KEPT_FOLDED, due
from cache.core.fleet_records import encode
from cache.core.fleet_roster import Loss, Roster, lost, roster
from cache.core.fleet_table import Table, add_up
from telemetry.figures import Figures
from telemetry.ledger import Ledger

NOW = 1_700_000_000_000


def some(n: int = 1, category: str = "prompt", since: float = 100.0) -> Figures:
    """Figures with ``n`` hits."""
    ledger = Ledger(now=lambda: since)
    count(ledger, n, category)
    return ledger.figures()


def value(figures: Figures, age_s: float = 0.0) -> bytes:
    """A record that was written ``age_s`` ago."""
    return b"%d " % (NOW - int(age_s * 1000)) + encode(figures)


FOREIGN = b"%d j{}" % (NOW - 10_000_000)

BEFORE = Roster(b"e1", b"s1", 2, frozenset({"a", "b"}), frozenset({"c", "d"}), frozenset(), 1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(Roster(b"e1", b"s1", 0, frozenset({"a"})), Loss(), id="the same hash: our scripts lose nothing"),
        pytest.param(Roster(b"e2", b"s1", 0, frozenset({"a"})), Loss(True, frozenset({"b"})), id="flushed"),
        pytest.param(
            Roster(b"e1", b"s2", 2, frozenset({"a", "b"}), frozenset({"c", "d"})), Loss(), id="restarted, all there"
        ),
        pytest.param(
            Roster(b"e1", b"s2", 2, frozenset({"a", "b", "c"}), frozenset({"d"})),
            Loss(True),
            id="went back to before an end",
        ),
        pytest.param(
            Roster(b"e1", b"s2", 1, frozenset({"a", "b"}), frozenset({"c", "d"})),
            Loss(True),
            id="went back to before a fold",
        ),
        pytest.param(
            Roster(b"e1", b"s2", 2, frozenset({"a"}), frozenset({"b", "c", "d"})), Loss(), id="restarted, and one ended"
        ),
    ],
)
def test_what_was_lost(now: Roster, expected: Loss) -> None:
    """Ended processes' figures are lost for good, living ones' until they write again."""
    assert lost(BEFORE, now) == expected


def test_who_sees_the_hash_first_misses_nothing() -> None:
    """Without a memory there is nothing to miss."""
    assert not lost(None, BEFORE)


def test_a_flush_with_the_living_alone_loses_nothing_for_good() -> None:
    """Nobody had ended: only those who have not yet written again are missing."""
    before = Roster(b"e1", b"s", 0, frozenset({"a", "b"}))

    assert lost(before, Roster(b"e2", b"s", 0, frozenset({"a"}))) == Loss(False, frozenset({"b"}))
    assert not lost(before, Roster(b"e2", b"s", 0, frozenset({"a", "b"})))


def test_an_earlier_loss_is_remembered_through_a_second_one() -> None:
    """A flush takes the note of an earlier loss away; whoever saw it notes it again, unless it has healed."""
    before = Roster(b"e1", b"s", 0, frozenset({"a"}), missing=frozenset({"total", "x"}))

    assert lost(before, Roster(b"e2", b"s", 0, frozenset({"a"}))).ended
    healed = Roster(b"e1", b"s", 0, frozenset({"a"}), missing=frozenset({"x"}))
    assert not lost(healed, Roster(b"e2", b"s", 0, frozenset({"a", "x"})))


def test_a_roster_is_read_from_the_names() -> None:
    """Each kind in its place, strange names in none."""
    names = [b"epoch", b"total", b"p:a", b"e:b", b"f:c", b"m:d", b"\xff\xfe", b""]

    assert roster(b"e", b"s", 3, names) == Roster(
        b"e", b"s", 3, frozenset("a"), frozenset("bc"), frozenset("d"), unfolded=1
    )


def test_the_sum_of_living_silent_ended_and_folded() -> None:
    """All are added up; who lives is told from who is silent by its age, and one's own record is not counted twice."""
    fields = {
        "epoch": b"x", "folds": b"4", "total": encode(some(1000, since=50.0)),
        "p:me": value(some(7)), "p:a": value(some(10), 0.5), "p:b": value(some(20), 2.0), "p:c": value(some(40), 60.0),
        "e:d": value(some(80), 3000.0), "f:e": b"1 ",
    }  # fmt: skip
    found = add_up(Table(NOW, fields), "me", some(8))

    assert hits(found.figures) == 1000 + 8 + 10 + 20 + 40 + 80
    assert (found.workers, found.silent, found.processes, found.oldest_s) == (3, 1, 9, 2.0)
    assert found.complete
    assert found.figures.since == 50.0


def test_what_is_missing_is_told() -> None:
    """Marks and records of another format make the sum incomplete; a mark of one's own is healed by being there."""
    marked = add_up(Table(NOW, {"m:total": b"90000", "m:a": b"80000", "m:me": b"99000"}), "me", some())
    foreign = add_up(Table(NOW, {"p:a": FOREIGN, "e:b": FOREIGN, "total": b"?"}), "me", some(5))
    mine = add_up(Table(NOW, {"m:me": b"99000"}), "me", some())

    assert (marked.complete, marked.lost_since) == (False, 90.0)
    assert (foreign.complete, foreign.foreign, hits(foreign.figures)) == (False, 3, 5)
    assert mine.complete


def test_one_who_was_folded_and_has_not_noticed_counts_once() -> None:
    """What was folded under the reader's own name is taken off its live figures."""
    fields = {"total": encode(some(7)), "folds": b"1", "f:me": value(some(7), 4000.0)}

    assert hits(add_up(Table(NOW, fields), "me", some(9)).figures) == 9


def ended(n: int) -> dict[str, bytes]:
    return {f"e:{i:03}": value(some(1), 100.0 - i) for i in range(n)}


def swapped(fields: dict[str, bytes], fold: fleet_folding.Fold) -> dict[str, bytes]:
    """The hash after the script that carries a fold out."""
    assert all(fields.get(name, b"") == expected for name, expected in fold.expected.items())
    return {name: data for name, data in (fields | fold.written).items() if name not in fold.dropped}


def test_a_few_ended_ones_are_left_alone() -> None:
    """Folding waits until there are more than a handful."""
    assert due(Table(NOW, ended(KEPT_ENDED))) is None


def test_ended_ones_are_folded_without_a_change_of_the_sum() -> None:
    """One sum, their names, no record; the same total before and after."""
    fields = ended(KEPT_ENDED + 1)
    fold = due(Table(NOW, fields))
    assert fold is not None
    after = swapped(fields, fold)

    assert after["folds"] == b"%d" % (KEPT_ENDED + 1)
    assert not [name for name in after if name[:2] in ("e:", "p:")]
    before, now = (add_up(Table(NOW, each), "me", Figures()) for each in (fields, after))
    assert hits(before.figures) == hits(now.figures) == KEPT_ENDED + 1
    assert before.processes == now.processes


def test_silence_is_folded_after_an_hour_and_its_record_kept() -> None:
    """A suspended process that comes back must find what was counted of it."""
    silent, quiet = value(some(3), 3601.0), value(some(4), 3500.0)
    fold = due(Table(NOW, {"p:a": silent, "p:b": quiet}))

    assert fold is not None
    assert fold.dropped == ["p:a"]
    assert fold.written["f:a"] == silent


def test_in_a_crowd_folding_is_quicker_but_the_living_stay() -> None:
    """Beyond 64 records a minute of silence is enough; those who write are kept, however many they are."""
    crowd = {f"p:{i:03}": value(some(1), 61.0 if i < 50 else 1.0) for i in range(CROWD + 30)}
    fold = due(Table(NOW, crowd))

    assert fold is not None
    assert len(fold.dropped) == BATCH
    assert max(fold.dropped) < "p:050"
    living = {f"p:{i:03}": value(some(1), 1.0) for i in range(CROWD + 30)}
    assert due(Table(NOW, living)) is None


def test_names_of_folded_ones_are_bounded() -> None:
    """The oldest make room."""
    fields = ended(KEPT_ENDED + 1) | {f"f:old{i:02}": b"%d " % i for i in range(KEPT_FOLDED)}
    fold = due(Table(NOW, fields))
    assert fold is not None
    after = swapped(fields, fold)

    assert len([name for name in after if name[:2] == "f:"]) == KEPT_FOLDED
    assert "f:old00" not in after


@pytest.mark.parametrize("text", [b"", b"what?", b"-1", b"1" * 5000], ids=["empty", "words", "negative", "huge"])
def test_what_should_be_a_number_stops_nothing(text: bytes) -> None:
    """Somebody wrote into the hash by hand: the sum is still made, and what is over is still folded."""
    odd = {"folds": text, "f:x": text, "m:y": text, "e:z": text}
    fields = ended(KEPT_ENDED + 1) | {f"f:old{i:02}": b"%d " % i for i in range(KEPT_FOLDED)} | odd

    found = add_up(Table(NOW, fields), "me", Figures())
    fold = due(Table(NOW, fields))

    assert (found.processes, found.foreign, found.lost_since) == (KEPT_ENDED + 3, 1, None)
    assert fold is not None
    assert len([name for name in swapped(fields, fold) if name[:2] == "f:"]) == KEPT_FOLDED


def test_another_versions_records_stay_until_there_is_a_crowd() -> None:
    """They are its own to fold; when they would grow without a bound they are given up, and that is noted."""
    few = ended(KEPT_ENDED) | {"e:x": FOREIGN}
    fold = due(Table(NOW, few))
    assert fold is not None
    assert "e:x" not in fold.dropped
    assert due(Table(NOW, ended(KEPT_ENDED + 1) | {"total": b"?"})) is None

    many = {f"e:{i:03}": FOREIGN for i in range(CROWD + 1)} | {"total": b"?"}
    fold = due(Table(NOW, many))
    assert fold is not None
    after = swapped(many, fold)
    assert "e:000" not in after
    found = add_up(Table(NOW, after), "me", Figures())
    assert (found.foreign, found.lost_since) == (0, NOW / 1000)
