"""A tail that is behind the table: it may pass what was shed where ranges are exact, and starts anew where they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from k2core.admission import Admission
from k2core.config.settings import QuerySettings
from k2core.interfaces.shed import ANY, Shed
from k2core.query.follower import Follower, Parts
from k2core.records.builtin import TRADES
from k2core.testing.memory_table import MemoryTable
from tests.unit.writer.writer_world import TOPIC, WriterWorld

EXACT = Shed(TOPIC, 0, 2, 5, (("BTCUSDT", 3),), "GRACEFUL", "r", 1, 1)


def followed(world: WriterWorld) -> tuple[Follower, MemoryTable]:
    """Ten records of which the tail has read none, and the table seen at their end."""
    world.trades("BTCUSDT", *range(10))
    table = MemoryTable(TRADES)
    follower = Follower(
        Parts(
            data_type=TRADES, admission=Admission(TRADES, {"binance": world.facts}, partitions=1), broker=world.log,
            source=table, topics=(TOPIC,), settings=QuerySettings(), clock=world.clock,
        )
    )  # fmt: skip
    table._land((), {(TOPIC, 0): 10}, shed=(EXACT,))
    assert follower.see()
    return follower, table


@pytest.mark.parametrize(("rule", "symbols"), [("", (("BTCUSDT", 3),)), ("r", ((ANY, 3),))])
def test_ranges_that_were_joined_after_they_were_seen(rule: str, symbols: tuple[tuple[str, int], ...]) -> None:
    """Its own offsets count: beyond those, it could not tell what is stored from what was shed."""
    world = WriterWorld(partitions=1)
    follower, table = followed(world)
    table._land((), {(TOPIC, 0): 10}, shed=(replace(EXACT, next_offset=8, rule=rule, symbols=symbols),))
    assert not follower.see()


def test_what_it_has_read_already_is_no_matter() -> None:
    world = WriterWorld(partitions=1)
    follower, table = followed(world)
    taken = follower.poll(0)
    assert taken is not None
    assert follower.view.ends == {(TOPIC, 0): 10}
    assert follower.view.rows == 7
    table._land((), {(TOPIC, 0): 10}, shed=(replace(EXACT, next_offset=8, rule=""),))
    assert follower.see()
