"""What `k2 write` tells of a commit: one line, with what an operator asks for first."""

from __future__ import annotations

import logging

import pytest

from tests.unit.writer.writer_world import WriterWorld


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
