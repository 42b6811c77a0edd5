"""`CoinbaseFeed`: Coinbase Exchange's WebSocket dialect without I/O; core connects, paces, shards and reconnects.

Faults survived: any bytes in a frame, products that are refused, and trades that the exchange drops on a live
connection, as it says that it may: see `CoinbaseFeed._dropped`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from k2_plugin_coinbase.settings import CHANNELS, CoinbaseSettings
from k2core.plugin import (
    ConnectionLimits,
    ConnectorError,
    Context,
    FrameKind,
    Reply,
    Request,
    RestClient,
    Subscription,
    WebSocketFeed,
)

_DATA_TYPES = {channel: data_type for data_type, channel in CHANNELS.items()}
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class Frame(msgspec.Struct, gc=False):
    """What the feed reads of a frame; which fields there are depends on `type`. Payloads, recorded 2022 and 2026::

    {"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"],"account_ids":null}]}
    {"type":"error","message":"Failed to subscribe","reason":"GIBBERISH-USD is not a valid product"}
    {"type":"heartbeat","last_trade_id":9035771,"product_id":"ADA-EUR","sequence":1935971303,"time":"2022-10-25T…"}
    """

    type: str
    product_id: str = ""
    trade_id: int = 0
    last_trade_id: int = 0
    channels: list[_Channel] = []
    message: str = ""
    reason: str = ""


class _Product(msgspec.Struct):
    id: str
    status: str = ""


_FRAME, _PRODUCTS = msgspec.json.Decoder(Frame), msgspec.json.Decoder(list[_Product])


class CoinbaseFeed(WebSocketFeed):
    """Coinbase Exchange's trades and best quotes.

    Args:
        settings: What to capture and from where.
        context: Clock and logger, for trades that the exchange drops.
    """

    def __init__(self, settings: CoinbaseSettings, context: Context) -> None:
        self._settings, self._clock, self._logger = settings, context.clock, context.logger
        self._seen = dict.fromkeys(settings.symbols, 0)
        self._announced: dict[str, tuple[int, float]] = {}
        self.limits = ConnectionLimits(
            streams_per_connection=settings.products_per_connection * len(settings.data_types),
            control_per_second=settings.control_per_second,
            connects_per_window=settings.connects_per_second,
            connect_window=1.0,
            max_frame_bytes=settings.max_frame_bytes,
            frame_timeout=settings.frame_timeout_s,
            ack_timeout=settings.ack_timeout_s,
        )

    def subscriptions(self) -> Sequence[Subscription]:
        """Each symbol with each data type."""
        return [Subscription(symbol, kind) for symbol in self._settings.symbols for kind in self._settings.data_types]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        """One address for all."""
        return self._settings.websocket_url

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        """One message, with `heartbeat` for each product. No answer can name it: answers name channels and products."""
        products: dict[str, list[str]] = {}
        for one in subscriptions:
            products.setdefault(CHANNELS[one.data_type], []).append(one.symbol)
        products["heartbeat"] = list(dict.fromkeys(one.symbol for one in subscriptions))
        channels = [{"name": name, "product_ids": ids} for name, ids in products.items()]
        return [Request(json.dumps({"type": "subscribe", "channels": channels}).encode(), str(first_id))]

    def is_data(self, frame: bytes) -> bool:
        """Whether a frame goes to the normalizer, as all do that cannot be read; notes how far trades have come."""
        if frame.startswith(b'{"type":"ticker"'):
            return True
        if (one := _read(frame)) is None or one.type not in ("match", "last_match"):
            return one is None or one.type == "ticker"
        if one.trade_id > self._seen.get(one.product_id, one.trade_id):
            self._seen[one.product_id] = one.trade_id
        return True

    def classify(self, frame: bytes) -> Reply:
        """Read an acknowledgement, a refusal or a heartbeat; any other type is to be ignored, says Coinbase."""
        one = _read(frame)
        if one and one.type == "heartbeat":
            return Reply(FrameKind.CLOSING if self._dropped(one.product_id, one.last_trade_id) else FrameKind.HEARTBEAT)
        if one and one.type == "subscriptions":
            listed = [(p, _DATA_TYPES[c.name]) for c in one.channels if c.name in _DATA_TYPES for p in c.product_ids]
            return Reply(FrameKind.ACK, subscriptions=[Subscription(*names) for names in listed])
        if one and one.type == "error":
            meant = [s for s in self.subscriptions() if s.symbol == one.reason.partition(" ")[0]]
            return Reply(FrameKind.REFUSED, message=f"{one.message}: {one.reason}", subscriptions=meant)
        return Reply(FrameKind.OTHER)

    def _dropped(self, product: str, last: int) -> bool:
        """Whether a trade that a heartbeat announced is overdue; each is told once.

        Where there is much trade the next one shows the hole. In a quiet market nothing would, so the connection is
        replaced, make before break: `last_match`, with which the new one begins, is the trade that was dropped, or shows
        exactly which were. (`last_trade_id` is 0 where Coinbase does not say, as all through 2019 and 2020.)
        """
        seen, now = self._seen.get(product), self._clock.monotonic()
        if not seen:
            return False
        announced, since = self._announced.get(product, (0, now))
        if seen >= announced:
            self._announced[product] = last, now
        elif now - since >= self._settings.dropped_after_s:
            self._seen[product] = max(seen, last)
            self._logger.warning("%s: trade %d did not come; connecting anew for it", product, announced)
            return True
        return False

    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        """Ask which products exist; delisted ones are listed still, and refused."""
        if not self._settings.check_symbols:
            return ()
        answer = await rest.get(f"{self._settings.rest_url}/products")
        try:
            products = _PRODUCTS.decode(answer.body) if answer.status == 200 else []
        except _UNREADABLE:
            products = []
        if not products:
            raise ConnectorError(f"GET /products answered {answer.status} without products: {answer.body[:99]!r}")
        listed = {one.id for one in products if one.status != "delisted"}
        return [one for one in self.subscriptions() if one.symbol not in listed]


def _read(frame: bytes) -> Frame | None:
    try:
        return _FRAME.decode(frame)
    except _UNREADABLE:
        return None
