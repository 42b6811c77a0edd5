"""What `k2 write` tells of a commit: one line, with what an operator asks for first."""

from __future__ import annotations

import logging

import pytest

from tests.unit.writer.sharing_world import PARTS, SharedWorld
from tests.unit.writer.writer_world import TOPIC, WriterWorld


def test_each_commit_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2, 2, 3)
    writer = world.writer()
    writer.start()
    writer.step(0)
    world.clock.us += 7_000_000
    with caplog.at_level(logging.INFO, "k2.write.test"):
        assert writer.commit()
        assert not writer.commit()
    assert [one for one in caplog.messages if one.startswith("committed ")] == [
        f"committed data_type=trades rows=3 snapshot={writer.parts.table.head().snapshot_id} seconds=0.000 oldest_s=7.000"
    ]


def test_partitions_taken_and_given_up_are_told_and_nothing_is_not(caplog: pytest.LogCaptureFixture) -> None:
    world = SharedWorld()
    writers = [world.writer() for _ in range(PARTS + 1)]
    with caplog.at_level(logging.INFO, "k2.write.test"):
        world.settle(*writers)
        for writer in writers:
            writer.close()
    told = [one for one in caplog.records if " partitions " in one.getMessage()]
    assert {str(one.msg).split(" data_type=")[0] for one in told} == {"took partitions", "gave up partitions"}
    assert all(f" {TOPIC}=" in one.getMessage() for one in told), "one that had none gave none up"
