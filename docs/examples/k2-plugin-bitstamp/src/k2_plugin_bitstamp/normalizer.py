"""Frames to records.

A frame that is no sound message becomes a dead letter with a reason; its neighbours live.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from k2core.plugin import FrameParser, RejectFrame, Trade

CHANNEL = "live_trades_"


class Kind(msgspec.Struct):
    """What every message says."""

    event: str


class Deal(msgspec.Struct):
    """One trade.

    Args:
        price_str: As printed; `price` beside it is a JSON number, and so with the amount.
        type: The taker's side: 0 buy, 1 sell.
        microtimestamp: Unix µs.
    """

    id: int
    price_str: str
    amount_str: str
    type: Literal[0, 1]
    microtimestamp: str


class TradeMessage(msgspec.Struct):
    """What is around it.

    Example::

        {"data":{"id":106833903,"amount_str":"0.14406384","price_str":"8302.92","type":0,
         "microtimestamp":"1583691851934000",…},"event":"trade","channel":"live_trades_btcusd"}
    """

    channel: str
    data: Deal


_kind = msgspec.json.Decoder(Kind).decode
_trade = msgspec.json.Decoder(TradeMessage).decode


class BitstampNormalizer(FrameParser):
    """Reads trades. Prices stay text: k2 turns them into doubles exactly, or refuses them."""

    exchange = "bitstamp"

    def parse(self, frame: bytes) -> Sequence[Trade]:
        """The trades in a frame; none in one that is no market data."""
        event = _kind(frame).event
        if event.startswith("bts:"):
            return ()
        if event != "trade":
            raise RejectFrame("unknown-message", f"event {event[:40]!r} is not known")
        message = _trade(frame)
        one = message.data
        return [
            Trade(
                symbol=message.channel.removeprefix(CHANNEL),
                price=one.price_str,
                quantity=one.amount_str,
                side="sell" if one.type else "buy",
                trade_id=one.id,
                time_us=int(one.microtimestamp),
            )
        ]
