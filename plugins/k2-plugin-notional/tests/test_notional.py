"""The value of a trade: the product of two doubles, in a currency that is known or not named at all."""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from typing import Any

import k2_plugin_notional
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2_plugin_notional.currency import quote_of
from k2_plugin_notional.settings import CURRENCIES, NotionalSettings

from k2core.plugin import Context, Enricher, Metrics, SystemClock


def made(**settings: Any) -> Enricher:
    (component,) = k2_plugin_notional.k2_enrichers()
    context = Context(clock=SystemClock(), logger=logging.getLogger("test"), metrics=Metrics())
    return component.factory(NotionalSettings(**settings), context)


def rows(*cells: tuple[str, str, float, float]) -> pa.RecordBatch:
    symbol, exchange, price, quantity = zip(*cells, strict=True)
    words = {"symbol": pa.array(symbol), "exchange": pa.array(exchange)}
    columns = {**{n: a.dictionary_encode() for n, a in words.items()}, "price": price, "quantity": quantity}
    return pa.RecordBatch.from_pydict({n: pa.array(c) if isinstance(c, tuple) else c for n, c in columns.items()})


@pytest.mark.parametrize(
    ("symbol", "currency"),
    [
        ("BTCUSDT", "USDT"), ("BTC/USD", "USD"), ("ETH-BTC", "BTC"), ("ETHBTC", "BTC"), ("BTC_EUR", "EUR"),
        ("BTCFDUSD", "FDUSD"), ("BHP", None), ("BTC-PERP", None), ("BTC-USD-SWAP", None), ("BTCUSDT_PERP", None),
        ("USD", None), ("XUSD", None), ("EUR/USD", "USD"), ("", None), ("/USD", None), ("BTC/", None),
    ],
)  # fmt: skip
def test_a_symbol_tells_its_currency_or_nothing(symbol: str, currency: str | None) -> None:
    assert quote_of(symbol, CURRENCIES) == currency


def test_settings_come_before_the_spelling() -> None:
    enricher = made(symbols={"BTCUSDT_PERP": "USDT"}, exchanges={"asx": "AUD"})
    given_rows = rows(("BTCUSDT_PERP", "x", 2.0, 3.0), ("BHP", "asx", 45.5, 10.0), ("BTCUSDT", "binance", 0.1, 3.0))
    found = enricher.enrich(given_rows)
    assert pa.array(found["quote_currency"]).to_pylist() == ["USDT", "AUD", "USDT"]
    assert found["notional"].to_pylist() == [6.0, 455.0, 0.1 * 3.0]


def test_one_symbol_on_two_exchanges_has_two_currencies() -> None:
    found = made(exchanges={"asx": "AUD"}).enrich(rows(("BHPUSD", "asx", 1.0, 1.0), ("BHPUSD", "nyse", 1.0, 1.0)))
    assert found["quote_currency"].to_pylist() == ["AUD", "USD"]


@given(st.decimals("0.00000001", "10000000", places=8), st.decimals("0.00000001", "10000000", places=8))
def test_the_product_is_as_near_as_it_says(price: Decimal, quantity: Decimal) -> None:
    value = made().enrich(rows(("BTCUSDT", "b", float(price), float(quantity))))["notional"].to_pylist()[0]
    assert math.isfinite(value)
    assert abs(Decimal(value) - price * quantity) <= price * quantity * Decimal("3.4e-16")


def test_columns_can_have_other_names() -> None:
    assert [c.name for c in made(column="value", currency_column="ccy").columns] == ["value", "ccy"]
