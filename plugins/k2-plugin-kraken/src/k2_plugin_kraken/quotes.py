"""The `ticker` channel, triggered by changes of the best bid and offer: the payload, and what identifies a quote."""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b

import msgspec

from k2_plugin_kraken.trades import Time, unix_us
from k2core.plugin import Quote


class KrakenTicker(msgspec.Struct, gc=False):
    """Best bid and ask, 0 where there is none; the figures of the day that stand beside them are not read.

    Payload (docs.kraken.com, spot-websocket-v2/ticker)::

        {"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,
        "ask_qty":1361.44813783,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,
        "change":-0.00017,"change_pct":-0.17,"timestamp":"2023-09-25T07:49:37.708706Z"}]}
    """

    symbol: str
    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal
    timestamp: Time

    def record(self) -> Quote | None:
        """As k2 keeps it; None for an empty book (zeros, of 1970), which is no quote.

        Kraken gives quotes no id. What is equal in time and content is one quote, also where another connection or a
        snapshot repeats it.
        """
        if not self.bid and not self.ask:
            return None
        time_us = unix_us(self.timestamp)
        numbers = str(self.bid), str(self.bid_qty), str(self.ask), str(self.ask_qty)
        content = blake2b(" ".join(numbers).encode(), digest_size=8).hexdigest()
        return Quote(self.symbol, *numbers, f"{time_us}-{content}", time_us)
