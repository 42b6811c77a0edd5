"""`CoinbaseFeed`: Coinbase Exchange's WebSocket dialect without I/O; core connects, paces, shards and reconnects.

Faults survived: any bytes in a frame, products that are refused, and trades that the exchange drops on a live
connection, as it says that it may: see `CoinbaseFeed._dropped`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any

import msgspec

from k2_plugin_coinbase.settings import CHANNELS, CoinbaseSettings
from k2core.plugin import UNREADABLE, Context, ExchangeFeed, FrameKind, Reply, RestClient, Subscription


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


_frame = msgspec.json.Decoder(Frame).decode
_products = msgspec.json.Decoder(Annotated[list[_Product], msgspec.Meta(min_length=1)]).decode


class CoinbaseFeed(ExchangeFeed[CoinbaseSettings]):
    """Coinbase Exchange's trades and best quotes."""

    channels = CHANNELS

    def __init__(self, settings: CoinbaseSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._seen = dict.fromkeys(settings.symbols, 0)
        self._announced: dict[str, tuple[int, float, bool]] = {}

    def message(self, subscriptions: Sequence[Subscription], number: int) -> Any:
        """All at once, with `heartbeat` for each product. No answer can name it: answers name channels and products."""
        products: dict[str, list[str]] = {}
        for one in subscriptions:
            products.setdefault(CHANNELS[one.data_type], []).append(one.symbol)
        products["heartbeat"] = list(dict.fromkeys(one.symbol for one in subscriptions))
        channels = [{"name": name, "product_ids": ids} for name, ids in products.items()]
        return {"type": "subscribe", "channels": channels}

    def is_data(self, frame: bytes) -> bool:
        """Whether a frame goes to the normalizer, as all do that cannot be read; notes how far trades have come."""
        if frame.startswith(b'{"type":"ticker"'):
            return True
        try:
            one = _frame(frame)
        except UNREADABLE:
            return True
        if one.type in ("match", "last_match") and one.trade_id > self._seen.get(one.product_id, one.trade_id):
            self._seen[one.product_id] = one.trade_id
        return one.type in ("match", "last_match", "ticker")

    def reply(self, frame: bytes) -> Reply:
        """Read an acknowledgement, a refusal or a heartbeat; any other type is to be ignored, says Coinbase."""
        one = _frame(frame)
        if one.type == "heartbeat":
            return Reply(FrameKind.CLOSING if self._dropped(one.product_id, one.last_trade_id) else FrameKind.HEARTBEAT)
        if one.type == "subscriptions":
            listed = [
                (product, c.name) for c in one.channels if c.name in CHANNELS.values() for product in c.product_ids
            ]
            return Reply(FrameKind.ACK, subscriptions=[s for named in listed for s in self.about(*named)])
        if one.type == "error":
            product = one.reason.partition(" ")[0]
            meant = self.about(product) if product in self.settings.symbols else ()
            return Reply(FrameKind.REFUSED, message=f"{one.message}: {one.reason}", subscriptions=meant)
        return Reply(FrameKind.OTHER)

    def _dropped(self, product: str, last: int) -> bool:
        """Whether a trade that a heartbeat announced is overdue; each is told once.

        Where there is much trade the next one shows the hole. In a quiet market nothing would, so the connection is
        replaced, make before break: `last_match`, with which the new one begins, is the trade that was dropped, or shows
        exactly which were. (`last_trade_id` is 0 where Coinbase does not say, as all through 2019 and 2020.)

        A heartbeat is no proof. Ids only grow, so one that says less voids what was announced; and after a connection was
        replaced for an announced trade, heartbeats are not believed again before a trade has come as far.
        """
        seen, now = self._seen.get(product), self.context.clock.monotonic()
        if not seen:
            return False
        announced, since, told = self._announced.get(product, (0, now, False))
        if seen >= announced or last < announced:
            self._announced[product] = last, now, False
        elif not told and now - since >= self.settings.dropped_after_s:
            self._announced[product] = announced, now, True
            self.context.logger.warning("%s: trade %d did not come; connecting anew for it", product, announced)
            return True
        return False

    async def known(self, rest: RestClient, symbols: Sequence[str]) -> Collection[str]:
        """Ask which products exist; delisted ones are listed still, and refused."""
        answer = await rest.get(f"{self.settings.rest_url}/products")
        return {one.id for one in answer.read("GET /products", _products) if one.status != "delisted"}
