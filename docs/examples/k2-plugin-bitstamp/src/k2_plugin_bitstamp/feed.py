"""What is said to the exchange, and what its frames are for. No I/O: k2 connects and reconnects.

    > {"event":"bts:subscribe","data":{"channel":"live_trades_btcusd"}}
    < {"event":"bts:subscription_succeeded","channel":"live_trades_btcusd","data":{}}
    < {"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}
    < {"event":"bts:request_reconnect","channel":"","data":null}

An error does not say what it is about: k2 takes it for the oldest question that is still open.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from k2core.plugin import ExchangeFeed, FrameKind, Reply, RestClient, Subscription

from k2_plugin_bitstamp.normalizer import CHANNEL
from k2_plugin_bitstamp.settings import FeedSettings


class Said(msgspec.Struct):
    """The words of an error."""

    message: str = ""


class Control(msgspec.Struct):
    """What is no market data."""

    event: str
    channel: str = ""
    data: Said | None = None


class Market(msgspec.Struct):
    """One of the list that `/api/v2/markets/` gives."""

    market_symbol: str


_KINDS = {
    "bts:subscription_succeeded": FrameKind.ACK,
    "bts:error": FrameKind.REFUSED,
    "bts:heartbeat": FrameKind.HEARTBEAT,
    "bts:request_reconnect": FrameKind.CLOSING,
}
_control = msgspec.json.Decoder(Control).decode
_markets = msgspec.json.Decoder(list[Market]).decode


class BitstampFeed(ExchangeFeed[FeedSettings]):
    """The exchange's dialect; one object serves all connections."""

    def message(self, subscriptions: Sequence[Subscription], number: int) -> Any:
        """One message for each, as `subscriptions_per_request` says."""
        return {"event": "bts:subscribe", "data": {"channel": CHANNEL + subscriptions[0].symbol}}

    def is_data(self, frame: bytes) -> bool:
        """Asked for every frame: no JSON here."""
        return b'"bts:' not in frame

    def reply(self, frame: bytes) -> Reply:
        """Read what is no data."""
        said = _control(frame)
        about = self.about(said.channel.removeprefix(CHANNEL))
        message = said.data.message if said.data else ""
        return Reply(_KINDS.get(said.event, FrameKind.OTHER), message=message, subscriptions=about)

    async def known(self, rest: RestClient, symbols: Sequence[str]) -> Collection[str]:
        """An unknown market is acknowledged, and silent for ever: ask which there are."""
        answer = await rest.get(f"{self.settings.rest_url}/api/v2/markets/")
        return [one.market_symbol for one in answer.read("markets", _markets)]
