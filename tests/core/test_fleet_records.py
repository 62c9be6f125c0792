"""Figures are added up exactly, in any order, and come back from their bytes; foreign bytes are no figures."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import reduce
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support.figures import count, facts, hits, ledger_of, operations

from cache.core import fleet_records
from cache.core.fleet_records import FORMAT, LEFT_OUT, MAX_BYTES, decode, encode
from telemetry.events import OperationEvent
from telemetry.figures import Figures, nothing
from telemetry.histogram import Histogram
from telemetry.ledger import Ledger
from telemetry.series import LOOKUPS
from telemetry.vocabulary import (
    MAX_REGISTERED_CATEGORIES,
    BreakerState,
    ErrorType,
    MissReason,
    Operation,
    Outcome,
    Tier,
)

Done = list[tuple[OperationEvent, float]]


@settings(max_examples=50)
@given(st.lists(st.tuples(operations(), st.integers(0, 3)), max_size=16))
def test_the_sum_is_the_ledger_of_all(done: list[tuple[tuple[OperationEvent, float], int]]) -> None:
    """Whatever four processes count adds up to what one process would have counted."""
    all_of_it = ledger_of([item for item, _ in done]).figures()
    parts = [ledger_of([item for item, process in done if process == n]).figures() for n in range(4)]

    assert facts(reduce(Figures.plus, parts)) == facts(all_of_it)


@settings(max_examples=40)
@given(st.lists(operations(), max_size=5), st.lists(operations(), max_size=5), st.lists(operations(), max_size=5))
def test_the_order_does_not_matter(one: Done, two: Done, three: Done) -> None:
    """Adding is associative and commutative, and nothing is its zero."""
    a, b, c = (ledger_of(done, since).figures() for done, since in ((one, 3.0), (two, 1.0), (three, 2.0)))

    assert facts(a.plus(b)) == facts(b.plus(a))
    assert facts(a.plus(b).plus(c)) == facts(a.plus(b.plus(c)))
    assert facts(a.plus(nothing())) == facts(nothing().plus(a)) == facts(a)


@settings(max_examples=50)
@given(st.lists(operations(), max_size=8))
def test_figures_come_back_from_their_bytes(done: Done) -> None:
    """All that is added up survives the wire."""
    figures = ledger_of(done).figures()
    back = decode(encode(figures))

    assert back is not None
    assert facts(back) == facts(figures)


def test_adding_leaves_both_as_they_were() -> None:
    """A sum shares no table and no histogram with its parts."""
    one, two = Ledger(), Ledger()
    count(one, 2)
    count(two, 3, "tool")
    a, b = one.figures(), two.figures()
    before = facts(a), facts(b)

    both = a.plus(b)
    for histogram in (*both.durations.values(), *both.ages.values()):
        histogram.record(1.0)
    both.requests.clear()

    assert (facts(a), facts(b)) == before


def test_a_breaker_is_shown_in_its_worse_state() -> None:
    """Of two processes that see one store differently, the worse is told."""
    a = Figures(breakers={"x": BreakerState.OPEN, "y": BreakerState.CLOSED})
    b = Figures(breakers={"x": BreakerState.HALF_OPEN, "z": BreakerState.CLOSED})

    expected = {"x": BreakerState.OPEN, "y": BreakerState.CLOSED, "z": BreakerState.CLOSED}
    assert a.plus(b).breakers == b.plus(a).breakers == expected


def test_a_setting_is_not_added_up() -> None:
    """Two processes that promise an hour promise an hour; where they differ, the longer is shown."""
    a, b = (
        Figures(ttls_s={"prompt": 3600.0, "tool": 60.0}),
        Figures(ttls_s={"prompt": 3600.0, "tool": 1800.0, "x": 1.0}),
    )

    assert a.plus(b).ttls_s == b.plus(a).ttls_s == {"prompt": 3600.0, "tool": 1800.0, "x": 1.0}


def test_histograms_of_other_buckets_cannot_be_added() -> None:
    """Different boundaries are an error, not a wrong sum."""
    with pytest.raises(ValueError, match="boundaries"):
        Histogram((1.0,)).plus(Histogram((2.0,)))


def test_every_field_is_written_or_left_out_on_purpose() -> None:
    """A field that is added to the figures cannot be forgotten here."""
    document = orjson.loads(fleet_records._plain(encode(Figures())))

    assert document.keys() - {"format"} == {part.name for part in fields(Figures)} - LEFT_OUT


def test_seconds_never_fall_below_nothing() -> None:
    """Folded twice, and nothing counted since: what is left rounds to less than none, which nobody could read back."""
    for n in range(100):
        ledger, folded = Ledger(now=lambda: 1.0), nothing()
        for before_a_fold in ((1 / (n + 3),), (1.5 / (n + 3.3), 0.1 / (n + 3.7))):
            for seconds in before_a_fold:
                event = OperationEvent("prompt", Operation.GET)
                event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=seconds, cost_s=seconds)
                ledger.apply(event, seconds)
            folded = folded.plus(ledger.figures().after(folded))
        rest = decode(encode(ledger.figures().after(folded)))

        assert rest is not None
        assert hits(rest) == 0


def test_nothing_comes_back_as_nothing() -> None:
    """The empty sum has no beginning, and keeps none."""
    back = decode(encode(nothing()))

    assert back is not None
    assert facts(back) == facts(nothing())


def test_a_full_ledger_stays_far_below_the_bound() -> None:
    """Every category, outcome, tier, reason and error at once: a record of some KiB."""
    ledger = Ledger([f"category_{n}" for n in range(MAX_REGISTERED_CATEGORIES)])
    for category in ledger.categories():
        for operation in LOOKUPS:
            for outcome in Outcome:
                for kind, tier, reason in zip(ErrorType, list(Tier) * 6, [*MissReason, None, None, None], strict=True):
                    event = OperationEvent(category, operation, error=kind)
                    event.looked(outcome, tier=tier, reason=reason, age_s=1.0, cost_s=1.0)
                    ledger.apply(event, 0.001)
    data = encode(ledger.figures())

    assert len(fleet_records._plain(data)) < MAX_BYTES / 10
    assert len(data) < 32_768


def _document(**changes: Any) -> bytes:
    ledger = Ledger(now=lambda: 1.0)
    count(ledger)
    return b"j" + orjson.dumps(orjson.loads(fleet_records._plain(encode(ledger.figures()))) | changes)


FOREIGN = {
    "empty": b"",
    "another kind": b"x{}",
    "no JSON": b"j{",
    "no object": b"j[]",
    "another format": _document(format="2"),
    "a field less": b"j" + orjson.dumps({"format": FORMAT}),
    "an unknown word": _document(requests=[["prompt", "get", "new", None, None, 1]]),
    "a word too many": _document(writes=[["prompt", "stored", "x", 1]]),
    "no word": _document(writes=[[None, "stored", 1]]),
    "a negative count": _document(writes=[["prompt", "stored", -1]]),
    "a fraction": _document(writes=[["prompt", "stored", 1.5]]),
    "a truth": _document(dropped=True),
    "a long category": _document(bytes_stored=[["x" * 65, 1]]),
    "a category that a terminal would obey": _document(bytes_stored=[["\x1b[2J\n", 1]]),
    "more categories than all programs have": _document(bytes_stored=[[f"c{n}", 1] for n in range(1000)]),
    "a count beyond all counts": _document(writes=[["prompt", "stored", 2**64 - 1]]),
    "seconds beyond all time": _document(avoided_s=[["prompt", 1e308]]),
    "other buckets": _document(sizes=[["prompt", [1, 2], 3.0]]),
    "no seconds": _document(avoided_s=[["prompt", None]]),
    "no frame": b"zabc",
    "a frame of no known size": b"z" + zstandard.ZstdCompressor(write_content_size=False).compress(b"{}"),
    "a huge frame": b"z" + zstandard.ZstdCompressor().compress(b" " * (MAX_BYTES + 1)),
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_bytes_are_no_figures(data: bytes) -> None:
    """Another version, damage and too much: None, and no error."""
    assert decode(_document()) is not None
    assert decode(data) is None


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(data: bytes) -> None:
    """Whatever lies in the hash, reading it does not raise, and what does not name the format is no figures."""
    for head in (b"", b"j", b"z"):
        assert decode(head + data) is None


def test_the_format_is_named_after_the_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program with other buckets wrote is of another format."""
    mine = encode(replace(Figures(), since=1.0))
    monkeypatch.setattr(fleet_records, "FORMAT", "1-00000000")

    assert decode(mine) is None
