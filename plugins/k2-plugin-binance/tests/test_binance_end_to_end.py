"""The real driver on the real feed against the local exchange: every issued record arrives, frames are accounted for."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from k2_plugin_binance import k2_connectors, k2_normalizers
from k2_plugin_binance.local import LocalBinance
from k2_plugin_binance.settings import LocalBinanceSettings

from k2core.testing import Capture, capturing

(CONNECTOR,), (NORMALIZER,) = k2_connectors(), k2_normalizers()


def captured(local: LocalBinance, **changes: object) -> AbstractAsyncContextManager[Capture]:
    return capturing(local, CONNECTOR, NORMALIZER, **changes)


def exchange(**changes: object) -> LocalBinance:
    small = {"trades": 1500, "seconds": 0.5, "double_every": 10, "malformed": 3}
    return LocalBinance(LocalBinanceSettings.model_validate({**small, **changes}))


@pytest.mark.parametrize("combined", [True, False])
@pytest.mark.parametrize("time_unit", ["millisecond", "microsecond"])
async def test_everything_issued_arrives(combined: bool, time_unit: str) -> None:
    async with exchange(combined=combined, time_unit=time_unit) as local, captured(local) as capture:
        await local.play()
        await capture.until(lambda: capture.frames >= local.counts.total())
        assert local.counts == {"sound": 4500, "doubled": 450, "malformed": 3}
        assert [one.reason for one in capture.rejected] == ["malformed-json"] * 3
        assert sum(batch.yielding for batch in capture.batches) == 4950
        for data_type in ("trades", "quotes"):
            report = capture.verdict(local, data_type)
            assert (report.missing, report.unexpected, report.differing) == ([], [], [])
            assert 0 < report.issued < report.stored


async def test_streams_spread_over_connections() -> None:
    async with exchange(trades=60, seconds=0.1) as local, captured(local, streams_per_connection=5) as capture:
        await local.play()
        await capture.until(lambda: capture.frames >= local.counts.total())
        assert sorted(len(one.streams) for one in local.exchange.connections) == [4, 4, 4]  # all of a symbol's on one
        assert len({row["trade_id"] for row in local.issued("trades")}) == 60
        assert capture.verdict(local, "trades").missing == []


async def test_a_farewell_makes_it_connect_anew_without_a_hole() -> None:
    async with exchange(trades=100, seconds=0.3, malformed=0) as local, captured(local) as capture:
        await local.exchange.wait_subscribed({"btcusdt@trade"})
        playing = asyncio.create_task(local.play())
        await capture.until(lambda: capture.frames >= 50)
        await local.exchange.announce_shutdown(0)
        await local.exchange.wait_until(lambda: [one.number for one in local.exchange.connections] == [1])
        await playing
        await capture.until_complete(local, "trades", "quotes")
        for data_type, count in (("trades", 100), ("quotes", 200)):
            report = capture.verdict(local, data_type)
            assert (report.issued, report.unexpected, report.differing) == (count, [], [])


async def test_an_unknown_symbol_is_left_out() -> None:
    only = exchange(symbols=["BTCUSDT"], trades=20, seconds=0.1)
    async with only as local, captured(local, symbols=["BTCUSDT", "NOPEUSDT"]) as capture:
        await local.play()
        await capture.until(lambda: capture.frames >= local.counts.total())
        streams = {stream for one in local.exchange.connections for stream in one.streams}
        assert streams == {"btcusdt@trade", "btcusdt@bookTicker"}
