"""Several writers that share one table's partitions: who joins, leaves, dies or freezes costs no row and stops nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from k2core.config.settings import WriterSettings
from k2core.errors import CommitUnknownError, SinkError
from k2core.records.topics import partition_of
from k2core.writer.pipeline import WriterPipeline
from tests.unit.writer.sharing_world import PARTS, SESSION_S, SYMBOLS, SharedWorld, owned, write
from tests.unit.writer.writer_world import TOPIC


def test_an_empty_share_is_no_error() -> None:
    world = SharedWorld()
    writers = [world.writer() for _ in range(PARTS + 2)]
    world.settle(*writers)
    world.flow()
    write(*writers)
    assert sorted(len(owned(w)) for w in writers) == [0, 0, *[1] * PARTS]
    assert world.complete()
    world.check()


def test_one_that_joins_gets_half_and_the_other_is_not_disturbed() -> None:
    """What waits of leaving partitions is committed before they go; what stays was read once and not again."""
    world = SharedWorld()
    first, second = world.writer(), world.writer()
    world.settle(first)
    world.flow()
    assert first.step(0)
    waiting, polled = first.waiting, len(world.log.blocks)
    assert waiting == 3 * len(SYMBOLS)
    assert polled == PARTS
    world.settle(first, second)
    assert (len(owned(first)), len(owned(second))) == (PARTS // 2, PARTS // 2)
    assert not owned(first) & owned(second)
    assert (first.waiting, second.waiting, world.table.commits) == (0, 0, 1)
    assert [w.maintains for w in (first, second)] == [0 in owned(first), 0 in owned(second)]
    world.flow()
    write(first, second)
    assert world.complete()
    world.check()


def test_what_was_given_up_is_read_no_more() -> None:
    """It is stored by others, and may go from the log before this one comes to read again."""
    world = SharedWorld()
    first, second = world.writer(), world.writer()
    world.settle(first)
    assert len(owned(first)) == PARTS
    world.settle(first, second)
    assert owned(first) == {n for _, n in first.parts.consumer.positions()}
    world.flow()
    write(second)
    for place in [p for p in second.committed if second.committed[p]]:
        world.log.trim(place, second.committed[place])
    write(first)
    assert world.complete()
    world.check()


def test_partitions_that_go_without_a_last_commit_are_read_again_by_their_new_owner_alone() -> None:
    """The table is away at that moment: rows of what went are dropped, rows of what stays are kept as they are."""
    world = SharedWorld()
    away: set[str] = set()

    def fault(name: str) -> None:
        if name in away:
            raise SinkError("away")

    first, second = world.writer(fault), world.writer()
    world.settle(first)
    world.flow()
    first.step(0)
    away |= {"stage"}
    world.settle(first, second)
    left = sum(3 for s in SYMBOLS if partition_of(s, PARTS) in owned(first))
    assert (first.waiting, world.table.commits) == (left, 0)
    assert second.waiting == 3 * len(SYMBOLS) - left
    away.clear()
    write(first, second)
    assert world.complete()
    world.check()


def test_one_that_dies_is_replaced_after_the_session_and_only_then() -> None:
    world = SharedWorld()
    first, second = world.writer(), world.writer()
    world.settle(first, second)
    world.flow()
    dead = owned(second)
    world.settle(first, turns=5)
    assert not owned(first) & dead
    world.clock.us += int(SESSION_S * 1e6) + 1
    world.settle(first)
    assert owned(first) == set(range(PARTS))
    write(first)
    assert world.complete()
    world.check()


@pytest.mark.parametrize("act", [WriterPipeline.commit, lambda w: w.step(0), WriterPipeline.check_owned])
def test_one_that_was_frozen_and_wakes_lands_nothing_and_joins_again(act: Callable[[WriterPipeline], Any]) -> None:
    """Whatever it does first."""
    world = SharedWorld()
    first, second = world.writer(), world.writer()
    world.settle(first, second)
    world.flow()
    second.step(0)
    world.clock.us += int(SESSION_S * 1e6) + 1
    world.settle(first)
    write(first)
    assert world.complete()
    act(second)
    assert owned(second) == set() or act is not WriterPipeline.commit
    world.flow()
    world.settle(first, second)
    write(first, second)
    assert (len(owned(first)), len(owned(second))) == (PARTS // 2, PARTS // 2)
    assert world.complete()
    world.check()
    assert world.metrics.value("k2_writer_records_total", data_type="trades", outcome="stored") == len(world.table.rows)


def test_two_that_are_told_the_same_do_not_take_from_each_other_for_ever() -> None:
    """One of them is told wrongly for a while, as after a freeze; the pause between its attempts grows."""
    world = SharedWorld(settings=WriterSettings(contested_s=1))
    writers = world.writer(), world.writer()
    for writer in writers:
        writer.start()
        share: Any = writer._owning._share
        share.membership = Told(frozenset((TOPIC, n) for n in range(PARTS)))
    for turn in range(300):
        world.clock.us += 100_000
        if turn % 5 == 0:
            world.trades(SYMBOLS[turn // 5 % 40], 1000 + turn)
        for writer in writers:
            writer.step(0)
            writer.commit()
    assert world.table.takings <= 2 * 6
    writers[0]._owning._share.membership.share = frozenset()  # type: ignore[union-attr]
    world.clock.us += 60_000_000
    write(*writers)
    write(*writers)
    assert owned(writers[1]) == set(range(PARTS))
    assert world.complete()
    world.check()


class Told:
    """A membership that is told one thing."""

    shared = True

    def __init__(self, share: frozenset[tuple[str, int]]) -> None:
        self.share = share

    def partitions(self) -> frozenset[tuple[str, int]]:
        return self.share

    def note(self, offsets: Any) -> None:
        """Nobody looks."""


def test_an_unknown_outcome_while_partitions_go() -> None:
    """Landed or not: the head tells, and the new owner starts behind it."""
    for landed in (True, False):
        world = SharedWorld()
        lost: set[str] = set()

        def fault(name: str, lost: set[str] = lost) -> None:
            if name in lost:
                raise CommitUnknownError("lost") if name in ("swap", "reply") else SinkError("away")

        first, second = world.writer(fault), world.writer()
        world.settle(first)
        world.flow()
        first.step(0)
        lost |= {"reply" if landed else "swap", "head"}
        with pytest.raises(SinkError):
            first.commit()
        for _ in range(4):
            world.clock.us += 100_000
            first.attend()
            if not second.started:
                second.start()
            second.step(0)
        lost.clear()
        world.settle(first, second)
        write(first, second)
        while world.table.arrive():
            pass
        assert world.complete()
        world.check()


def test_a_holes_ledger_follows_the_partitions() -> None:
    """What went is not judged any more, and is known again after it comes back: no id is named that is stored."""
    world = SharedWorld()
    first, second = world.writer(), world.writer()
    world.settle(first)
    world.flow()
    write(first)
    world.settle(first, second)
    for symbol in SYMBOLS:
        world.numbers[symbol] += 1  # one id of each is lost
    world.flow()
    write(first, second)
    assert len(first.holes()) + len(second.holes()) == len(SYMBOLS)
    second.leave()
    world.settle(first)
    assert [(h.symbol, h.first, h.last) for h in first.holes()] == sorted((s, 3, 3) for s in SYMBOLS)
