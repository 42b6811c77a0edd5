"""`CoinbaseNormalizer`: `match`, `last_match` and `ticker` frames to records; where a trade's side is decided."""

from __future__ import annotations

from typing import Literal

import msgspec

from k2core.plugin import FrameParser, Quote, Trade, unix_us

AGGRESSOR = {"buy": "sell", "sell": "buy"}
"""A match prints the maker's side: where a waiting order to buy was met, the aggressor sold."""


class Match(msgspec.Struct, gc=False, tag="match"):
    """One execution. Payload (recorded 2026-08-25; source: docs.cdp.coinbase.com/exchange/websocket-feed/channels)::

    {"type":"match","trade_id":1081862675,"maker_order_id":"f07e510f-4edf-469d-b844-4f670f1e93f1",
    "taker_order_id":"e6f50944-3e2a-439e-ae49-308300ba8296","side":"sell","size":"0.00000001","price":"80691.53",
    "product_id":"BTC-USD","sequence":134905860111,"time":"2026-08-25T03:35:57.198335Z"}
    """

    trade_id: int
    side: Literal["buy", "sell"]
    size: str
    price: str
    product_id: str
    time: str


class LastMatch(Match, gc=False, tag="last_match"):
    """The last execution before a subscription: a trade like all others, which shows what a cut has cost."""


class Ticker(msgspec.Struct, gc=False, tag="ticker"):
    """Best bid and ask after a taker order; `sequence` and `time` are its last match's. Payload (recorded 2024-01-07)::

    {"type":"ticker","sequence":70942923614,"product_id":"BTC-USD","price":"43974.45",…
    "best_bid":"43974.44","best_bid_size":"0.00743054","best_ask":"43974.45","best_ask_size":"0.21670607","side":"buy",
    "time":"2024-01-07T22:55:34.347040Z","trade_id":592171029,"last_size":"0.00002997"}
    """

    sequence: int
    product_id: str
    best_bid: str
    best_bid_size: str
    best_ask: str
    best_ask_size: str
    time: str


class _Type(msgspec.Struct):
    type: str


_DATA, _TYPE = msgspec.json.Decoder(Match | LastMatch | Ticker), msgspec.json.Decoder(_Type)


class CoinbaseNormalizer(FrameParser):
    """Reads Coinbase Exchange's frames. Types that it does not know carry nothing, as the documentation asks."""

    exchange = "coinbase"

    def parse(self, frame: bytes) -> list[Trade | Quote]:
        """One record of a match or a ticker, none of anything else."""
        try:
            one = _DATA.decode(frame)
        except msgspec.ValidationError:
            if _TYPE.decode(frame).type in ("match", "last_match", "ticker"):
                raise
            return []
        at = unix_us(one.time)
        if isinstance(one, Ticker):
            bid, ask = (one.best_bid, one.best_bid_size), (one.best_ask, one.best_ask_size)
            return [Quote(one.product_id, *bid, *ask, one.sequence, at)]
        return [Trade(one.product_id, one.price, one.size, AGGRESSOR[one.side], one.trade_id, at, one.trade_id)]
