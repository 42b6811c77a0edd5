"""The real driver on the real feed against the local exchange: every issued record arrives, through every fault."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest
from k2_plugin_kraken import k2_connectors, k2_normalizers
from k2_plugin_kraken.local import LocalKraken
from k2_plugin_kraken.settings import LocalKrakenSettings

from k2core.testing import Capture, Event, capturing
from k2core.testing.exchange import Drop

(CONNECTOR,), (NORMALIZER,) = k2_connectors(), k2_normalizers()


def captured(local: LocalKraken, **changes: object) -> AbstractAsyncContextManager[Capture]:
    return capturing(local, CONNECTOR, NORMALIZER, **changes)


def exchange(**changes: object) -> LocalKraken:
    small = {"trades": 1500, "seconds": 0.5, "double_every": 10, "malformed": 3}
    return LocalKraken(LocalKrakenSettings.model_validate({**small, **changes}))


async def test_everything_issued_arrives() -> None:
    async with exchange() as local, captured(local) as capture:
        await local.play()
        await capture.until_complete(local, "trades", "quotes")
        await capture.until(lambda: len(capture.rejected) == 3)
        assert {one.reason for one in capture.rejected} == {"malformed-json"}
        assert len(local.issued("trades")) == 1500
        for data_type in ("trades", "quotes"):
            report = capture.verdict(local, data_type)
            assert (report.missing, report.unexpected, report.differing) == ([], [], [])
            assert 0 < report.issued < report.stored
        facts = capture.connector.facts()
        assert facts["frames_received"] == facts["frames_passed"] + facts["frames_control"]
        assert facts["refused_subscriptions"] == {}


class Watched(LocalKraken):
    """Counts what happens at the exchange, heard or not."""

    happened = 0

    def render(self, event: Event, now_us: int) -> bytes:
        self.happened += 1
        return super().render(event, now_us)


@pytest.mark.parametrize("how", ["close", "abort", "reset"])
async def test_the_snapshot_heals_the_hole_that_a_reconnect_leaves(how: Drop) -> None:
    """Trades that pass while nobody is connected are in the next subscription's snapshot: the ids have no hole."""
    one = {"symbols": ["BTC/USD"], "data_types": ["trades"], "quotes_per_trade": 0, "malformed": 0, "before": 0}
    settings = LocalKrakenSettings.model_validate({**one, "trades": 200, "seconds": 2, "trades_per_frame": 1})
    async with Watched(settings) as local, captured(local) as capture:
        playing = asyncio.create_task(local.play())
        await capture.until(lambda: len(capture.rows("trades")) > 60)
        local.exchange.refuse_next(503, count=1000)
        await local.exchange.drop(0, how)
        hole_began = local.happened
        await capture.until(lambda: local.happened > hole_began + 15)
        local.exchange.refusals.clear()
        await playing
        await capture.until_complete(local, "trades")
        ids = {int(str(row["trade_id"])) for row in capture.rows("trades")}
        assert len(ids) == max(ids) - min(ids) + 1 == 200
        assert local.counts["sound"] <= 200 - 15  # so many updates passed unheard


async def test_a_symbol_that_is_refused_costs_the_others_nothing() -> None:
    async with exchange(trades=60, seconds=0.1, malformed=0) as local:
        symbols = ["NOPE/USD", *local.settings()["symbols"]]
        async with captured(local, symbols=symbols, check_symbols=False) as capture:
            await local.play()
            await capture.until_complete(local, "trades")
            refused = capture.connector.facts()["refused_subscriptions"]
            assert set(refused) == {"NOPE/USD trades", "NOPE/USD quotes"}
            assert set(refused.values()) == {"Currency pair not supported NOPE/USD"}
            asked = [json.loads(message) for _, message in local.exchange.received]
            assert len(asked) == 2  # one for each channel: nobody was asked for twice
            assert capture.connector.facts()["connects"] == 1


async def test_a_refused_stream_alone_is_left_out_and_tried_again_on_the_next_connection() -> None:
    async with exchange(symbols=["BTC/USD", "ETH/USD"], malformed=0) as local, captured(local) as capture:
        local.exchange.refused_streams = {"ticker:ETH/USD"}
        await local.exchange.wait_subscribed({"trade:ETH/USD", "ticker:BTC/USD"})
        await capture.until(lambda: bool(capture.connector.facts()["refused_subscriptions"]))
        assert list(capture.connector.facts()["refused_subscriptions"]) == ["ETH/USD quotes"]
        local.exchange.refused_streams = set()
        await local.exchange.drop(0, "abort")
        await local.exchange.wait_subscribed({"ticker:ETH/USD"})
        await local.play()
        await capture.until(lambda: not capture.connector.facts()["refused_subscriptions"])
        await capture.until_complete(local, "quotes")


async def test_unknown_symbols_are_found_over_rest_before_the_first_connection() -> None:
    local = exchange(trades=60, seconds=0.1)
    symbols = ["NOPE/USD", *local.settings()["symbols"]]
    async with local, captured(local, symbols=symbols) as capture:
        await local.play()
        assert capture.connector.facts()["unknown_subscriptions"] == ["NOPE/USD quotes", "NOPE/USD trades"]
        assert not any(b"NOPE" in message for _, message in local.exchange.received)


async def test_a_quiet_market_is_alive_by_its_heartbeat_and_a_silent_one_is_dead() -> None:
    local = exchange(before=0, trades=0, malformed=0)
    local.exchange.limits = replace(local.exchange.limits, heartbeat_interval=0.05)
    async with local, captured(local, frame_timeout_s=0.5) as capture:
        await capture.until(lambda: capture.connector.facts()["frames_control"] > 30)  # about three timeouts
        assert capture.connector.facts()["reconnects"] == 0
        await local.exchange.drop(0, "silent")
        await local.exchange.wait_until(lambda: local.exchange.counts["connects"] == 2)
        assert "no frame" in capture.connector.facts()["last_error"]
