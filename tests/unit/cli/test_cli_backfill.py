"""A backfill adds to no load: it waits while a writer of the table sheds, and where the writers are behind."""

from __future__ import annotations

import logging
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from k2core.broker.specs import topic_spec
from k2core.cli import backfill_pace
from k2core.cli.backfill import stoppable
from k2core.cli.backfill_pace import Pace, Progress, wait
from k2core.config.settings import WriterSettings
from k2core.degradation.board import LevelBoard
from k2core.degradation.controller import Controller
from k2core.degradation.events import LEVELS_TOPIC, Announcer
from k2core.degradation.settings import DegradationSettings
from k2core.errors import K2Error
from k2core.records.builtin import LEVELS
from k2core.testing.memory_sink import MemorySinkTable
from tests.unit.writer.writer_world import TOPIC, WriterWorld


def made(world: WriterWorld, soft_lag: int, commit_rows: int = 1, said: list[str] | None = None) -> Pace:
    config = SimpleNamespace(
        degradation=DegradationSettings(soft_lag=soft_lag), writer=WriterSettings(commit_rows=commit_rows)
    )
    assembly: Any = SimpleNamespace(config=config)
    table, board = MemorySinkTable(world.table), LevelBoard(world.log, world.clock, 30)
    say = [].append if said is None else said.append
    return Pace(assembly, world.log, table, [TOPIC], "market.trades", board, 0, say)


@pytest.mark.parametrize("table", ["market.trades", "market.quotes"])
def test_it_waits_while_the_tables_writer_sheds(table: str) -> None:
    world = WriterWorld()
    world.log.ensure_topics([topic_spec(LEVELS_TOPIC, LEVELS)])
    pace = made(world, soft_lag=1000)
    pace()
    announcer = Announcer(world.log.producer(), world.clock, "test", logging.getLogger("k2.write"))
    controller = Controller(DegradationSettings())
    announcer.tell(table, controller, controller.observe(0, 0, 0.85))
    if table != "market.trades":
        pace()
        return
    with pytest.raises(K2Error, match="and not shedding"):
        pace()
    world.clock.us += 3_600_000_000
    pace()  # what nobody says any more holds no longer


def test_it_waits_while_writers_are_behind() -> None:
    world = WriterWorld()
    pace = made(world, soft_lag=4)
    world.trades("BTCUSDT", 1, 2, 3)
    with pytest.raises(K2Error, match="the writers are 3 records behind"):
        pace()
    world.finish(world.writer())
    pace()


def test_more_is_appended_while_commits_leave_nothing_and_less_when_they_do() -> None:
    """Bound to what a writer stores in one interval, a large backfill would take hours."""
    world = WriterWorld()
    writer, pace = world.writer(), made(world, soft_lag=4, commit_rows=12)
    limits = []
    for ids in (range(1, 3), range(3, 7), range(7, 15), range(15, 27)):
        pace()
        world.trades("BTCUSDT", *ids)
        world.finish(writer)
        limits.append(pace.limit)
    pace()
    assert [*limits, pace.limit] == [2, 4, 8, 12, 12]
    world.trades("BTCUSDT", *range(27, 30))
    world.finish(writer)
    world.trades("BTCUSDT", *range(30, 33))
    pace()
    assert pace.limit == 6
    controller = Controller(DegradationSettings())
    world.log.ensure_topics([topic_spec(LEVELS_TOPIC, LEVELS)])
    announcer = Announcer(world.log.producer(), world.clock, "test", logging.getLogger("k2.write"))
    announcer.tell("market.trades", controller, controller.observe(0, 0, 0.72))  # SOFT: sheds nothing, wants less
    world.finish(writer)
    pace()
    assert pace.limit == pace.most == 2


def test_how_far_it_is_is_told_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    progress = Progress("market.trades", said.append)
    progress.stopped(0)
    progress.begin(3000)
    progress(1000)
    assert said == []
    monkeypatch.setattr(backfill_pace, "TELL_S", 0.0)
    progress(1000)
    progress.stopped(1500)
    so_far = "market.trades: 2,000 of 3,000 shed records are in the log again"
    assert said == [so_far, f"{so_far}, and 1,500 are noted as back; the same command brings back the rest"]


def test_a_backfill_that_is_ended_says_how_far_it_came() -> None:
    said: list[str] = []
    progress, before = Progress("market.trades", said.append), signal.getsignal(signal.SIGTERM)
    job: Any = SimpleNamespace(progress=progress, done=[SimpleNamespace(records=700)])
    progress.begin(3000)
    progress(1000)
    with pytest.raises(KeyboardInterrupt), stoppable([job]):
        signal.raise_signal(signal.SIGTERM)
    assert [line.rpartition(" again, ")[2] for line in said] == [
        "and 700 are noted as back; the same command brings back the rest"
    ]
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_waited_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_pace, "TELL_S", 0.0)
    looks, said = iter([False, True]), []
    wait(lambda: next(looks), lambda: 0, 60, "market.trades", said.append, lambda: "a writer sheds")
    assert said == ["market.trades: waiting: a writer sheds"]
