"""Sockets to the embedded log, whole: while connections break, data doubles and the log stalls, everything arrives."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from k2core.broker.embedded import EmbeddedBroker
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import SystemClock
from k2core.config.settings import IngestSettings
from k2core.errors import LogFullError
from k2core.records.builtin import DEAD_LETTERS, TRADES
from k2core.testing import FakeExchange
from tests.integration.feed.toy_exchange import FAST, ToyDialect, ToyFeed, connect, padded, trades
from tests.integration.ingest.ingest_world import LOGGER, World, running

AAA, BBB = "AAA@trades", "BBB@trades"


@pytest.fixture
def log(tmp_path: Path):  # type: ignore[no-untyped-def]
    with EmbeddedBroker(EmbeddedSettings(path=tmp_path / "log.db"), SystemClock(), LOGGER) as broker:
        yield broker


async def test_everything_sent_is_in_the_log_whatever_breaks(log: EmbeddedBroker) -> None:
    async with FakeExchange(ToyDialect()) as server:
        connector = connect(ToyFeed(server.url, ["AAA", "BBB"]))
        async with running(World(connector, log)) as world:
            await server.wait_subscribed({AAA, BBB})
            for at in range(5):
                for stream, symbol in ((AAA, "AAA"), (BBB, "BBB")):
                    await server.send(stream, [*trades(at * 1000, 1000, symbol), *trades(at * 1000, 3, symbol)])
                await server.send(AAA, [b"{broken %d" % at])
                await world.until(lambda at=at: len(world.stored(DEAD_LETTERS)) == at + 1)
                old, connects = server.connections[0], server.counts["connects"]
                if at == 2:
                    await server.announce_shutdown(old)
                else:
                    await server.drop(old, how="abort" if at % 2 else "close")
                await server.wait_until(lambda n=connects + 1, old=old: server.counts["connects"] == n and not old.open)
                await server.wait_subscribed({AAA, BBB})
        rows = world.stored(TRADES)
        assert len(rows) == 2 * 5 * 1003  # doubles too: they are dropped by identity, later
        assert {(r["symbol"], int(r["trade_id"])) for r in rows} == {
            (s, i) for s in ("AAA", "BBB") for i in range(5000)
        }
        for symbol in ("AAA", "BBB"):
            times = [int(r["trade_id"]) // 1000 for r in rows if r["symbol"] == symbol]
            assert times == sorted(times)
        facts = connector.facts()
        assert world.pipeline.result.frames == facts["frames_passed"] == 2 * 5 * 1003 + 5
        assert facts["frames_received"] == facts["frames_passed"] + facts["frames_control"]
        assert world.pipeline.result.unaccounted == 0


async def test_a_full_log_pushes_back_to_the_socket_and_capture_resumes(log: EmbeddedBroker) -> None:
    n = 50_000
    async with FakeExchange(ToyDialect(), ledger=False) as server:
        settings = FAST.model_copy(update={"queue_frames": 5000, "batch_frames": 2000})
        connector = connect(ToyFeed(server.url), settings)
        async with running(World(connector, log, drain_s=20)) as world:
            world.producer.for_ever = LogFullError("no space")
            await server.wait_subscribed({AAA})
            sending = asyncio.create_task(server.send(AAA, padded(n)))
            await world.until(lambda: connector.facts()["queue_pauses"] == 1 and world.producer.calls >= 3)
            assert connector.facts()["queue_frames"] < 5000 + 262_144 / 500
            assert not sending.done()
            world.producer.for_ever = None
            await world.until(lambda: world.pipeline.result.frames == n)
            assert await sending == 1
        assert world.ids() == list(range(n))
        assert world.metrics.value("k2_ingest_log_stalls_total", reason="full") >= 3


async def test_a_stop_closes_the_connections_and_saves_what_was_received(
    log: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with FakeExchange(ToyDialect()) as server:
        connector = connect(ToyFeed(server.url))
        async with running(World(connector, log, settings=IngestSettings(linger_ms=100))) as world:
            await server.wait_subscribed({AAA})
            await server.send(AAA, trades(0, 5000))
            await asyncio.sleep(0.05)  # on its way, not in the log
            world.stop.set()
        assert connector.facts()["frames_passed"] == world.pipeline.result.frames == len(world.ids())
        assert world.ids() == list(range(len(world.ids())))
        await server.wait_until(lambda: not server.connections)
    assert any("closed by" in r.message for r in caplog.records)
