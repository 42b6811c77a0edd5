"""`KrakenFeed`: Kraken's WebSocket v2 without I/O; core connects, paces, shards and reconnects.

Faults survived: any bytes in a frame; symbols that Kraken refuses one by one. A hole that a reconnect leaves is filled
by the snapshot of the last 50 trades that each subscription brings; what comes twice has one identity.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from k2_plugin_kraken.settings import CHANNELS, KrakenSettings
from k2core.plugin import ExchangeFeed, FrameKind, Reply, RestClient, Subscription


class Accepted(msgspec.Struct):
    """The one subscription that an acknowledgement is about."""

    channel: str = ""
    symbol: str = ""


class Control(msgspec.Struct):
    """What is no market data.

    Payloads (docs.kraken.com, spot-websocket-v2: trade, heartbeat, ping; the refusal as recorded 2026-01-29)::

        {"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"BTC/USD"},"success":true,"req_id":1}
        {"error":"Currency pair not supported XBT/EUR","method":"subscribe","success":false,"symbol":"XBT/EUR"}
        {"channel":"heartbeat"}
        {"method":"pong","req_id":101,"time_in":"…","time_out":"…"}
    """

    channel: str = ""
    method: str = ""
    success: bool = False
    error: str = ""
    symbol: str = ""
    req_id: int | None = None
    result: Accepted = msgspec.field(default_factory=Accepted)


class AssetPairs(msgspec.Struct):
    """`{"error":[],"result":{"BTC/USD":{…}}}`: v2's symbols; an error has no `result`."""

    result: dict[str, msgspec.Raw]


_control, _asset_pairs = msgspec.json.Decoder(Control).decode, msgspec.json.Decoder(AssetPairs).decode


class KrakenFeed(ExchangeFeed[KrakenSettings]):
    """Kraken spot's trades and best quotes."""

    channels = CHANNELS
    data = (b'{"channel":"trade"', b'{"channel":"ticker"')
    apart = True

    def message(self, subscriptions: Sequence[Subscription], number: int) -> Any:
        """One channel and many symbols; each is answered by itself. Without `bbo`, tickers come on trades only."""
        channel = CHANNELS[subscriptions[0].data_type]
        params = {"channel": channel, "symbol": [one.symbol for one in subscriptions], "snapshot": True}
        bbo = {"event_trigger": "bbo"} if channel == "ticker" else {}
        return {"method": "subscribe", "params": params | bbo, "req_id": number}

    def reply(self, frame: bytes) -> Reply:
        """Read an acknowledgement, a refusal or a sign of life."""
        what = _control(frame)
        if what.channel == "heartbeat" or what.method == "pong":
            return Reply(FrameKind.HEARTBEAT)
        if what.method != "subscribe":
            return Reply(FrameKind.OTHER)
        named = None if what.req_id is None else str(what.req_id)
        about = self.about(what.result.symbol or what.symbol, what.result.channel)  # a refusal names no channel
        held = what.success or "already subscribed" in what.error.lower()
        return Reply(FrameKind.ACK if held else FrameKind.REFUSED, named, what.error, about)

    async def known(self, rest: RestClient, symbols: Sequence[str]) -> Collection[str]:
        """Ask `AssetPairs`: currencies first, tokenized assets where some are not among them."""
        found, url = set[str](), f"{self.settings.rest_url}/0/public/AssetPairs"
        for asset_class in ("currency", "tokenized_asset"):
            if not found.issuperset(symbols):
                answer = await rest.get(url, {"assetVersion": "1", "aclass_base": asset_class})
                found |= answer.read("AssetPairs", _asset_pairs).result.keys()
        return found
