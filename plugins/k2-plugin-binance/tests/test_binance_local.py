"""The local exchange speaks Binance's protocol to a plain WebSocket client, and knows what it issued."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyarrow as pa
import pytest
from k2_plugin_binance.local import LocalBinance
from k2_plugin_binance.normalizer import BinanceNormalizer
from k2_plugin_binance.protocol import BinanceDialect
from k2_plugin_binance.settings import LocalBinanceSettings
from websockets.asyncio.client import ClientConnection, connect

from k2core.plugin import FrameBatch, SystemClock
from k2core.testing import compare

STREAMS = ["btcusdt@trade", "btcusdt@bookTicker", "ethusdt@trade", "ethusdt@bookTicker"]
TRADE_COLUMNS = [
    "symbol",
    "exchange",
    "exchange_timestamp_ms",
    "price",
    "quantity",
    "side",
    "trade_id",
    "sequence_num",
    "exchange_timestamp_us",
    "source",
]
QUOTE_COLUMNS = [
    "symbol",
    "exchange",
    "bid_price",
    "bid_quantity",
    "ask_price",
    "ask_quantity",
    "update_id",
    "sequence_num",
    "source",
    "timestamp_source",
]


@asynccontextmanager
async def exchange(**settings: object) -> AsyncIterator[LocalBinance]:
    small = {"symbols": ["BTCUSDT", "ETHUSDT"], "trades": 300, "seconds": 0.3, "double_every": 10, "malformed": 2}
    async with LocalBinance(LocalBinanceSettings.model_validate({**small, **settings})) as local:
        yield local


async def ask(client: ClientConnection, method: str, params: object = None, request_id: object = 1) -> object:
    await client.send(json.dumps({"method": method, "params": params, "id": request_id}))
    return json.loads(await asyncio.wait_for(client.recv(), 60))


async def played(local: LocalBinance, path: str) -> list[bytes]:
    """All frames that one client hears from the beginning of the tape to its end."""
    async with connect(local.exchange.url + path) as client:
        assert await ask(client, "SUBSCRIBE", STREAMS) == {"result": None, "id": 1}
        listening = asyncio.create_task(until_end(client))
        await local.play()
        await local.exchange.drop(0, "close")
        return await asyncio.wait_for(listening, 60)


async def until_end(client: ClientConnection) -> list[bytes]:
    return [message if isinstance(message, bytes) else message.encode() async for message in client]


@pytest.mark.parametrize("path", ["/stream", "/ws", "/stream?timeUnit=MICROSECOND", "/ws?timeUnit=microsecond"])
async def test_what_was_heard_is_what_was_issued(path: str) -> None:
    async with exchange() as local:
        frames = await played(local, path)
        assert local.counts["sound"] == 900
        assert local.counts["doubled"] == 90
        assert local.counts["malformed"] == 2
        assert len(frames) == 992
        result = BinanceNormalizer().normalize(FrameBatch(frames, [1] * len(frames)))
        assert [one.reason for one in result.rejected] == ["malformed-json"] * 2
        assert result.yielding == 990
        for data_type, columns in (("trades", TRADE_COLUMNS), ("quotes", QUOTE_COLUMNS)):
            table = pa.Table.from_batches([result.records[data_type]])
            report = compare(local.issued(data_type), table, columns)
            assert (report.missing, report.unexpected, report.differing) == ([], [], [])
            assert report.stored > report.issued


async def test_event_times_are_the_times_of_sending() -> None:
    async with exchange() as local:
        before = SystemClock().now_ms()
        await played(local, "/stream")
        times = [row["exchange_timestamp_ms"] for row in local.issued("trades")]
        assert before <= min(times) <= max(times) <= SystemClock().now_ms()
        assert max(times) - min(times) > 100  # it plays, it does not dump


async def test_a_recording_is_played_as_it_was_sent(tmp_path) -> None:
    import gzip

    lines = [
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":%d,"p":"1.50","q":"2.00",'
        b'"T":1723161255342,"m":true,"M":true}}' % n
        for n in range(50)
    ]
    lines.insert(7, b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate"}}')
    path = tmp_path / "one.gz"
    path.write_bytes(gzip.compress(b"".join(b"%d %b\n" % (n, line) for n, line in enumerate(lines))))
    async with exchange(recordings=path, data_types=["trades"], double_every=0, malformed=0) as local:
        assert local.settings()["symbols"] == ["BTCUSDT"]
        frames = await played(local, "/stream")
        assert frames == [line for line in lines if b"@trade" in line]
        assert len(local.issued("trades")) == 50


async def test_nobody_subscribes() -> None:
    async with exchange(subscribe_timeout_s=0.05) as local:
        with pytest.raises(TimeoutError):
            await local.play()


async def test_control_messages_are_answered_in_binances_words() -> None:
    async with exchange() as local, connect(local.exchange.url + "/ws/btcusdt@trade") as client:
        assert await ask(client, "LIST_SUBSCRIPTIONS", None, 3) == {"result": ["btcusdt@trade"], "id": 3}
        assert await ask(client, "UNSUBSCRIBE", ["btcusdt@trade"], "x1") == {"result": None, "id": "x1"}
        answer = await ask(client, "SUBSCIRBE", [], 5)
        assert (answer["code"], answer["id"]) == (2, 5)
        await client.send("{not json")
        assert json.loads(await client.recv())["code"] == 3


def test_addresses_subscribe() -> None:
    dialect = BinanceDialect(["BTCUSDT"], SystemClock())
    assert dialect.on_connect("/stream?streams=a@trade/b@trade&timeUnit=MICROSECOND") == {"a@trade", "b@trade"}
    assert dialect.on_connect("/ws/a@trade") == {"a@trade"}
    assert dialect.on_connect("/ws") == dialect.on_connect("/stream") == set()


def test_the_farewell_is_raw_or_combined() -> None:
    dialect = BinanceDialect(["BTCUSDT"], SystemClock())
    assert json.loads(dialect.shutdown_frame("/ws"))["e"] == "serverShutdown"
    combined = json.loads(dialect.shutdown_frame("/stream"))
    assert (combined["stream"], combined["data"]["e"]) == ("!serverShutdown", "serverShutdown")


async def fetch(url: str) -> tuple[int, object]:
    def get() -> tuple[int, object]:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    return await asyncio.to_thread(get)


async def test_rest() -> None:
    async with exchange() as local:
        base = local.settings()["rest_url"] + "/api/v3/"
        assert await fetch(base + "ping") == (200, {})
        status, body = await fetch(base + "time")
        assert abs(body["serverTime"] - SystemClock().now_ms()) < 60_000
        status, body = await fetch(base + "exchangeInfo?symbols=%5B%22ETHUSDT%22%5D")
        assert (status, [one["symbol"] for one in body["symbols"]]) == (200, ["ETHUSDT"])
        assert await fetch(base + "exchangeInfo?symbol=NOPE") == (400, {"code": -1121, "msg": "Invalid symbol."})
        assert (await fetch(base + "exchangeInfo?symbols=oops"))[0] == 400
        assert (await fetch(base + "depth"))[0] == 404
