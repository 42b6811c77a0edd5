"""Frames to records. Faults survived: any bytes; a message with one bad trade is one dead letter, with all it holds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, UnsetType

from k2_plugin_kraken.quotes import KrakenTicker
from k2_plugin_kraken.trades import KrakenTrade
from k2core.plugin import FrameParser, Quote, RejectFrame, Trade


class Message(msgspec.Struct, gc=False):
    """The outer shape of every message: those of channels name one, answers to requests name a method."""

    channel: str = ""
    method: str = ""
    data: Raw | UnsetType = UNSET


_message = msgspec.json.Decoder(Message).decode
_trades = msgspec.json.Decoder(list[KrakenTrade]).decode
_tickers = msgspec.json.Decoder(list[KrakenTicker]).decode


class KrakenNormalizer(FrameParser):
    """Reads messages of the channels `trade` and `ticker`, snapshots and updates alike."""

    exchange = "kraken"

    def parse(self, frame: bytes) -> Sequence[Trade | Quote]:
        """Every trade or quote of a message, in order."""
        message = _message(frame)
        if message.channel in ("trade", "ticker"):
            if isinstance(message.data, UnsetType):
                raise RejectFrame("missing-field", f"a message of the channel {message.channel} must hold `data`")
            if message.channel == "trade":
                return [one.record() for one in _trades(message.data)]
            return [quote for one in _tickers(message.data) if (quote := one.record())]
        if message.channel in ("heartbeat", "status") or message.method:
            return ()
        raise RejectFrame("unknown-message", f"channel {message.channel[:80]!r}: neither trades nor quotes")
