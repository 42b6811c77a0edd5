"""The real driver on the real feed against the local exchange: every issued record arrives, frames are accounted for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pyarrow as pa
import pytest
from k2_plugin_binance.feed import BinanceFeed
from k2_plugin_binance.local import LocalBinance
from k2_plugin_binance.normalizer import BinanceNormalizer
from k2_plugin_binance.settings import BinanceSettings, LocalBinanceSettings

from k2core.feed.driver import FeedConnector
from k2core.feed.settings import FeedSettings
from k2core.plugin import Metrics, NormalizedBatch, SystemClock
from k2core.testing import compare

TRADE_COLUMNS = ["exchange", "symbol", "trade_id", "exchange_timestamp_ms", "price", "quantity", "side"]
QUOTE_COLUMNS = ["exchange", "symbol", "update_id", "bid_price", "bid_quantity", "ask_price", "ask_quantity"]


class Capture:
    """Reads a connector into normalized batches."""

    def __init__(self, connector: FeedConnector) -> None:
        self.connector = connector
        self.batches: list[NormalizedBatch] = []
        self.frames = 0
        self._more = asyncio.Event()

    async def run(self) -> None:
        async for batch in self.connector.frames():
            self.batches.append(BinanceNormalizer().normalize(batch))
            self.frames += len(batch)
            self._more.set()

    async def until(self, frames: int) -> None:
        await self.until_holds(lambda: self.frames >= frames)

    async def until_holds(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._more.clear()
                await self._more.wait()

    def table(self, data_type: str) -> pa.Table:
        parts = [batch.records[data_type].to_pylist() for batch in self.batches if data_type in batch.records]
        return pa.Table.from_pylist([row for part in parts for row in part])


@asynccontextmanager
async def captured(local: LocalBinance, **changes: object) -> AsyncIterator[Capture]:
    feed = BinanceFeed(BinanceSettings.model_validate({**local.settings(), **changes}))
    quick = FeedSettings(backoff_initial_s=0.01, overlap_s=0.05)
    logger = logging.getLogger("test.binance")
    async with FeedConnector(feed, SystemClock(), logger, Metrics(), "binance", quick) as connector:
        capture = Capture(connector)
        running = asyncio.create_task(capture.run())
        yield capture
        await connector.close()
        await asyncio.wait_for(running, 10)


def exchange(**changes: object) -> LocalBinance:
    small = {"trades": 1500, "seconds": 0.5, "double_every": 10, "malformed": 3}
    return LocalBinance(LocalBinanceSettings.model_validate({**small, **changes}))


@pytest.mark.parametrize("combined", [True, False])
@pytest.mark.parametrize("time_unit", ["millisecond", "microsecond"])
async def test_everything_issued_arrives(combined: bool, time_unit: str) -> None:
    async with exchange(combined=combined, time_unit=time_unit) as local, captured(local) as capture:
        await local.play()
        await capture.until(local.counts.total())
        assert local.counts == {"sound": 4500, "doubled": 450, "malformed": 3}
        assert [one.reason for batch in capture.batches for one in batch.rejected] == ["malformed-json"] * 3
        assert sum(batch.yielding for batch in capture.batches) == 4950
        for data_type, columns in (("trades", TRADE_COLUMNS), ("quotes", QUOTE_COLUMNS)):
            report = compare(local.issued(data_type), capture.table(data_type), columns)
            assert (report.missing, report.unexpected, report.differing) == ([], [], [])
            assert 0 < report.issued < report.stored


async def test_streams_spread_over_connections() -> None:
    async with exchange(trades=60, seconds=0.1) as local, captured(local, streams_per_connection=5) as capture:
        await local.play()
        await capture.until(local.counts.total())
        assert sorted(len(one.streams) for one in local.exchange.connections) == [2, 5, 5]
        assert len({row["trade_id"] for row in local.issued("trades")}) == 60
        assert compare(local.issued("trades"), capture.table("trades"), TRADE_COLUMNS).missing == []


async def test_a_farewell_makes_it_connect_anew_without_a_hole() -> None:
    async with exchange(trades=100, seconds=0.3, malformed=0) as local, captured(local) as capture:
        await local.exchange.wait_subscribed({"btcusdt@trade"})
        playing = asyncio.create_task(local.play())
        await capture.until(50)
        await local.exchange.announce_shutdown(0)
        await local.exchange.wait_until(lambda: [one.number for one in local.exchange.connections] == [1])
        await playing
        for data_type, columns in (("trades", TRADE_COLUMNS), ("quotes", QUOTE_COLUMNS)):
            issued = local.issued(data_type)
            await capture.until_holds(
                lambda d=data_type, c=columns, i=issued: not compare(i, capture.table(d), c).missing
            )
            report = compare(issued, capture.table(data_type), columns)
            assert (len(issued), report.unexpected, report.differing) == (
                {"trades": 100, "quotes": 200}[data_type],
                [],
                [],
            )


async def test_an_unknown_symbol_is_left_out() -> None:
    only = exchange(symbols=["BTCUSDT"], trades=20, seconds=0.1)
    async with only as local, captured(local, symbols=["BTCUSDT", "NOPEUSDT"]) as capture:
        await local.play()
        await capture.until(local.counts.total())
        streams = {stream for one in local.exchange.connections for stream in one.streams}
        assert streams == {"btcusdt@trade", "btcusdt@bookTicker"}
