"""The connector and the normalizer against k2's own suites. Change first: the frames, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from k2core.testing import (
    ConnectorSuite,
    Dialect,
    Example,
    FakeExchange,
    NormalizerSuite,
)

from k2_plugin_bitstamp import FACTS, k2_connectors, k2_normalizers
from k2_plugin_bitstamp.local import LIMITS, BitstampDialect

BOUGHT = (
    b'{"data":{"buy_order_id":1207733769326592,"amount_str":"0.14406384","timestamp":"1583691851",'
    b'"microtimestamp":"1583691851934000","id":106833903,"amount":0.14406384,"sell_order_id":1207733765476352,'
    b'"price_str":"8302.92","type":0,"price":8302.92},"event":"trade","channel":"live_trades_btcusd"}'
)
SOLD = (
    b'{"data":{"buy_order_id":1211625836466176,"amount_str":"1.08000000","timestamp":"1584642064",'
    b'"microtimestamp":"1584642064685000","id":108637852,"amount":1.08,"sell_order_id":1211625840754689,'
    b'"price_str":"6294.77","type":1,"price":6294.77},"event":"trade","channel":"live_trades_btcusd"}'
)
NEWER = (
    b'{"data":{"id":2001939623936278528,"id_str":"2001939623936278528","type":0,"sell_order_id":2050545352740993,'
    b'"buy_order_id":2050545360601216,"amount":0.00921,"amount_str":"0.00921","price":77204,"price_str":"77204",'
    b'"microtimestamp":"1789456400586000","timestamp":"1789456400586"},"channel":"live_trades_btcusd-perp",'
    b'"event":"trade"}'
)
CONTROL = (
    b'{"event":"bts:subscription_succeeded","channel":"live_trades_btcusd","data":{}}',
    b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}',
    b'{"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}',
    b'{"event":"bts:request_reconnect","channel":"","data":null}',
)


def trade(symbol: str, number: str, price: str, amount: str, side: str, at_us: int) -> dict[str, list[dict[str, Any]]]:
    numbers = {"price": price, "quantity": amount, "side": side, "exchange_timestamp_us": at_us}
    return {"trades": [{"symbol": symbol, "trade_id": number, **numbers}]}


class TestBitstampNormalizer(NormalizerSuite):
    (component,) = k2_normalizers()
    facts = FACTS
    examples = (
        Example(BOUGHT, trade("btcusd", "106833903", "8302.92", "0.14406384", "buy", 1583691851934000)),
        Example(SOLD, trade("btcusd", "108637852", "6294.77", "1.08", "sell", 1584642064685000)),
        Example(NEWER, trade("btcusd-perp", "2001939623936278528", "77204", "0.00921", "buy", 1789456400586000)),
    )
    control = CONTROL


class TestBitstampFeed(ConnectorSuite):
    (component,) = k2_connectors()
    (normalizer,) = k2_normalizers()
    streams: ClassVar[Mapping[str, tuple[bytes, ...]]] = {
        "live_trades_btcusd": (BOUGHT, SOLD),
        "live_trades_ethusd": (BOUGHT.replace(b"btc", b"eth"), SOLD.replace(b"btc", b"eth")),
    }
    control = CONTROL
    server_limits = LIMITS

    def dialect(self) -> Dialect:
        return BitstampDialect(["btcusd", "ethusd"])

    def settings(self, exchange: FakeExchange) -> Mapping[str, Any]:
        return {"symbols": ["btcusd", "ethusd"], "websocket_url": exchange.url, "rest_url": exchange.rest_url}
