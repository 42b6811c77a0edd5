"""The oracle: which records a table must hold after frames were sent. Shares no code with the normalizer, on purpose.

It reads each payload with the standard library. Quotes have no time of their own, so theirs are left out.
"""

from __future__ import annotations

import json
from typing import Any

from k2core.testing import exact


def meaning(payload: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The one record of a payload (times in ms), with its data type."""
    event = json.loads(payload)
    return [("trades", _trade(event)) if event.get("e") == "trade" else ("quotes", _quote(event))]


def _trade(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": event["s"],
        "exchange": "binance",
        "exchange_timestamp_ms": event["T"],
        "price": exact(event["p"]),
        "quantity": exact(event["q"]),
        "side": {True: "sell", False: "buy"}[event["m"]],
        "trade_id": str(event["t"]),
        "sequence_num": event["t"],
        "exchange_timestamp_us": event["T"] * 1000,
        "source": "live",
    }


def _quote(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": event["s"],
        "exchange": "binance",
        "bid_price": exact(event["b"]),
        "bid_quantity": exact(event["B"]),
        "ask_price": exact(event["a"]),
        "ask_quantity": exact(event["A"]),
        "update_id": str(event["u"]),
        "sequence_num": None,
        "source": "live",
        "timestamp_source": "received",
    }
