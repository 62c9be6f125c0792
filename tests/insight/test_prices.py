"""Money: what a setting says of prices, and what the figures say with them."""

from __future__ import annotations

import pytest

from cache.errors import SettingsError
from cache.insight.prices import Per, Price, Prices, priced, read
from cache.settings import Settings


def summary(hits: int, seconds: float, reach: float | None) -> dict[str, object]:
    ends = {"low": None, "high": None} if reach is None else {"low": seconds - reach, "high": seconds + reach}
    saving = {"seconds": seconds, "avoided": seconds, "shared": 0.0, "money": None, **ends}
    return {"categories": {"tool": {"hits": hits, "stale": 0, "savings": saving}}, "savings": {"money": None}}


def test_prices_are_read() -> None:
    """By computation, by second, by token with how many a computation takes."""
    found = read("embedding=0.00002/token:500, tool=0.01/computation,prompt=3e-4/second")
    assert found["embedding"] == Price(0.00002, Per.TOKEN, 500.0)
    assert found["tool"] == Price(0.01, Per.COMPUTATION) and found["prompt"] == Price(0.0003, Per.SECOND)


@pytest.mark.parametrize(
    "text", ["tool", "tool=1", "tool=-1/second", "tool=1/token", "tool=1/second:5", "tool=1e99/second", "tool=e/second"]
)
def test_what_is_no_price_is_named(text: str) -> None:
    """The error names the variable and gives an example."""
    with pytest.raises(SettingsError, match=r"CACHE_PRICES.*for example"):
        Settings.of(prices=text)


@pytest.mark.parametrize(("price", "amount"), [("0.5/computation", 5.0), ("2/second", 8.0), ("0.1/token:7", 7.0)])
def test_the_figures_say_what_was_not_charged(price: str, amount: float) -> None:
    """Ten hits that spared four seconds; only what is paid by the second is unsure."""
    found = priced(summary(10, 4.0, 1.0), Prices(read(f"tool={price}"), "EUR"))
    money = found["categories"]["tool"]["savings"]["money"]
    assert money["amount"] == pytest.approx(amount) and money["currency"] == "EUR"
    reach = 2.0 if "second" in price else 0.0
    assert (money["low"], money["high"]) == pytest.approx((amount - reach, amount + reach))
    assert found["savings"]["money"] == pytest.approx({**money})


def test_without_prices_there_is_no_money() -> None:
    """And without an interval there is none in money either."""
    assert priced(summary(1, 1.0, 1.0), Prices({}, "EUR"))["savings"]["money"] is None
    found = priced(summary(1, 1.0, None), Prices(read("tool=1/second"), "EUR"))
    assert found["savings"]["money"]["low"] is None
