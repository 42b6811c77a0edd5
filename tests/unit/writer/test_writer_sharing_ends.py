"""How writers that share partitions come to an end: caught up, told to stop, given up; and what a takeover costs."""

from __future__ import annotations

import threading
from typing import Any

from k2core.config.settings import WriterSettings
from k2core.errors import SinkError
from k2core.writer import run_writer
from k2core.writer.lane import Lane
from tests.unit.writer.sharing_world import PARTS, SharedWorld, owned, write
from tests.unit.writer.writer_world import DEAD_TOPIC, SetClock


def test_once_waits_for_what_others_have_and_for_the_dead() -> None:
    """It ends when the table has everything, whoever committed it."""
    world = SharedWorld()
    clock = world.clock
    dead, other = world.writer(), world.writer()
    world.settle(dead, other)
    world.flow()
    lane = Lane(world.writer())
    lane.aim()
    for _ in range(20):
        clock.us += 50_000
        lane.advance()
        other.step(0)
    assert not lane.finished()
    other.commit()
    for _ in range(200):
        clock.us += 50_000
        lane.advance()
        other.step(0)
        other.commit()
        if lane.finished():
            break
    assert lane.finished()
    assert world.complete()
    world.check()


def test_a_stop_commits_what_was_read_and_leaves_at_once() -> None:
    """Others have its partitions with their next question; what it had not read is theirs."""
    world = SharedWorld()
    first, second = world.writer(), world.writer(settings=WriterSettings(commit_interval_s=1000, first_commit_s=1000))
    world.settle(first, second)
    world.flow()
    second.step(0)
    stop = threading.Event()
    stop.set()
    result = run_writer([second], stop, clock=Running(world.clock))
    assert (result.exit_code, result.remaining, second.waiting) == (0, {}, 0)
    assert world.table.commits == 1
    world.settle(first, turns=2)
    assert owned(first) == set(range(PARTS))
    write(first)
    assert world.complete()
    world.check()


class Running(SetClock):
    """Moves a little whenever it is asked."""

    def __init__(self, clock: SetClock) -> None:
        self.inner = clock

    def now_ns(self) -> int:
        return self.inner.now_ns()

    def monotonic(self) -> float:
        self.inner.us += 1000
        return self.inner.monotonic()


def test_a_lane_that_dies_leaves_and_one_that_pauses_stays() -> None:
    world = SharedWorld()
    away = {"take-over"}

    def fault(name: str) -> None:
        if name in away:
            raise SinkError("away")

    pausing, other = Lane(world.writer(fault)), world.writer()
    for _ in range(200):
        world.clock.us += 100_000
        pausing.advance()
        world.settle(other, turns=1)
    assert pausing.alive
    assert len(owned(other)) == PARTS // 2
    pausing.give_up(SinkError("enough"))
    world.settle(other)
    assert owned(other) == set(range(PARTS))


def test_taking_over_asks_nothing_about_what_is_held() -> None:
    """The store is told of the new partitions alone, and the consumer seeks them alone."""
    world = SharedWorld()
    first, second = world.writer(), world.writer()
    world.settle(first, second)
    assigned: list[Any] = []
    sought: list[Any] = []
    assign, seek = first.parts.dedup.assign, first.parts.consumer.seek
    first.parts.dedup.assign = lambda p, o, t: (assigned.append(p), assign(p, o, t))[1]  # type: ignore[method-assign]
    first.parts.consumer.seek = lambda o: (sought.extend(o), seek(o))[1]  # type: ignore[method-assign]
    held = owned(first)
    world.flow()
    first.step(0)
    second.leave()
    world.settle(first)
    assert {n for _, n in assigned} == {n for _, n in sought} == set(range(PARTS)) - held
    assert DEAD_TOPIC not in {t for t, _ in sought}
    write(first)
    assert world.complete()
    world.check()
