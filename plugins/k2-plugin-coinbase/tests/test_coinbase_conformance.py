"""The kit's suites: what every connector and normalizer must do, on recorded frames of Coinbase Exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k2_plugin_coinbase import FACTS, k2_connectors, k2_normalizers
from k2_plugin_coinbase.local import CoinbaseDialect

from k2core.testing import ConnectorSuite, Example, FakeExchange, NormalizerSuite, ServerLimits


def match(kind: str, number: int, side: str, price: str, size: str, sequence: int, time: str) -> bytes:
    return (
        b'{"type":"%b","trade_id":%d,"maker_order_id":"f07e510f-4edf-469d-b844-4f670f1e93f1",'
        b'"taker_order_id":"e6f50944-3e2a-439e-ae49-308300ba8296","side":"%b","size":"%b","price":"%b",'
        b'"product_id":"BTC-USD","sequence":%d,"time":"%b"}'
    ) % (kind.encode(), number, side.encode(), size.encode(), price.encode(), sequence, time.encode())


def ticker(sequence: int, bid: str, bid_size: str, ask: str, ask_size: str, time: str) -> bytes:
    return (
        b'{"type":"ticker","sequence":%d,"product_id":"BTC-USD","price":"43974.4","open_24h":"43907.27",'
        b'"volume_24h":"5439.41242986","low_24h":"43724.94","high_24h":"44510.01","volume_30d":"382489.32783775",'
        b'"best_bid":"%b","best_bid_size":"%b","best_ask":"%b","best_ask_size":"%b","side":"buy","time":"%b",'
        b'"trade_id":592171029,"last_size":"0.00002997"}'
    ) % (sequence, bid.encode(), bid_size.encode(), ask.encode(), ask_size.encode(), time.encode())


EXAMPLES = (
    Example(
        match("last_match", 1081862674, "sell", "80691.53", "0.00000001", 134905859981, "2026-08-25T03:35:57.096368Z"),
        {"trades": [{"symbol": "BTC-USD", "trade_id": "1081862674", "price": "80691.53", "quantity": "0.00000001",
                     "side": "buy", "exchange_timestamp_us": 1787628957096368}]},
    ),
    Example(
        match("match", 1081862675, "buy", "80690.12", "0.25000000", 134905860111, "2026-08-25T03:35:57.198335Z"),
        {"trades": [{"symbol": "BTC-USD", "trade_id": "1081862675", "price": "80690.12", "quantity": "0.25",
                     "side": "sell", "exchange_timestamp_us": 1787628957198335}]},
    ),
    Example(
        ticker(70942923614, "43974.44", "0.00743054", "43974.45", "0.21670607", "2024-01-07T22:55:34.347040Z"),
        {"quotes": [{"symbol": "BTC-USD", "update_id": "70942923614", "bid_price": "43974.44",
                     "bid_quantity": "0.00743054", "ask_price": "43974.45", "ask_quantity": "0.21670607",
                     "exchange_timestamp_us": 1704668134347040, "timestamp_source": "exchange"}]},
    ),
    Example(
        ticker(70942923700, "43970.01", "1.5", "43971.02", "0.75", "2024-01-07T22:55:35.000001Z"),
        {"quotes": [{"symbol": "BTC-USD", "update_id": "70942923700", "bid_price": "43970.01", "bid_quantity": "1.5",
                     "ask_price": "43971.02", "ask_quantity": "0.75", "exchange_timestamp_us": 1704668135000001}]},
    ),
)  # fmt: skip
CONTROL = (
    b'{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"],"account_ids":null}]}',
    b'{"type":"error","message":"Failed to subscribe","reason":"ETH-USD is not a valid product"}',
    b'{"type":"heartbeat","last_trade_id":9035771,"product_id":"ADA-EUR","sequence":1935971303,'
    b'"time":"2022-10-25T12:27:38.227412Z"}',
    b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","80688.08","0.59153273"]]}',
)


STREAMS = {
    f"{channel}:{product}": [e.frame.replace(b"BTC-USD", product.encode()) for e in EXAMPLES if kind in e.records]
    for channel, kind in (("matches", "trades"), ("ticker", "quotes"))
    for product in ("BTC-USD", "ETH-USD")
}


class TestCoinbaseNormalizer(NormalizerSuite):
    """No deviations."""

    component = next(iter(k2_normalizers()))
    facts = FACTS
    examples = EXAMPLES
    control = CONTROL


class TestCoinbaseFeed(ConnectorSuite):
    """No deviations."""

    component = next(iter(k2_connectors()))
    normalizer = next(iter(k2_normalizers()))
    streams = STREAMS
    control = CONTROL
    server_limits = ServerLimits(control_per_second=100, connects_per_window=20, connect_window=1)

    def dialect(self) -> CoinbaseDialect:
        return CoinbaseDialect(["BTC-USD", "ETH-USD"])

    def settings(self, exchange: FakeExchange) -> Mapping[str, Any]:
        return {"symbols": ["BTC-USD", "ETH-USD"], "websocket_url": exchange.url, "rest_url": exchange.rest_url}
