"""The catalogue in its short form: every row, in one form of caller; ``make faults`` plays them all, for longer."""

from __future__ import annotations

import pytest

from faults import catalogue
from faults.registry import Fault, Row
from faults.running import played

EVERY_WAY = ("1",)
"""Rows that are played in all forms of caller here too."""


def shortened() -> list[tuple[Row, str, str]]:
    """Rows in one of their variants each, in turn."""
    found: list[tuple[Row, str, str]] = []
    for at, row in enumerate(catalogue.rows()):
        variants = row.variants if row.number in EVERY_WAY else (row.variants[at % len(row.variants)],)
        found += [(row, *variant) for variant in variants]
    return found


@pytest.mark.parametrize(
    ("row", "form", "path"), [pytest.param(*each, id=f"{each[0].number}-{each[1]}-{each[2]}") for each in shortened()]
)
def test_a_fault_harms_nobody(row: Row, form: str, path: str) -> None:
    """No wrong value, no error, nothing slower than it may be, back in time, nothing leaked."""
    told = played(row, form, path, short=True)

    assert told.reached == "", f"{told.reached}: apt-get install iptables iproute2, and run as root on Linux"
    assert told.broken == (), told.figures.as_data()
    if isinstance(row, Fault):
        assert told.figures.calls > 0


def test_every_row_has_a_number_of_its_own() -> None:
    """Numbers find rows, and no variant is played twice."""
    numbers = [row.number for row in catalogue.rows()]

    assert len(numbers) == len(set(numbers))
    assert all(len(row.variants) == len(set(row.variants)) > 0 for row in catalogue.rows())
