"""Kraken against k2's own suites for connectors and normalizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from k2_plugin_kraken import FACTS, k2_connectors, k2_normalizers
from k2_plugin_kraken.local import KrakenDialect

from k2core.testing import ConnectorSuite, Dialect, Example, FakeExchange, NormalizerSuite, ServerLimits

TRADES = (
    b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":61837.6,"qty":0.02,'
    b'"ord_type":"limit","trade_id":4665846,"timestamp":"2023-09-25T07:48:36.925533Z"},{"symbol":"BTC/USD",'
    b'"side":"sell","price":61837.5,"qty":1136.19677815,"ord_type":"market","trade_id":4665847,'
    b'"timestamp":"2023-09-25T07:48:36.925603Z"}]}'
)
TICKER = (
    b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":61837.5,"bid_qty":740.25,"ask":61837.75,'
    b'"ask_qty":1361.44813783,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,'
    b'"change":-0.00017,"change_pct":-0.17,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
)
NEXT_TICKER = TICKER.replace(b"37.708706Z", b"37.708707Z").replace(b"740.25", b"739.25")
CONTROL = (
    b'{"channel":"heartbeat"}',
    b'{"channel":"status","type":"update","data":[{"version":"2.0.0","system":"online","api_version":"v2"}]}',
    b'{"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"X/Y"},"success":true,"req_id":99}',
    b'{"method":"pong","req_id":101}',
)
TRADE = {"symbol": "BTC/USD", "trade_id": "4665846", "price": "61837.6", "quantity": "0.02", "side": "buy"}
QUOTE = {"symbol": "BTC/USD", "bid_price": "61837.5", "bid_quantity": "740.25", "ask_price": "61837.75"}
QUOTE |= {"ask_quantity": "1361.44813783", "exchange_timestamp_us": 1_695_628_177_708_706}
QUOTE |= {"update_id": "1695628177708706-da4961b8ff97c0ba"}
NEXT = {"exchange_timestamp_us": 1_695_628_177_708_707, "update_id": "1695628177708707-4ba21e44d1bedbcb"}


class TestKrakenNormalizer(NormalizerSuite):
    (component,) = k2_normalizers()
    facts = FACTS
    examples = (
        Example(
            TRADES,
            {
                "trades": [
                    TRADE | {"exchange_timestamp_us": 1_695_628_116_925_533},
                    {"symbol": "BTC/USD", "trade_id": "4665847", "price": "61837.5", "quantity": "1136.19677815"}
                    | {"side": "sell", "exchange_timestamp_us": 1_695_628_116_925_603},
                ]
            },
        ),
        Example(TICKER, {"quotes": [QUOTE]}),
        Example(NEXT_TICKER, {"quotes": [QUOTE | NEXT | {"bid_quantity": "739.25"}]}),
    )
    control = CONTROL


class TestKrakenFeed(ConnectorSuite):
    (component,) = k2_connectors()
    (normalizer,) = k2_normalizers()
    streams: ClassVar[dict[str, tuple[bytes, ...]]] = {
        "trade:BTC/USD": (TRADES, TRADES.replace(b"466584", b"466585")),
        "ticker:BTC/USD": (TICKER, NEXT_TICKER),
        "trade:ETH/USD": tuple(TRADES.replace(b"BTC", b"ETH").replace(b"466584", n) for n in (b"1", b"2")),
        "ticker:ETH/USD": (TICKER.replace(b"BTC", b"ETH"), NEXT_TICKER.replace(b"BTC", b"ETH")),
    }
    control = CONTROL
    server_limits = ServerLimits(connects_per_window=150, connect_window=600, heartbeat_interval=0.1)

    def dialect(self) -> Dialect:
        return KrakenDialect(["BTC/USD", "ETH/USD"])

    def settings(self, exchange: FakeExchange) -> Mapping[str, Any]:
        return {"symbols": ["BTC/USD", "ETH/USD"], "websocket_url": exchange.url, "rest_url": exchange.rest_url}
