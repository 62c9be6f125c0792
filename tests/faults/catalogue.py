"""All rows."""

from __future__ import annotations

from collections.abc import Iterator

from faults import admin, corruption, history, network, overtaking, races, resources, server
from faults.registry import Catalogue, Row

CLASSES: tuple[Catalogue, ...] = (
    network.ROWS,
    server.ROWS,
    resources.ROWS,
    overtaking.ROWS,
    races.ROWS,
    admin.ROWS,
    corruption.ROWS,
    history.ROWS,
)


def rows() -> Iterator[Row]:
    """Every row, in the order of the page."""
    for one in CLASSES:
        yield from one.rows


def row(number: str) -> Row:
    """The row of a number.

    Raises:
        KeyError: there is none.
    """
    return {row.number: row for row in rows()}[number]


EVERY_WAY = ("1",)
"""Rows that are played in all forms of caller in CI too."""


def in_turn() -> list[tuple[Row, str, str]]:
    """Every row in one of its variants: neighbours take different ones."""
    found: list[tuple[Row, str, str]] = []
    for at, row in enumerate(rows()):
        variants = row.variants if row.number in EVERY_WAY else (row.variants[at % len(row.variants)],)
        found += [(row, *variant) for variant in variants]
    return found
