"""The pipeline step by step: start, when commits are due, what each error leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from k2core.admission.holes import Hole
from k2core.config.settings import WriterSettings
from k2core.errors import (
    CommitConflictError,
    CommitUnknownError,
    DedupError,
    FencedError,
    LogFullError,
    OffsetGoneError,
    SinkError,
    TopicChangedError,
)
from k2core.interfaces.frames import ChannelFacts
from tests.unit.writer.protocol import FaultyStore
from tests.unit.writer.writer_world import TOPIC, WriterWorld, trade


class Failing:
    """Raises `errors[name]` at the call of that name, once each."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors

    def __call__(self, name: str) -> None:
        if error := self.errors.pop(name.replace("-", "_"), None):
            raise error


def test_rows_and_offsets_land_together() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2, 2, 3)
    world.trades("SOLUSDT", 1)
    writer = world.writer()
    writer.start()
    assert writer.step(0)
    assert not world.table.rows
    assert writer.commit()
    world.check()
    assert dict(world.table.main.offsets) == world.log.ends([TOPIC])
    assert world.metrics.value("k2_writer_records_total", outcome="duplicate") == 1
    assert world.metrics.value("k2_writer_records_total", outcome="stored") == 4
    assert not writer.step(0)
    assert not writer.commit()


def test_a_commit_of_nothing_but_copies_carries_the_offsets() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1)
    world.finish(world.writer())
    world.trades("BTCUSDT", 1, 1)
    world.append(trade("BTCUSDT", "2", 5, price=-1.0))
    world.finish(world.writer())
    world.check()
    assert dict(world.table.main.offsets) == world.log.ends([TOPIC])
    assert len(world.buried()) == 1


def test_the_log_is_released_up_to_what_is_stored() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2)
    writer = world.writer(name="write-lake-trades")
    world.finish(writer)
    world.trades("BTCUSDT", 3)
    writer.step(0)
    assert {p: o for p, o in world.log.released["write-lake-trades"].items() if o} == dict(world.table.main.offsets)


def test_a_topic_made_anew_stops_the_writer_before_it_fences_anyone() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1)
    first = world.writer()
    world.finish(first)
    tokens = dict(world.table.tokens)
    world.log.recreate(TOPIC, "another")
    with pytest.raises(TopicChangedError, match="is another one than the one that fed"):
        world.writer().start()
    assert world.table.tokens == tokens


def test_a_missing_topic_is_named() -> None:
    world = WriterWorld()
    with pytest.raises(TopicChangedError, match=r"market\.crypto\.trades\.kraken"):
        world.writer(topics=["market.crypto.trades.kraken"]).start()


def test_records_that_retention_took_are_an_error_not_a_reset() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2)
    place = next(iter(world.log.blocks))
    world.log.first[place] = 1
    with pytest.raises(OffsetGoneError, match=r"/1 offsets 0 to 0\) are gone from the log"):
        world.writer().start()


@pytest.mark.parametrize("error", [CommitUnknownError("no reply"), SinkError("odd")])
def test_an_unknown_outcome_that_landed(error: Exception) -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2)
    writer = world.writer(Failing(reply=error))
    writer.start()
    writer.step(0)
    assert writer.commit()
    world.check()
    assert world.table.commits == 1


def test_an_unknown_outcome_that_did_not_land_and_a_head_that_is_away() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2)
    failing = Failing(swap=CommitUnknownError("no reply"))
    writer = world.writer(failing)
    writer.start()
    writer.step(0)
    failing.errors["head"] = SinkError("catalog away")
    with pytest.raises(SinkError, match="catalog away"):
        writer.commit()
    assert not writer.commit()
    assert writer.parts.table.discarded == 0, "the swap may still land: its files must stay"
    world.finish(writer)
    world.check()
    assert len(world.table.rows) == 2


def test_a_sink_that_fails_to_write_loses_nothing() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2)
    writer = world.writer(Failing(stage=SinkError("disk full")))
    writer.start()
    writer.step(0)
    with pytest.raises(SinkError, match="disk full"):
        writer.commit()
    assert writer.commit()
    world.check()


def test_what_cannot_be_stored_does_not_grow() -> None:
    world = WriterWorld(settings=WriterSettings(commit_rows=4))
    for k in range(10):
        world.trades("BTCUSDT", k)
    writer = world.writer()
    writer.start()
    for _ in range(10):
        writer.step(0)
    assert writer.waiting == 4


