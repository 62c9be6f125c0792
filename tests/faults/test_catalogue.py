"""The catalogue in its short form: every row, in one form of caller; ``make faults`` plays them all, for longer."""

from __future__ import annotations

import pytest

from faults import catalogue
from faults.registry import Row
from faults.running import played

PLAYS = [pytest.param(*each, id=f"{each[0].number}-{each[1]}-{each[2]}") for each in catalogue.in_turn()]


@pytest.mark.machine
@pytest.mark.parametrize(("row", "form", "path"), PLAYS)
def test_a_fault_harms_nobody(row: Row, form: str, path: str) -> None:
    """No wrong value, no error, nothing slower than it may be, back in time, nothing leaked."""
    told = played(row, form, path, short=True)

    assert told.reached == "", f"{told.reached}: apt-get install iptables iproute2, and run as root on Linux"
    assert told.broken == (), told.figures.as_data()


def test_every_row_has_a_number_of_its_own() -> None:
    """Numbers find rows, and no variant is played twice."""
    numbers = [row.number for row in catalogue.rows()]

    assert len(numbers) == len(set(numbers))
    assert all(len(row.variants) == len(set(row.variants)) > 0 for row in catalogue.rows())
