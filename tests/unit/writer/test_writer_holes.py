"""Which holes a writer knows after a start: the same whether its dedup store was rebuilt, outlived it, or read little."""

from __future__ import annotations

import logging

import pytest
from k2_plugin_memory.settings import MemorySettings
from k2_plugin_memory.store import MemoryStore

from k2core.config.settings import WriterSettings
from k2core.interfaces.broker import Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.frames import ChannelFacts
from tests.unit.writer.writer_world import WriterWorld

HOUR_US = 3_600_000_000


class KeptStore(MemoryStore):
    """Outlives its writers, as Redis does: where it knows the table's offset, it asks the table for nothing."""

    def assign(self, partition: Partition, offset: int, table: StoredIdentities) -> None:
        if partition not in self._owned or self._owned[partition].offset != offset:
            super().assign(partition, offset, table)
        self._tables[partition] = table


class LackingStore(KeptStore):
    """Lacks the newest, as Redis does after `kill -9` between commit and settle: asks for marks and for little else."""

    def assign(self, partition: Partition, offset: int, table: StoredIdentities) -> None:
        known = partition in self._owned
        super().assign(partition, offset, table)
        if known:
            now_us = self._clock.now_us()
            table.marks(partition, now_us)
            assert not list(table.load(partition, now_us))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith("hole")]


def store_of(kind: type[MemoryStore], world: WriterWorld) -> MemoryStore:
    return kind(MemorySettings(), world.clock)


@pytest.mark.parametrize("kind", [MemoryStore, KeptStore, LackingStore])
def test_ids_missed_while_no_writer_ran_are_holes_whatever_the_store(
    kind: type[MemoryStore], caplog: pytest.LogCaptureFixture
) -> None:
    world = WriterWorld()
    store = store_of(kind, world)
    world.trades("BTCUSDT", 1, 2, 5)
    world.finish(world.writer(dedup=store))
    world.clock.us += 5_000_000
    second = world.writer(dedup=store)
    with caplog.at_level(logging.WARNING, "k2.write.test"):
        second.start()
        assert [(h.first, h.last) for h in second.holes()] == [(3, 4)]
        caplog.clear()
        world.trades("BTCUSDT", 9)
        world.finish(second)
    assert lines(caplog) == ["hole data_type=trades exchange=binance symbol=BTCUSDT first=6 last=8 ids=3"]
    assert world.metrics.value("k2_writer_missing_ids", exchange="binance") == 5
    world.check()


def test_of_what_was_stored_long_ago_the_newest_id_is_known() -> None:
    world = WriterWorld(settings=WriterSettings(holes_minutes=30))
    store = store_of(KeptStore, world)
    world.trades("BTCUSDT", 1, 2, 5)
    world.finish(world.writer(dedup=store))
    world.clock.us += HOUR_US
    second = world.writer(dedup=store)
    world.trades("BTCUSDT", 7)
    world.finish(second)
    assert [(h.first, h.last) for h in second.holes()] == [(6, 6)]


@pytest.mark.parametrize(("ids", "asked"), [("contiguous", True), ("increasing", False)])
def test_the_table_is_read_for_holes_only_where_ids_can_show_them(ids: str, asked: bool) -> None:
    calls: list[str] = []
    world = WriterWorld(ChannelFacts(ids=ids))  # type: ignore[arg-type]
    store = store_of(KeptStore, world)
    world.trades("BTCUSDT", 1, 2)
    world.finish(world.writer(dedup=store))
    second = world.writer(calls.append, dedup=store)
    second.start()
    assert ("marks" in calls) is asked
