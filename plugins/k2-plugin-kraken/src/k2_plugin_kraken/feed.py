"""`KrakenFeed`: Kraken's WebSocket v2 without I/O; core connects, paces, shards and reconnects.

Faults survived: any bytes in a frame; symbols that Kraken refuses one by one. A hole that a reconnect leaves is filled
by the snapshot of the last 50 trades that each subscription brings; what comes twice has one identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from k2_plugin_kraken.settings import KrakenSettings
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

CHANNELS = {
    "trades": {"channel": "trade", "snapshot": True},
    "quotes": {"channel": "ticker", "event_trigger": "bbo", "snapshot": True},
}
"""By data type, the parameters that subscribe to it. Without `bbo`, tickers come on trades only."""
_DATA_TYPES = {"trade": "trades", "ticker": "quotes"}
_DATA = (b'{"channel":"trade"', b'{"channel":"ticker"')
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


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


_control = msgspec.json.Decoder(Control).decode
_asset_pairs = msgspec.json.Decoder(dict[str, list[str] | dict[str, msgspec.Raw]]).decode


class KrakenFeed(WebSocketFeed):
    """Kraken spot's trades and best quotes.

    Args:
        settings: What to capture and from where.
    """

    def __init__(self, settings: KrakenSettings) -> None:
        self._settings = settings
        self.limits = ConnectionLimits(
            streams_per_connection=settings.streams_per_connection,
            control_per_second=settings.control_per_second,
            connects_per_window=settings.connects_per_window,
            connect_window=600,
            max_frame_bytes=settings.max_frame_bytes,
            frame_timeout=settings.frame_timeout_s,
            ack_timeout=settings.ack_timeout_s,
        )

    def subscriptions(self) -> Sequence[Subscription]:
        """Each symbol with each data type."""
        wanted = self._settings
        return [Subscription(symbol, data_type) for symbol in wanted.symbols for data_type in wanted.data_types]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        """One address for all."""
        return self._settings.websocket_url

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        """A message names one channel and many symbols; each of them is answered by itself, with the same `req_id`."""
        most, requests = self._settings.symbols_per_request, list[Request]()
        for data_type, channel in CHANNELS.items():
            mine = [one for one in subscriptions if one.data_type == data_type]
            for part in (mine[first : first + most] for first in range(0, len(mine), most)):
                number = first_id + len(requests)
                params = {**channel, "symbol": [one.symbol for one in part]}
                payload = msgspec.json.encode({"method": "subscribe", "params": params, "req_id": number})
                requests.append(Request(payload, str(number), tuple(part)))
        return requests

    def is_data(self, frame: bytes) -> bool:
        """By the first bytes; a data frame that is spaced oddly is `OTHER` and goes to the normalizer all the same."""
        return frame.startswith(_DATA)

    def classify(self, frame: bytes) -> Reply:
        """Read an acknowledgement, a refusal or a sign of life."""
        try:
            what = _control(frame)
        except _UNREADABLE:
            return Reply(FrameKind.OTHER)
        if what.channel == "heartbeat" or what.method == "pong":
            return Reply(FrameKind.HEARTBEAT)
        if what.method != "subscribe":
            return Reply(FrameKind.OTHER)
        named = None if what.req_id is None else str(what.req_id)
        symbol, data_type = what.result.symbol or what.symbol, _DATA_TYPES.get(what.result.channel)
        kinds = [data_type] if data_type else list(CHANNELS)  # a refusal names no channel, its request does
        about = tuple(Subscription(symbol, kind) for kind in kinds) if symbol else ()
        held = what.success or "already subscribed" in what.error.lower()
        return Reply(FrameKind.ACK if held else FrameKind.REFUSED, named, what.error, about)

    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        """Ask `AssetPairs` which symbols exist: currencies first, tokenized assets where some are not among them."""
        unknown = set(self._settings.symbols) if self._settings.check_symbols else set()
        url = f"{self._settings.rest_url}/0/public/AssetPairs"
        for asset_class in ("currency", "tokenized_asset") if unknown else ():
            answer = await rest.get(url, {"assetVersion": "1", "aclass_base": asset_class})
            try:
                pairs = _asset_pairs(answer.body)  # {"error":[],"result":{"BTC/USD":{…}}}: v2's symbols
            except _UNREADABLE as error:
                raise ConnectorError(f"AssetPairs answered {answer.status} with what is no list: {error}") from error
            if answer.status != 200 or "result" not in pairs:
                raise ConnectorError(f"AssetPairs answered {answer.status}: {pairs}; the check is tried again")
            unknown -= set(pairs["result"])
            if not unknown:
                break
        return [one for one in self.subscriptions() if one.symbol in unknown]
