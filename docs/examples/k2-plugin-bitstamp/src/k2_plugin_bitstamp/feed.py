"""What is said to the exchange, and what its frames are for. No I/O: k2 connects and reconnects.

    > {"event":"bts:subscribe","data":{"channel":"live_trades_btcusd"}}
    < {"event":"bts:subscription_succeeded","channel":"live_trades_btcusd","data":{}}
    < {"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}
    < {"event":"bts:request_reconnect","channel":"","data":null}

An error does not say what it is about: k2 takes it for the oldest question that is still open.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from k2core.plugin import (
    ConnectionLimits,
    ConnectorError,
    FrameKind,
    Reply,
    Request,
    RestClient,
    Subscription,
    WebSocketFeed,
)

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


class BitstampFeed(WebSocketFeed):
    """The exchange's dialect; one object serves all connections."""

    def __init__(self, settings: FeedSettings) -> None:
        self._settings = settings
        self.limits = ConnectionLimits(
            streams_per_connection=1000,
            control_per_second=5,
            frame_timeout=settings.frame_timeout_s,
            ack_timeout=settings.ack_timeout_s,
            max_age=80 * 86_400,
        )

    def subscriptions(self) -> Sequence[Subscription]:
        """Trades of every symbol."""
        return [Subscription(symbol, "trades") for symbol in self._settings.symbols]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        """One address for all."""
        return self._settings.websocket_url

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        """One message for each; more than 512 bytes would cost the connection."""
        requests = []
        for number, one in enumerate(subscriptions, first_id):
            asked = {"event": "bts:subscribe", "data": {"channel": CHANNEL + one.symbol}}
            requests.append(Request(msgspec.json.encode(asked), str(number), (one,)))
        return requests

    def is_data(self, frame: bytes) -> bool:
        """Asked for every frame: no JSON here."""
        return b'"bts:' not in frame

    def classify(self, frame: bytes) -> Reply:
        """Read what is no data; it may raise nothing."""
        try:
            said = _control(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Reply(FrameKind.OTHER)
        symbol = said.channel.removeprefix(CHANNEL)
        about = (Subscription(symbol, "trades"),) if symbol else ()
        message = said.data.message if said.data else ""
        return Reply(_KINDS.get(said.event, FrameKind.OTHER), message=message, subscriptions=about)

    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        """An unknown market is acknowledged, and silent for ever: ask which there are."""
        answer = await rest.get(f"{self._settings.rest_url}/api/v2/markets/")
        try:
            known = {one.market_symbol for one in _markets(answer.body)}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConnectorError(f"markets: status {answer.status}, and no list: {error}") from error
        return [one for one in self.subscriptions() if one.symbol not in known]
