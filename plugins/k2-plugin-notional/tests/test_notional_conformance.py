"""The enricher `notional` against the suite of every enricher."""

from __future__ import annotations

import k2_plugin_notional

from k2core.testing import EnricherSuite


class TestNotional(EnricherSuite):
    """Spot trades of two kinds of exchange."""

    component = next(iter(k2_plugin_notional.k2_enrichers()))
    options = {"exchanges": {"asx": "AUD"}}  # noqa: RUF012
    rows = (
        {"symbol": "BTCUSDT", "exchange": "binance", "price": 2.0, "quantity": 3.0},
        {"symbol": "BTC/USD", "exchange": "kraken", "price": 0.1, "quantity": 0.2},
        {"symbol": "BHP", "exchange": "asx", "price": 45.12, "quantity": 100.0},
        {"symbol": "BTC-PERP", "exchange": "other", "price": 1.0, "quantity": 1.0},
    )
    expected = (
        {"notional": 6.0, "quote_currency": "USDT"},
        {"notional": 0.02, "quote_currency": "USD"},
        {"notional": 4512.0, "quote_currency": "AUD"},
        {"notional": 1.0, "quote_currency": None},
    )
