"""What retention removed before a table had it: refused by default, passed by consent, recorded exactly and for ever."""

from __future__ import annotations

import logging

import pytest

from k2core.config.settings import WriterSettings
from k2core.errors import CommitUnknownError, FencedError, OffsetGoneError
from k2core.interfaces.broker import Partition
from k2core.interfaces.sink import Gone
from tests.unit.writer.writer_world import TOPIC, WriterWorld

BEGIN = WriterSettings(begin="log-start")


def trimmed(world: WriterWorld, below: int) -> Partition:
    """Trades 1 to 6 in the log, of which retention took those below an offset."""
    for at in range(1, 7):
        world.clock.us += 1000
        world.trades("BTCUSDT", at)
    return trim(world, below)


def trim(world: WriterWorld, below: int) -> Partition:
    place = next(p for p in world.log.blocks if p[0] == TOPIC)
    world.log.first[place] = below
    world.log.blocks[place] = [block for block in world.log.blocks[place] if block.next_offset > below]
    return place


def test_a_new_table_is_refused_and_told_the_way_on() -> None:
    world = WriterWorld()
    place = trimmed(world, 4)
    with pytest.raises(OffsetGoneError, match="k2 write --once --begin-at-log-start") as refused:
        world.writer().start()
    assert f"4 records ({place[0]}/{place[1]} offsets 0 to 3)" in str(refused.value)
    assert (world.table.takings, world.table.main.offsets) == (0, {}), "nobody is fenced, nothing moves"


def test_a_new_table_that_begins_at_the_logs_start_says_what_it_lacks(caplog: pytest.LogCaptureFixture) -> None:
    world = WriterWorld(settings=BEGIN)
    place = trimmed(world, 4)
    writer = world.writer()
    with caplog.at_level(logging.WARNING, "k2.write.test"):
        world.finish(writer)
    gone = (Gone(*place, 0, 4, world.log.blocks[place][0].timestamp_us),)
    assert (writer.gone, world.table.main.gone) == (gone, gone)
    assert "gone from the log, passed" in caplog.text
    assert "first_offset=0 next_offset=4 records=4" in caplog.text
    assert world.metrics.value("k2_writer_gone_records") == 4
    assert [row["trade_id"] for row in world.table.rows] == ["5", "6"]
    assert world.table.main.offsets[place] == 6
    again = world.writer()
    world.finish(again)
    assert again.gone == gone, "a later start knows it from the table, and passes nothing twice"


@pytest.mark.parametrize("settings", [WriterSettings(), BEGIN])
def test_a_table_that_has_records_is_refused_whatever_the_setting(settings: WriterSettings) -> None:
    world = WriterWorld(settings=settings)
    world.trades("BTCUSDT", 100)
    world.finish(world.writer())
    trimmed(world, 4)
    with pytest.raises(OffsetGoneError, match="k2 write --once --skip-gone") as refused:
        world.writer().start()
    assert "offsets 1 to 3" in str(refused.value)
    assert world.table.main.gone == ()


def test_a_loss_that_is_accepted_is_recorded_and_accepted_once() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 100)
    world.finish(world.writer())
    before = world.table.main
    trimmed(world, 4)
    writer = world.writer(skip_gone=True)
    world.finish(writer)
    assert [(g.first_offset, g.next_offset) for g in world.table.main.gone] == [(1, 4)]
    world.table.main = before  # rolled back while it runs: the consent was for the start
    world.trades("BTCUSDT", 50)
    with pytest.raises(OffsetGoneError):
        world.finish(writer)
    assert world.table.main is before


def test_who_took_over_meanwhile_is_not_overruled() -> None:
    world = WriterWorld(settings=BEGIN)
    trimmed(world, 4)

    def fault(name: str) -> None:
        if name == "swap" and world.table.takings == 1:
            world.writer().start()

    with pytest.raises(FencedError):
        world.writer(fault).start()
    assert len(world.table.main.gone) == 1, "it is the second writer's"


def test_a_commit_whose_reply_was_lost_passes_it_once() -> None:
    world = WriterWorld(settings=BEGIN)
    trimmed(world, 4)
    lost = [True]

    def fault(name: str) -> None:
        if name == "reply" and lost:
            lost.pop()
            raise CommitUnknownError("the reply was lost")

    writer = world.writer(fault)
    with pytest.raises(CommitUnknownError):
        writer.start()
    world.finish(writer)
    assert [(g.first_offset, g.next_offset) for g in world.table.main.gone] == [(0, 4)]
    assert len(world.table.rows) == 2
