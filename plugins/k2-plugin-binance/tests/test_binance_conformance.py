"""Binance passes k2's conformance suites: what every connector and every normalizer must do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from k2_plugin_binance import FACTS, k2_connectors, k2_normalizers
from k2_plugin_binance.protocol import BinanceDialect

from k2core.plugin import SystemClock
from k2core.testing import ConnectorSuite, Dialect, Example, FakeExchange, NormalizerSuite, ServerLimits


def trade(number: int, maker: str, price: str, quantity: str, time: str, symbol: str = "BTCUSDT") -> bytes:
    return (
        f'{{"e":"trade","E":1723161255343,"s":"{symbol}","t":{number},"p":"{price}","q":"{quantity}","T":{time},'
        f'"m":{maker},"M":true}}'
    ).encode()


def quote(number: int, bid: str, ask: str, symbol: str = "BTCUSDT") -> bytes:
    return f'{{"u":{number},"s":"{symbol}","b":"{bid}","B":"3.78826000","a":"{ask}","A":"1.54698000"}}'.encode()


def traded(
    number: int, side: str, price: str, quantity: str, time_us: int
) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    identity = {"symbol": "BTCUSDT", "trade_id": str(number), "sequence_num": number, "source": "live"}
    return {
        "trades": [{**identity, "side": side, "price": price, "quantity": quantity, "exchange_timestamp_us": time_us}]
    }


def quoted(number: int, bid: str, ask: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    identity = {"symbol": "BTCUSDT", "update_id": str(number), "sequence_num": None, "source": "live"}
    rest = {"bid_price": bid, "bid_quantity": "3.78826000", "ask_price": ask, "ask_quantity": "1.54698000"}
    return {"quotes": [{**identity, **rest}]}


SOLD = trade(3735683259, "true", "61837.63000000", "0.02000000", "1723161255342")
BOUGHT = trade(3735683260, "false", "61837.64000000", "0.00510000", "1723161255342789")
TOP = quote(50093239212, "61837.63000000", "61837.64000000")
NEXT_TOP = quote(50093239219, "61837.62000000", "61837.65000000")
EXAMPLES = (
    Example(SOLD, traded(3735683259, "sell", "61837.63000000", "0.02000000", 1_723_161_255_342_000)),
    Example(TOP, quoted(50093239212, "61837.63000000", "61837.64000000")),
    Example(BOUGHT, traded(3735683260, "buy", "61837.64000000", "0.00510000", 1_723_161_255_342_789)),
    Example(NEXT_TOP, quoted(50093239219, "61837.62000000", "61837.65000000")),
)
CONTROL = (
    b'{"result":null,"id":1}',
    b'{ "result" : null , "id" : 1 }',
    b'{"id":1,"result":["btcusdt@trade"]}',
    b'{"code":2,"msg":"Invalid request","id":1}',
    b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
    b'{"e":"serverShutdown","E":1753180000000}',
    b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1753180000000}}',
)


class TestRawFrames(NormalizerSuite):
    component = next(iter(k2_normalizers()))
    facts = FACTS
    examples = EXAMPLES
    control = CONTROL


class TestCombinedFrames(TestRawFrames):
    examples = tuple(
        Example(
            b'{"stream":"btcusdt@%b","data":%b}' % (b"trade" if "trades" in one.records else b"bookTicker", one.frame),
            one.records,
        )
        for one in EXAMPLES
    )


class TestFeed(ConnectorSuite):
    component = next(iter(k2_connectors()))
    normalizer = next(iter(k2_normalizers()))
    streams: ClassVar = {
        "btcusdt@trade": (SOLD, BOUGHT),
        "btcusdt@bookTicker": (TOP, NEXT_TOP),
        "ethusdt@trade": (
            trade(7, "true", "2683.80", "1.5", "1723161255342", "ETHUSDT"),
            trade(8, "false", "2683.81", "0.5", "1723161255343", "ETHUSDT"),
        ),
        "ethusdt@bookTicker": (quote(8, "2683.80", "2683.81", "ETHUSDT"), quote(9, "2683.80", "2683.82", "ETHUSDT")),
    }
    control = CONTROL
    server_limits = ServerLimits(
        streams_per_connection=1024, control_per_second=5, connects_per_window=300, max_age=86_400
    )
    combined = True

    def dialect(self) -> Dialect:
        return BinanceDialect(["BTCUSDT", "ETHUSDT"], SystemClock())

    def settings(self, exchange: FakeExchange) -> Mapping[str, Any]:
        addresses = {"websocket_url": exchange.url, "rest_url": exchange.rest_url}
        return {"symbols": ["BTCUSDT", "ETHUSDT"], "combined": self.combined, **addresses}


class TestFeedOfRawFrames(TestFeed):
    combined = False
