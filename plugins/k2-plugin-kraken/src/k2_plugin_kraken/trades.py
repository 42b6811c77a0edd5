"""The `trade` channel: the payload, and a trade's side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from k2core.plugin import Trade

Time = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class KrakenTrade(msgspec.Struct, gc=False):
    """One of the trades of a message: several, of several takers, may come in one. Numbers are read digit for digit.

    Payload (docs.kraken.com, spot-websocket-v2/trade)::

        {"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"buy","price":0.5147,"qty":6423.46326,
        "ord_type":"limit","trade_id":4665846,"timestamp":"2023-09-25T07:48:36.925533Z"},{"symbol":"MATIC/USD",
        "side":"sell","price":0.5147,"qty":1136.19677815,"ord_type":"market","trade_id":4665847,
        "timestamp":"2023-09-25T07:49:36.925603Z"}]}

    Args:
        side: The taker's; k2's `side` is the same.
        trade_id: "A sequence number, unique per book".
    """

    symbol: str
    side: Literal["buy", "sell"]
    price: Decimal
    qty: Decimal
    trade_id: int
    timestamp: Time

    def record(self) -> Trade:
        """As k2 keeps it."""
        time_us = unix_us(self.timestamp)
        price, quantity = str(self.price), str(self.qty)
        return Trade(self.symbol, price, quantity, self.side, self.trade_id, time_us, self.trade_id)


def unix_us(time: datetime) -> int:
    """Unix µs, exactly."""
    return (time - _EPOCH) // _MICROSECOND
