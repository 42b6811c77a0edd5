"""The local exchange speaks Coinbase's protocol to a plain WebSocket client, and knows what it issued."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from k2_plugin_coinbase.local import LocalCoinbase
from k2_plugin_coinbase.settings import LocalCoinbaseSettings
from websockets.asyncio.client import ClientConnection, connect


@asynccontextmanager
async def exchange(**settings: object) -> AsyncIterator[LocalCoinbase]:
    small = {"symbols": ["BTC-USD", "ETH-USD"], "trades": 200, "seconds": 0.2, "double_every": 10, "malformed": 2}
    async with LocalCoinbase(LocalCoinbaseSettings.model_validate({**small, **settings})) as local:
        yield local


def channels(names: Sequence[str], products: Sequence[str]) -> str:
    return json.dumps({"type": "subscribe", "channels": [{"name": n, "product_ids": products} for n in names]})


async def answers(client: ClientConnection, message: str) -> list[dict[str, Any]]:
    """All frames up to the acknowledgement."""
    await client.send(message)
    found = [json.loads(await asyncio.wait_for(client.recv(), 60))]
    while found[-1]["type"] != "subscriptions":
        found.append(json.loads(await asyncio.wait_for(client.recv(), 60)))
    return found


async def test_an_acknowledgement_lists_all_of_the_connection_and_a_refusal_comes_before_it() -> None:
    async with exchange() as local, connect(local.exchange.url) as client:
        await answers(client, channels(["matches", "heartbeat"], ["ETH-USD"]))
        error, listed = await answers(client, channels(["matches", "ticker"], ["BTC-USD", "NOPE-USD"]))
        reason = "NOPE-USD is not a valid product"
        assert error == {"type": "error", "message": "Failed to subscribe", "reason": reason}
        assert {c["name"]: c["product_ids"] for c in listed["channels"]} == {
            "matches": ["BTC-USD", "ETH-USD"],
            "ticker": ["BTC-USD"],
            "heartbeat": ["ETH-USD"],
        }


async def test_a_subscription_begins_with_the_last_of_each_channel() -> None:
    async with exchange() as local:
        async with connect(local.exchange.url, max_queue=None) as first:
            assert [
                one["type"] for one in await answers(first, channels(["matches", "ticker"], ["BTC-USD", "ETH-USD"]))
            ] == ["subscriptions"]
            await local.play()
        newest = max(record["sequence_num"] for record in local.issued("trades") if record["symbol"] == "BTC-USD")
        async with connect(local.exchange.url) as second:
            match, ticker, _ = await answers(second, channels(["ticker", "matches", "heartbeat"], ["BTC-USD"]))
            assert (match["type"], match["trade_id"], ticker["type"]) == ("last_match", newest, "ticker")
        assert len(local.issued("trades")) == 200  # what is sent again is no new trade


async def test_a_heartbeat_names_the_newest_trade_of_its_product() -> None:
    settings = {"heartbeat_s": 0.05, "data_types": ["trades"], "quotes_per_trade": 0, "malformed": 0}
    async with exchange(**settings) as local, connect(local.exchange.url) as client:
        await answers(client, channels(["matches", "heartbeat"], ["BTC-USD", "ETH-USD"]))
        await local.play()
        newest = {record["symbol"]: record["sequence_num"] for record in local.issued("trades")}
        said: dict[str, int] = {}
        while said != newest:
            beat = json.loads(await asyncio.wait_for(client.recv(), 60))
            if beat["type"] == "heartbeat":
                said[beat["product_id"]] = beat["last_trade_id"]
                assert beat["last_trade_id"] <= newest[beat["product_id"]]


async def test_nobody_subscribes() -> None:
    async with exchange(subscribe_timeout_s=0.05) as local:
        with pytest.raises(TimeoutError):
            await local.play()


async def test_rest_lists_products() -> None:
    def get(url: str) -> Any:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)

    async with exchange() as local:
        products = await asyncio.to_thread(get, f"{local.exchange.rest_url}/products")
        assert products == [{"id": "BTC-USD", "status": "online"}, {"id": "ETH-USD", "status": "online"}]
        with pytest.raises(urllib.error.HTTPError):
            await asyncio.to_thread(get, f"{local.exchange.rest_url}/nothing")


def test_the_same_seed_gives_the_same_tape() -> None:
    settings = LocalCoinbaseSettings(trades=50)
    tapes = [LocalCoinbase(LocalCoinbaseSettings(trades=50, seed=seed))._tape for seed in (1, 1, 2)]
    assert tapes[0] == tapes[1] != tapes[2]
    assert len(LocalCoinbase(settings)._tape) == 50 + 100 + 1
