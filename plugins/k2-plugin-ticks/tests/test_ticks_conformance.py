"""The data type `ticks` against the suite of every data type."""

from __future__ import annotations

from k2_plugin_ticks import TICKS

from k2core.testing import DataTypeSuite


class TestTicks(DataTypeSuite):
    """A tick with everything, and one with nothing but its price."""

    data_type = TICKS
    rows = (
        {
            "symbol": "EUR/USD", "exchange": "ecn", "exchange_timestamp_ms": 1_700_000_000_000, "price": 1.07125,
            "tick_id": "7", "price_kind": "mid", "bid_price": 1.0712, "ask_price": 1.0713, "bid_quantity": 1e6,
            "ask_quantity": 2e6, "quantity": 1e5, "sequence_num": 7, "exchange_timestamp_us": 1_700_000_000_000_001,
            "received_timestamp_us": 1_700_000_000_000_500, "source": "live", "timestamp_source": "exchange",
        },
        {"symbol": "EUR/USD", "exchange": "ecn", "exchange_timestamp_ms": 1, "price": -0.5, "tick_id": "8"},
    )  # fmt: skip
