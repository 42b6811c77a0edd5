"""A writer that has some of the partitions degrades by those, and tells of those."""

from __future__ import annotations

import pytest

from k2core.degradation.levels import Level
from k2core.degradation.settings import DegradationSettings
from k2core.interfaces.shed import Shed
from k2core.records.topics import partition_of
from k2core.writer.shedding import Degradation, Shedding
from k2core.writer.waiting import Waiting
from tests.unit.writer.writer_world import TOPIC, WriterWorld

SETTINGS = {
    "soft_lag": 2, "graceful_lag": 4, "aggressive_lag": 8, "break_lag": 16, "trend_s": 0.05, "look_s": 0.001,
}  # fmt: skip


def shed(partition: int) -> Shed:
    return Shed(TOPIC, partition, 0, 5, (("A", 5),), "GRACEFUL", "r", 1, 1)


def test_what_was_shed_of_a_partition_that_went_is_not_told() -> None:
    """Whoever has it now reads it again, and may store it."""
    waiting = Waiting()
    waiting.pass_by([shed(0)])
    waiting.pass_by([shed(1)])
    waiting.forget([(TOPIC, 0)])
    assert waiting.facts().shed == (shed(1),)


@pytest.mark.parametrize(("owned", "level"), [(0, Level.NORMAL), (1, Level.GRACEFUL)])
def test_the_lag_of_others_partitions_is_not_ours(owned: int, level: Level) -> None:
    world = WriterWorld()
    behind = next(f"S{n}" for n in range(99) if partition_of(f"S{n}", 2) == 1)
    world.trades(behind, *range(6))
    by = Degradation(settings=DegradationSettings.model_validate(SETTINGS))
    looking = Shedding(by, world.log, [TOPIC])
    for at in range(20):
        looking.look(at * 0.01, {(TOPIC, owned): 0})
    assert looking.level is level
