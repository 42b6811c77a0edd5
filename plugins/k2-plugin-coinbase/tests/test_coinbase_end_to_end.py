"""The real driver on the real feed, over sockets, against the local exchange: nothing issued is lost, gaps are exact."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import numpy as np
import pytest
from k2_plugin_coinbase import k2_connectors, k2_normalizers
from k2_plugin_coinbase.local import LocalCoinbase
from k2_plugin_coinbase.settings import LocalCoinbaseSettings

from k2core.admission.holes import Hole, HoleLedger
from k2core.plugin import IdentityBatch, Stream, SystemClock
from k2core.testing import Capture, Deal, Event, capturing

(CONNECTOR,), (NORMALIZER,) = k2_connectors(), k2_normalizers()


def captured(local: LocalCoinbase, **changes: object) -> AbstractAsyncContextManager[Capture]:
    return capturing(local, CONNECTOR, NORMALIZER, **changes)


def trade_ids(capture: Capture, symbol: str = "BTC-USD") -> list[int]:
    return [row["sequence_num"] for row in capture.rows("trades") if row["symbol"] == symbol]


def holes(capture: Capture, symbol: str = "BTC-USD") -> list[Hole]:
    """What the gap ledger makes of the trades, one by one."""
    ledger = HoleLedger()
    for number in trade_ids(capture, symbol):
        one = np.array([number])
        ledger.note(IdentityBatch(
            data_type="trades", partition=("market.crypto.trades.coinbase", 0), kind="contiguous",
            streams=(Stream("coinbase", symbol),), stream=np.zeros(1, np.int32), ids=one, order_ms=one,
            event_time="exchange", offsets=one, timestamps_us=one,
        ))  # fmt: skip
    return ledger.missing()


def exchange(**changes: object) -> LocalCoinbase:
    small = {"symbols": ["BTC-USD", "ETH-USD"], "trades": 1500, "seconds": 0.5, "double_every": 10, "malformed": 3}
    return LocalCoinbase(LocalCoinbaseSettings.model_validate({**small, **changes}))


def happen(local: LocalCoinbase, *numbers: int) -> list[bytes]:
    """Trades that happen at the exchange, heard by nobody yet."""
    deals = [Deal("BTC-USD", number, "61837.63", "0.02", "buy") for number in numbers]
    events = [Event(0, "trades", "BTC-USD", deal) for deal in deals]
    frames = [local.render(event, SystemClock().now_ns() // 1000) for event in events]
    for frame in frames:
        local.exchange.dialect.memory.keep("matches:BTC-USD", frame)
    return frames


async def test_everything_issued_arrives_exactly() -> None:
    async with exchange() as local, captured(local) as capture:
        await local.play()
        await capture.until(lambda: capture.frames >= local.counts.total())
        assert local.counts == {"sound": 4500, "doubled": 450, "malformed": 3}
        assert [one.reason for one in capture.rejected] == ["malformed-json"] * 3
        for data_type in ("trades", "quotes"):
            report = capture.verdict(local, data_type)
            assert (report.missing, report.unexpected, report.differing) == ([], [], [])
            assert 0 < report.issued < report.stored
        assert holes(capture) == holes(capture, "ETH-USD") == []
        assert capture.connector.facts()["refused_subscriptions"] == {}


async def test_after_a_cut_the_last_match_heals_a_gap_of_one() -> None:
    async with exchange() as local, captured(local) as capture:
        await local.exchange.wait_subscribed(local.streams())
        await local.exchange.send("matches:BTC-USD", happen(local, 1, 2))
        await capture.until(lambda: trade_ids(capture) == [1, 2])
        happen(local, 3)
        await local.exchange.drop(0, how="reset")
        await capture.until(lambda: trade_ids(capture) == [1, 2, 3])
        await local.exchange.send("matches:BTC-USD", happen(local, 4))
        await capture.until(lambda: trade_ids(capture) == [1, 2, 3, 4])
        assert holes(capture) == []
        assert [row["trade_id"] for row in local.issued("trades")] == ["3"]  # noted by what sent it as `last_match`


async def test_after_a_cut_the_last_match_shows_a_longer_gap_exactly_before_any_new_trade() -> None:
    async with exchange() as local, captured(local) as capture:
        await local.exchange.wait_subscribed(local.streams())
        await local.exchange.send("matches:BTC-USD", happen(local, 1, 2))
        await capture.until(lambda: trade_ids(capture) == [1, 2])
        happen(local, 3, 4, 5, 6)
        await local.exchange.drop(0, how="abort")
        await capture.until(lambda: trade_ids(capture) == [1, 2, 6])
        assert holes(capture) == [Hole("coinbase", "BTC-USD", 3, 5)]


@pytest.mark.parametrize("dropped", [1, 3])
async def test_a_trade_dropped_in_a_quiet_market_is_found_by_its_heartbeat(dropped: int) -> None:
    async with exchange(heartbeat_s=0.05) as local, captured(local, dropped_after_s=0.1) as capture:
        await local.exchange.wait_subscribed(local.streams())
        await local.exchange.send("matches:BTC-USD", happen(local, 1, 2))
        await capture.until(lambda: trade_ids(capture) == [1, 2])
        happen(local, *range(3, 3 + dropped))  # the exchange forgets to send them, and then nothing happens
        await capture.until(lambda: trade_ids(capture)[-1] == 2 + dropped)
        assert holes(capture) == ([Hole("coinbase", "BTC-USD", 3, 4)] if dropped == 3 else [])
        await local.exchange.wait_until(lambda: [one.number for one in local.exchange.connections] == [1])
        facts = capture.connector.facts()
        assert (facts["rollovers"], facts["reconnects"]) == (1, 0)  # make before break


async def test_an_unknown_product_is_left_out_before_it_is_asked_for() -> None:
    async with exchange() as local, captured(local, symbols=["BTC-USD", "NOPE-USD"]) as capture:
        await local.exchange.wait_subscribed({"matches:BTC-USD"})
        assert capture.connector.facts()["unknown_subscriptions"] == ["NOPE-USD quotes", "NOPE-USD trades"]
        assert b"NOPE" not in local.exchange.received[0][1]


@pytest.mark.parametrize("whole", [False, True], ids=["as today", "as in 2017"])
async def test_a_refused_product_costs_the_others_nothing(whole: bool) -> None:
    """Today Coinbase subscribes to the rest; in 2017 it ignored the whole message."""
    wanted = {"symbols": ["BTC-USD", "NOPE-USD"], "check_symbols": False, "ack_timeout_s": 0.2}
    async with exchange() as local:
        if whole:
            local.exchange.dialect.answer = lambda message, current, refused: (  # type: ignore[method-assign]
                ([refusal], current)
                if b"NOPE" in message
                else type(local.exchange.dialect).answer(local.exchange.dialect, message, current, refused)
            )
        refusal = local.exchange.dialect.refuse(b"", {"matches:NOPE-USD"})[0]
        async with captured(local, **wanted) as capture:
            await local.exchange.wait_subscribed({"matches:BTC-USD", "ticker:BTC-USD"})
            await local.exchange.send("matches:BTC-USD", happen(local, 1))
            await capture.until(lambda: trade_ids(capture) == [1])
            said = "Failed to subscribe: NOPE-USD is not a valid product"
            refused = capture.connector.facts()["refused_subscriptions"]
            assert refused == {"NOPE-USD quotes": said, "NOPE-USD trades": said}
            assert (local.exchange.counts["connects"] == 1) is not whole


async def test_a_connection_without_heartbeats_is_dead() -> None:
    async with exchange(heartbeat_s=60) as local, captured(local, frame_timeout_s=0.2) as capture:
        await local.exchange.wait_subscribed(local.streams())
        await local.exchange.wait_until(lambda: local.exchange.counts["connects"] == 2)
        assert "no frame of any kind" in capture.connector.facts()["last_error"]


async def test_heartbeats_alone_keep_a_quiet_connection() -> None:
    async with exchange(heartbeat_s=0.05) as local:
        enough, beats, plain = asyncio.Event(), list[int](), local.exchange.dialect.heartbeat

        def heartbeat(streams: set[str]) -> list[bytes]:
            beats.append(len(streams))
            if len(beats) == 20:
                enough.set()
            return plain(streams)

        local.exchange.dialect.heartbeat = heartbeat  # type: ignore[method-assign]
        async with captured(local, frame_timeout_s=0.4) as capture:
            await asyncio.wait_for(enough.wait(), 60)
            assert local.exchange.counts["connects"] == 1
            assert capture.connector.facts()["frames_control"] > 20
            assert capture.frames == 0
