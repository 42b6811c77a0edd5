"""What becomes of a shed range of which retention removed a part: what is lost is named, whatever else came back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from k2core.admission import Admission
from k2core.interfaces.broker import LogBlock
from k2core.interfaces.query import Selection, Snapshot
from k2core.interfaces.shed import ANY, Shed, merged_shed, restored_shed
from k2core.query.pin import Pinned
from k2core.query.shed import shed_from
from k2core.query.view import View
from k2core.records.builtin import TRADES
from k2core.records.topics import partition_of
from k2core.testing.memory_sink import MemorySinkTable
from k2core.writer.restoring import Restoring
from tests.unit.writer.writer_world import TOPIC, WriterWorld

PLACE = (TOPIC, 0)
SYMBOLS = ("BTCUSDT", "ETHUSDT")
EACH_US = 600_000_000


def a_range(world: WriterWorld, trimmed: int) -> Shed:
    """Records 0 to 7: BTC at 0 to 3, then both in turn, ten minutes apart; all shed, the first `trimmed` gone."""
    start_us = world.clock.us
    for at in range(8):
        world.trades(SYMBOLS[at > 3 and at % 2], at)
        world.clock.us += EACH_US
    world.log.trim(PLACE, trimmed)
    named = (("BTCUSDT", 6), ("ETHUSDT", 2))
    return Shed(TOPIC, 0, 0, 8, named, "GRACEFUL", "r", start_us, world.clock.us - EACH_US)


def restoring(world: WriterWorld, kind: type[Restoring] = Restoring) -> Restoring:
    return kind(
        data_type=TRADES, broker=world.log, producer=world.log.producer(), table=MemorySinkTable(world.table),
        admission=Admission(TRADES, {"binance": world.facts}, partitions=world.partitions),
    )  # fmt: skip


def named(
    world: WriterWorld, shed: tuple[Shed, ...], since_us: int, *, below: int | None = None, as_of_us: int | None = None
) -> set[tuple[int, int]]:
    """Ranges that an answer from some time on names."""
    ends = world.log.ends([TOPIC]) if below is None else {PLACE: below}
    snapshot = Snapshot(id=1, parent_id=None, offsets=world.log.ends([TOPIC]), timestamp_ms=0, shed=shed)
    wanted = Selection(below=ends, start_ms=since_us // 1000, as_of_us=as_of_us)
    pinned = Pinned(ends, View(snapshot, {}, {}, TRADES.order), snapshot)
    found = shed_from(pinned, wanted, TRADES.table_schema.empty_table(), TRADES.order)
    return {(one.first_offset, one.next_offset) for one in found}


def test_each_symbol_is_lost_or_back_in_one_step() -> None:
    world = WriterWorld(partitions=1)
    one = a_range(world, trimmed=2)
    found = restored_shed([one], restoring(world).bring_back(one))
    told = {(s.state, s.first_offset, s.next_offset, s.symbols) for s in found}
    assert told == {
        ("lost", 0, 2, (("BTCUSDT", 2),)),
        ("restored", 2, 8, (("BTCUSDT", 4),)),
        ("restored", 0, 8, (("ETHUSDT", 2),)),
    }


@pytest.mark.parametrize("trimmed", [3, 7])
def test_an_answer_from_within_what_is_lost_says_so(trimmed: int) -> None:
    world = WriterWorld(partitions=1)
    one = a_range(world, trimmed)
    shed = restored_shed([one], restoring(world).bring_back(one))
    assert named(world, shed, one.first_us + 2 * EACH_US) == {(0, trimmed)}
    assert named(world, shed, one.last_us + 2 * EACH_US) == set()


@pytest.mark.parametrize(
    "changes", [{"rule": ""}, {"symbols": ((ANY, 3),)}, {"rule": "", "symbols": (("BTCUSDT", 3),)}]
)
def test_a_range_that_is_not_exact_is_lost_where_a_part_is_gone(changes: dict[str, object]) -> None:
    """The records that are left may be others than those that were shed: they prove nothing."""
    world = WriterWorld(partitions=1)
    one = replace(a_range(world, trimmed=4), **changes)  # type: ignore[arg-type]
    (found,) = restored_shed([one], restoring(world).bring_back(one))
    assert (found.state, found.first_offset, found.next_offset) == ("lost", 0, 8)


def test_what_grew_behind_a_lost_part_is_as_old_as_it_may_be() -> None:
    world = WriterWorld(partitions=1)
    one = a_range(world, trimmed=3)
    lost = [part for part in restoring(world).bring_back(one) if part.state == "lost"]
    behind = [part for part in restored_shed([one], lost) if part.state == "shed" and part.first_offset == 3]
    assert [part.first_us for part in behind] == [one.first_us]


def test_what_is_shed_again_on_its_way_and_then_lost_is_missing_ever_after() -> None:
    """The first range says that it is back; what became of the copies is said by a range of their own, at any pin."""
    world = WriterWorld(partitions=1)
    one = a_range(world, trimmed=0)
    work = restoring(world)
    shed = restored_shed([one], work.bring_back(one))
    (again,) = [part for part in shed if part.state == "restored"]
    assert again.back_offset == 16
    at_us = world.clock.us
    shed = merged_shed(shed, [replace(one, first_offset=8, next_offset=16, first_us=at_us, last_us=at_us)])
    world.clock.us += EACH_US
    world.trades(SYMBOLS[0], 99)
    world.log.trim(PLACE, 16)
    shed = restored_shed(shed, work.bring_back(next(part for part in shed if part.state == "shed")))
    assert {part.state for part in shed} == {"restored", "lost"}
    assert named(world, shed, one.first_us) == {(8, 16)}
    assert named(world, shed, one.first_us, below=10) == {(0, 8), (8, 16)}
    assert named(world, shed, one.first_us, as_of_us=at_us) == {(8, 16)}
    assert named(world, shed, one.first_us, as_of_us=at_us - 1) == {(0, 8)}


def test_a_time_is_read_where_other_partitions_have_more() -> None:
    """`as_of` goes by it: it is that of the copies, never that of the range."""
    world = WriterWorld(partitions=2)
    busy = next(f"S{n}" for n in range(99) if partition_of(f"S{n}", 2) == 1)
    quiet = next(f"S{n}" for n in range(99) if partition_of(f"S{n}", 2) == 0)
    for at in range(3):
        world.trades(quiet, at)
    one = Shed(TOPIC, 0, 0, 3, ((quiet, 3),), "GRACEFUL", "r", world.clock.us, world.clock.us)
    world.clock.us += EACH_US

    class Busy(Restoring):
        def _blocks(self, *where: Any) -> Iterator[list[LogBlock]]:
            for blocks in super()._blocks(*where):
                yield []  # a poll that brought records of other partitions alone
                yield blocks

    work = restoring(world, Busy)
    world.trades(busy, 1)
    (back,) = work.bring_back(one)
    assert (back.back_offset, back.back_us) == (6, world.clock.us)
