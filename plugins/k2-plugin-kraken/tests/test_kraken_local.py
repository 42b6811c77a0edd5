"""The local exchange speaks Kraken's protocol to a plain WebSocket client, and knows what it issued."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pyarrow as pa
import pytest
from k2_plugin_kraken.local import LocalKraken
from k2_plugin_kraken.normalizer import KrakenNormalizer
from k2_plugin_kraken.settings import LocalKrakenSettings
from websockets.asyncio.client import ClientConnection, connect

from k2core.plugin import FrameBatch
from k2core.testing import compare

SYMBOLS = ["BTC/USD", "ETH/USD"]


@asynccontextmanager
async def exchange(**settings: object) -> AsyncIterator[LocalKraken]:
    small = {"symbols": SYMBOLS, "trades": 300, "seconds": 0.3, "double_every": 10, "malformed": 2}
    async with LocalKraken(LocalKrakenSettings.model_validate({**small, **settings})) as local:
        yield local


async def ask(client: ClientConnection, **message: object) -> None:
    await client.send(json.dumps(message))


async def hear(client: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(client.recv(), 60))


async def test_the_first_frame_is_the_status() -> None:
    async with exchange() as local, connect(local.settings()["websocket_url"]) as client:
        first = await hear(client)
        assert (first["channel"], first["data"][0]["system"]) == ("status", "online")


async def test_each_symbol_is_answered_by_itself_and_trades_begin_with_a_snapshot() -> None:
    async with exchange(before=800, trades=600) as local, connect(local.exchange.url) as client:
        await hear(client)
        wanted = {"channel": "trade", "symbol": ["BTC/USD", "NOPE/USD", "ETH/USD"], "snapshot": True}
        await ask(client, method="subscribe", params=wanted, req_id=5)
        answers = [await hear(client) for _ in range(5)]
        assert [one["req_id"] for one in answers if "req_id" in one] == [5, 5, 5]
        assert answers[0]["result"] == {"channel": "trade", "symbol": "BTC/USD", "snapshot": True}
        assert (answers[2]["success"], answers[2]["error"]) == (False, "Currency pair not supported NOPE/USD")
        snapshots = [one for one in answers if one.get("type") == "snapshot"]
        assert [len(one["data"]) for one in snapshots] == [50, 50]
        assert len(local.issued("trades")) == 100
        await ask(client, method="subscribe", params=wanted | {"symbol": ["BTC/USD"]}, req_id=6)
        assert "Already subscribed" in (await hear(client))["error"]
        assert local.exchange.connections[0].streams == {"trade:BTC/USD", "trade:ETH/USD"}


async def test_its_heart_beats_for_subscribers() -> None:
    async with exchange(before=0) as local, connect(local.exchange.url) as client:
        await hear(client)
        wanted = {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": True}
        await ask(client, method="subscribe", params=wanted, req_id=1)
        assert (await hear(client))["success"] is True
        assert await hear(client) == {"channel": "heartbeat"}


async def test_what_was_heard_is_what_was_issued() -> None:
    async with exchange() as local, connect(local.exchange.url) as client:
        for number, channel in enumerate(("trade", "ticker")):
            params = {"channel": channel, "symbol": SYMBOLS, "snapshot": True}
            await ask(client, method="subscribe", params=params, req_id=number)
        listening = asyncio.create_task(until_end(client))
        await local.play()
        await local.exchange.drop(0, "close")
        frames = await asyncio.wait_for(listening, 60)
        result = normalized(frames)
        assert [one.reason for one in result.rejected] == ["malformed-json"] * 2
        assert len(local.issued("trades")) == 300
        assert result.records["trades"].num_rows > 300 > sum(b'"channel":"trade"' in one for one in frames)
        for data_type in ("trades", "quotes"):
            columns = list(local.issued(data_type)[0])
            report = compare(local.issued(data_type), pa.Table.from_batches([result.records[data_type]]), columns)
            assert (report.missing, report.unexpected, report.differing) == ([], [], [])
            assert report.stored > report.issued  # some came twice


async def until_end(client: ClientConnection) -> list[bytes]:
    return [message if isinstance(message, bytes) else message.encode() async for message in client]


def normalized(frames: list[bytes]):
    return KrakenNormalizer().normalize(FrameBatch(frames, [1] * len(frames)))


async def test_nobody_subscribes() -> None:
    async with exchange(subscribe_timeout_s=0.05) as local:
        with pytest.raises(TimeoutError):
            await local.play()
