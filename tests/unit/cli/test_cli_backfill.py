"""A backfill adds to no load: it waits while a writer of the table sheds, and where the writers are behind."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from k2core.broker.specs import topic_spec
from k2core.cli.backfill import Pace
from k2core.degradation.board import LevelBoard
from k2core.degradation.controller import Controller
from k2core.degradation.events import LEVELS_TOPIC, Announcer
from k2core.degradation.settings import DegradationSettings
from k2core.errors import K2Error
from k2core.records.builtin import LEVELS
from k2core.testing.memory_sink import MemorySinkTable
from tests.unit.writer.writer_world import TOPIC, WriterWorld


def made(world: WriterWorld, soft_lag: int) -> Pace:
    settings = DegradationSettings(soft_lag=soft_lag)
    assembly: Any = SimpleNamespace(config=SimpleNamespace(degradation=settings))
    table, board = MemorySinkTable(world.table), LevelBoard(world.log, world.clock, 30)
    return Pace(assembly, world.log, table, [TOPIC], "market.trades", board, 0)


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
    with pytest.raises(K2Error, match="stored nothing"):
        pace()
    world.finish(world.writer())
    pace()
