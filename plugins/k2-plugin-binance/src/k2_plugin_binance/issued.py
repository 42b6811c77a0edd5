"""The oracle: which records a table must hold after frames were sent. Shares no code with the normalizer, on purpose.

It reads each payload with the standard library alone. Quotes have no time of their own, so theirs are left out.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any


class Issued:
    """Notes frames as they are sent, and says what they meant."""

    def __init__(self) -> None:
        self._payloads: dict[str, dict[bytes, None]] = {"trades": {}, "quotes": {}}

    def note(self, stream: str, payload: bytes) -> None:
        """A sound frame was sent (times in ms); the same frame again is the same record."""
        self._payloads["trades" if stream.endswith("@trade") else "quotes"][payload] = None

    def records(self, data_type: str) -> list[dict[str, Any]]:
        """Distinct records, in the order in which they were first sent; the first frame of an id counts."""
        read, name = (_trade, "trade_id") if data_type == "trades" else (_quote, "update_id")
        first: dict[tuple[str, str], dict[str, Any]] = {}
        for payload in self._payloads[data_type]:
            record = read(json.loads(payload))
            first.setdefault((record["symbol"], record[name]), record)
        return list(first.values())


def _number(text: str) -> float:
    value = float(text)
    if Decimal(repr(value)) != Decimal(text):
        raise ValueError(f"the tape holds {text}, which no double holds")
    return value


def _trade(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": event["s"],
        "exchange": "binance",
        "exchange_timestamp_ms": event["T"],
        "price": _number(event["p"]),
        "quantity": _number(event["q"]),
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
        "bid_price": _number(event["b"]),
        "bid_quantity": _number(event["B"]),
        "ask_price": _number(event["a"]),
        "ask_quantity": _number(event["A"]),
        "update_id": str(event["u"]),
        "sequence_num": None,
        "source": "live",
        "timestamp_source": "received",
    }