def test_fenced_nothing_lands_and_nothing_is_owned() -> None:
    world = WriterWorld()
    old, new = world.writer(), world.writer()
    old.start()
    world.trades("BTCUSDT", 1, 2)
    old.step(0)
    new.start()
    with pytest.raises(FencedError):
        old.commit()
    assert not world.table.rows
    with pytest.raises(FencedError):
        old.step(0)
    world.finish(new)
    world.check()
    assert old.parts.table.discarded == 1
    assert world.metrics.value("k2_writer_partitions_lost_total", data_type="trades") > 0


def test_another_writer_of_the_same_owner_is_a_conflict_and_a_restart() -> None:
    world = WriterWorld()
    writer = world.writer()
    writer.start()
    world.trades("BTCUSDT", 1, 2)
    writer.step(0)
    place = next(iter(world.log.blocks))
    world.table.main = replace(world.table.main, extra=(), offsets={place: 1})
    assert not writer.commit()
    assert world.metrics.value("k2_writer_commits_total", outcome="conflict") == 1
    assert writer.step(0)
    assert writer.waiting == 1


def test_conflicts_without_end_are_an_error() -> None:
    world = WriterWorld()
    writer = world.writer(conflict)
    writer.start()
    world.trades("BTCUSDT", 1)
    for _ in range(9):
        writer.step(0)
        assert not writer.commit()
    writer.step(0)
    with pytest.raises(CommitConflictError):
        writer.commit()


def conflict(name: str) -> None:
    if name == "swap":
        raise CommitConflictError("moved")


def test_a_settle_that_fails_is_made_up_for() -> None:
    world = WriterWorld(store_class=FaultyStore)
    writer = world.writer(Failing(settle=DedupError("store away")))
    world.trades("BTCUSDT", 1, 2)
    world.finish(writer)
    world.trades("BTCUSDT", 2, 3)
    world.finish(writer)
    world.check()
    assert world.metrics.value("k2_writer_dedup_errors_total") == 1
    assert not len(writer._settling)


@pytest.mark.parametrize("fault", [Failing(claim=DedupError("away")), Failing(produce=LogFullError("full"))])
def test_a_step_that_fails_half_way_is_taken_again(fault: Callable[[str], None]) -> None:
    world = WriterWorld(store_class=FaultyStore)
    world.log.fault = fault
    writer = world.writer(fault)
    world.trades("BTCUSDT", 1, 2)
    world.append(trade("SOLUSDT", "1", 5, price=-1.0), trade("SOLUSDT", "2", world.clock.us // 1000))
    writer.start()
    with pytest.raises((DedupError, LogFullError)):
        writer.step(0)
    world.finish(writer)
    world.check()
    assert len(world.table.rows) == 3


def test_holes_are_named_once_and_known_after_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2, 5)
    hole = Hole("binance", "BTCUSDT", 3, 4)
    with caplog.at_level(logging.WARNING, "k2.write.test"):
        first = world.writer()
        world.finish(first)
        world.trades("BTCUSDT", 6)
        world.finish(first)
    assert [r for r in caplog.messages if r.startswith("hole ")] == [
        "hole data_type=trades exchange=binance symbol=BTCUSDT first=3 last=4 ids=2"
    ]
    assert first.holes() == [hole]
    second = world.writer()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "k2.write.test"):
        second.start()
        assert second.holes() == [hole]
        world.trades("BTCUSDT", 3, 9)
        world.finish(second)
    assert [r for r in caplog.messages if r.startswith("hole")] == [
        "holes known from before data_type=trades holes=1 ids=2: /v1/stats lists them",
        "hole data_type=trades exchange=binance symbol=BTCUSDT first=7 last=8 ids=2",
    ]
    assert [(h.first, h.last) for h in second.holes()] == [(4, 4), (7, 8)]
    assert world.metrics.value("k2_writer_missing_ids", exchange="binance") == 3
    assert world.metrics.value("k2_writer_holes", data_type="trades") == 2


def test_hours_of_log_are_caught_up_with_without_asking_the_table() -> None:
    asked: list[str] = []
    world = WriterWorld(ChannelFacts(ids="increasing"), window_s=60)
    for k in range(1, 8):
        world.clock.us += 3_600_000_000
        world.trades("BTCUSDT", k * 10, k * 10 + 1, k * 10)
    world.clock.us += 3_600_000_000
    writer = world.writer(asked.append)
    world.finish(writer)
    world.check()
    assert "look-up" not in asked


def test_lag_counts_across_a_log_epoch() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2, 3)
    writer = world.writer()
    writer.start()
    assert sum(writer.lag().values()) == 3
    writer.step(0)
    writer.commit()
    assert writer.lag() == {}
    place = next(iter(world.log.blocks))
    world.log.ends = lambda topics: {place: (1 << 40) + 7}  # type: ignore[method-assign]
    assert writer.lag() == {place: 7}
