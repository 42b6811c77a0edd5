"""Ids that were missed while no writer ran are named, although Redis held the whole window over the restart."""

from __future__ import annotations

import logging
import uuid

from k2_plugin_redis.settings import RedisSettings
from k2_plugin_redis.store import RedisStore

from k2core.plugin import Context, Metrics
from tests.services.fixtures import Address
from tests.unit.writer.writer_world import WriterWorld


def store(url: str, world: WriterWorld, name: str) -> RedisStore:
    context = Context(
        clock=world.clock, logger=logging.getLogger("k2.dedup-store.test"), metrics=Metrics(), instance=name
    )
    return RedisStore(RedisSettings(url=url, timeout_ms=5000, connect_timeout_ms=5000), context)


def test_a_restart_with_a_window_in_redis_knows_what_was_missed(redis_server: Address) -> None:
    world, name = WriterWorld(), f"holes-{uuid.uuid4().hex}"
    world.trades("BTCUSDT", 1, 2, 5)
    with store(redis_server.url, world, name) as first:
        world.finish(world.writer(dedup=first))
    world.clock.us += 5_000_000
    world.trades("BTCUSDT", 9)
    with store(redis_server.url, world, name) as again:
        writer = world.writer(dedup=again)
        world.finish(writer)
        assert [(h.first, h.last) for h in writer.holes()] == [(3, 4), (6, 8)]
    assert world.metrics.value("k2_writer_missing_ids", exchange="binance") == 5
    world.check()
