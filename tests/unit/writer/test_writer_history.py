"""A log that is not the one that fed the table: found on every partition, whatever the dedup window holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from k2core.broker.history import check_history, stamp_of
from k2core.errors import TopicChangedError
from k2core.testing.memory_sink import MemorySinkTable
from tests.unit.writer.writer_world import TOPIC, WriterWorld, trade

HOUR_US = 3_600_000_000


def written(*ids: int) -> WriterWorld:
    """A world whose table holds these trades, appended long before the window of any later writer."""
    world = WriterWorld(window_s=1)
    for number in ids:
        world.trades("BTCUSDT", number)
        world.clock.us += 1000
    world.finish(world.writer())
    world.clock.us += 24 * HOUR_US
    return world


def other_history(world: WriterWorld) -> None:
    """The same offsets, other records."""
    for place, blocks in world.log.blocks.items():
        world.log.blocks[place] = [replace(b, timestamp_us=b.timestamp_us + 7) for b in blocks]


def test_a_quiet_partition_is_compared_too() -> None:
    world = written(1, 2, 3)
    other_history(world)
    world.trades("BTCUSDT", 4)
    with pytest.raises(TopicChangedError, match="holds another record at offset 2 than the one that fed table market"):
        world.writer().start()
    assert world.table.takings == 1, "nobody is fenced by a writer that cannot go on"


def test_a_commit_without_rows_leaves_a_stamp_too() -> None:
    world = written(1, 2)
    world.trades("BTCUSDT", 1)  # a copy: offsets move, no row is added
    world.append(trade("BTCUSDT", "9", 1, price=-1.0))  # a dead letter
    world.finish(world.writer())
    (stamp,) = world.table.main.stamps.values()
    place = next(iter(world.table.main.stamps))
    assert stamp == stamp_of(world.log.blocks[place][-1])
    other_history(world)
    with pytest.raises(TopicChangedError, match="at offset 3"):
        world.writer().start()


def test_the_same_append_time_is_not_enough() -> None:
    world = written(1, 2, 3)
    (place,) = world.table.main.stamps
    blocks = world.log.blocks[place]
    blocks[-1] = replace(blocks[-1], data=blocks[0].data)
    with pytest.raises(TopicChangedError, match="another record"):
        check_history(world.log, MemorySinkTable(world.table).head(), "trades")


def test_what_retention_removed_cannot_be_compared_and_is_let_pass() -> None:
    world = written(1, 2, 3)
    (place,) = world.table.main.stamps
    world.log.first[place] = 3
    other_history(world)
    world.trades("BTCUSDT", 4)
    world.finish(world.writer())
    assert len(world.table.rows) == 4


def test_a_stamp_of_a_record_within_a_block() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2, 3)
    world.finish(world.writer())
    (place,) = world.table.main.stamps
    (block,) = world.log.blocks[place]
    world.log.blocks[place] = [replace(block, sizes=block.sizes[:2], data=block.data[: int(block.sizes[:2].sum())])]
    with pytest.raises(TopicChangedError, match="ends at offset 2"):
        world.writer().start()
    world.log.blocks[place] = [block]
    world.trades("BTCUSDT", 4)
    world.finish(world.writer())
    assert world.table.main.offsets == {place: 4}


def test_a_table_that_tells_of_a_topic_which_the_log_does_not_have() -> None:
    world = written(1)
    world.table.topic_ids["market.crypto.trades.kraken"] = "another"
    with pytest.raises(TopicChangedError, match="this log has none of that name"):
        world.writer().start()
    assert TOPIC in world.log.topics()
