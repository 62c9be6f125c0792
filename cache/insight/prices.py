"""What computations cost in money, as the settings say, and what the hits saved of it; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_PRICE = re.compile(
    r"([a-z][a-z0-9_]{0,31}) *= *([0-9.eE+-]{1,24})/(computation|second|token)(?::([0-9.eE+]{1,24}))?\Z"
)

DEAREST = 1e9
"""Most that one unit may cost, and most tokens of a computation."""


class Per(StrEnum):
    """What a price is paid for."""

    COMPUTATION = "computation"
    SECOND = "second"
    TOKEN = "token"  # noqa: S105 (no password: a unit)


@dataclass(frozen=True, slots=True)
class Price:
    """What the computations of a category cost.

    Args:
        amount: of one unit, in the currency of the settings.
        tokens: of one computation, on average.
    """

    amount: float
    per: Per
    tokens: float = 1.0

    def of(self, hits: float, seconds: float) -> float:
        """What so many computations of so many seconds together cost."""
        if self.per is Per.SECOND:
            return self.amount * seconds
        return self.amount * hits * (self.tokens if self.per is Per.TOKEN else 1.0)


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of all categories that have one.

    Args:
        currency: as it is shown.
    """

    by_category: Mapping[str, Price]
    currency: str


def read(text: str) -> dict[str, Price]:
    """Prices out of a setting: ``embedding=0.00002/token:500,tool=0.01/computation,prompt=0.0003/second``.

    Raises:
        ValueError: it says something else.
    """
    found = {}
    for part in filter(None, map(str.strip, text.split(","))):
        match = _PRICE.match(part)
        if match is None or (match[3] == Per.TOKEN) != (match[4] is not None):
            raise ValueError("prices are category=amount/computation, amount/second or amount/token:tokens")
        found[match[1]] = Price(_number(match[2]), Per(match[3]), _number(match[4] or "1"))
    return found


def _number(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0.0 <= value <= DEAREST):
        raise ValueError(f"an amount is a number from 0 to {DEAREST:g}")
    return value


def priced(summary: dict[str, Any], prices: Prices) -> dict[str, Any]:
    """The JSON of the figures with the money in it: what the hits would have been charged, net of nothing."""
    whole = {"amount": 0.0, "low": 0.0, "high": 0.0}
    sure = True
    for name, category in summary["categories"].items():
        price = prices.by_category.get(name)
        if price is None:
            continue
        money = _money(price, category)
        category["savings"]["money"] = {**money, "currency": prices.currency}
        whole["amount"] += money["amount"]
        sure = sure and money["low"] is not None
        # as if they all erred to one side at once
        whole["low"] += money["low"] or 0.0
        whole["high"] += money["high"] or 0.0
    if prices.by_category:
        ends = {} if sure else {"low": None, "high": None}
        summary["savings"]["money"] = {**whole, **ends, "currency": prices.currency}
    return summary


def _money(price: Price, category: Mapping[str, Any]) -> dict[str, Any]:
    saving, hits = category["savings"], category["hits"] + category["stale"]
    seconds = saving["avoided"] + saving["shared"]
    amount = price.of(hits, seconds)
    if price.per is not Per.SECOND:
        # counted, not estimated
        return {"amount": amount, "low": amount, "high": amount}
    if saving["high"] is None:
        return {"amount": amount, "low": None, "high": None}
    reach = price.amount * (saving["high"] - saving["seconds"])
    return {"amount": amount, "low": amount - reach, "high": amount + reach}
