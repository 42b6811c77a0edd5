"""Frames to records: the payload of each channel beside its struct, a trade's side, what identifies a quote.

Faults survived: any bytes; a message with one bad trade is one dead letter, with all it holds. Numbers are JSON numbers:
`Decimal` fields read them digit for digit, never through a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Literal

import msgspec

from k2core.plugin import FrameParser, Quote, RejectFrame, Trade, unix_us


class KrakenTrade(msgspec.Struct, gc=False):
    """One of the trades of a message: several, of several takers, may come in one.

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
    timestamp: str

    def record(self) -> Trade:
        """As k2 keeps it."""
        time = unix_us(self.timestamp)
        return Trade(self.symbol, self.price, self.qty, self.side, self.trade_id, time, self.trade_id)


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
    timestamp: str

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


class Message(msgspec.Struct, gc=False):
    """The outer shape of every message: those of channels name one, answers to requests name a method."""

    channel: str = ""
    method: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


_message = msgspec.json.Decoder(Message).decode
_trades = msgspec.json.Decoder(list[KrakenTrade]).decode
_tickers = msgspec.json.Decoder(list[KrakenTicker]).decode


class KrakenNormalizer(FrameParser):
    """Reads messages of the channels `trade` and `ticker`, snapshots and updates alike."""

    exchange = "kraken"

    def parse(self, frame: bytes) -> Sequence[Trade | Quote]:
        """Every trade or quote of a message, in order."""
        message = _message(frame)
        if message.channel == "trade":
            return [one.record() for one in _trades(message.data)]
        if message.channel == "ticker":
            return [quote for one in _tickers(message.data) if (quote := one.record())]
        if message.channel in ("heartbeat", "status") or message.method:
            return ()
        raise RejectFrame("unknown-message", f"channel {message.channel[:80]!r}: neither trades nor quotes")
