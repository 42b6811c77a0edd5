"""Writers that meet at a table commit together: one of them for all, each entry for itself, nothing twice."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from k2_plugin_iceberg.queue import COMMITS, COMMITTERS, Seen
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import event, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from k2core.plugin import (
    Clock,
    CommitConflictError,
    CommitUnknownError,
    Context,
    DataType,
    FencedError,
    Metrics,
    Sink,
    SinkError,
)
from k2core.testing.conformance.sink_world import PARTS, Hand, SinkFacts

EVERY = sorted(PARTS)
FOREVER = float("inf")


class World(SinkFacts):
    """One warehouse, opened by several writers."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self.place, self.stack = place, stack

    def open(self, place: Path, clock: Clock) -> Sink:
        context = Context(clock=clock, logger=logging.getLogger("test"), metrics=Metrics(), instance="lake")
        return IcebergSink(IcebergSettings(warehouse=place / "lake", commit_wait_s=2), context)

    def read(self, place: Path, data_type: DataType) -> pa.Table:
        catalog = SqlCatalog("k2", uri=f"sqlite:///{place}/lake/catalog.db")
        try:
            return catalog.load_table(data_type.table or "").scan().to_arrow()
        finally:
            catalog.close()

    def writers(self, count: int, *, together: bool = True) -> list[Hand]:
        """Each with a share of the partitions; `together`: they have met already."""
        made = [
            self.stack.enter_context(self.hand(self.place, f"writer {n}", frozenset(EVERY[n::count])))
            for n in range(count)
        ]
        for hand in made if together else ():
            hand.table._committer._crowded_until = FOREVER  # type: ignore[attr-defined]
        return made

    def holds(self, *hands: Hand) -> None:
        self.check_holds(self.place, {p: o for hand in hands for p, o in hand.at.items()})

    def snapshots(self, hand: Any) -> int:
        return len(hand.table._state.read().metadata.snapshots)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(tmp_path, stack)


def shared(hand: Hand) -> Any:
    return hand.table._committer._shared  # type: ignore[attr-defined]


def leave(hand: Hand, count: int = 1) -> tuple[str, Any]:
    """Leave an entry, as a writer does that then dies or waits; its id and where it leads."""
    from k2_plugin_iceberg.entry import Entry

    from k2core.plugin import LogFacts

    staged, to = hand.stage(count)
    entry = Entry(staged.files, hand.owned, dict(hand.at), dict(to), LogFacts())
    name = f"{time.monotonic_ns():x}"
    shared(hand)._queue.put(name, entry.text(), 0, ())
    return name, to


def state(hand: Hand, name: str) -> Seen:
    seen: Seen = shared(hand)._queue.look(name)
    return seen


@pytest.mark.parametrize("together", [True, False])
def test_many_commits_at_once_land_each_once(world: World, together: bool) -> None:
    """Also where the writers have to find out that they are not alone."""
    hands = world.writers(4, together=together)
    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(lambda h: [h.write(n % 3 + 1) for n in range(8)], hand) for hand in hands]:
            job.result(120)
    world.holds(*hands)
    with hands[0].table._queue._engine.connect() as link:  # type: ignore[attr-defined]
        left = link.execute(select(COMMITS.c.state)).scalars().all()
        assert set(left) <= {"landed"}
        assert len(left) <= 4, "each writer takes its last entry away with the next"


def test_entries_that_wait_land_in_one_snapshot(world: World) -> None:
    hands = world.writers(4)
    left = [leave(hand, 2) for hand in hands[1:]]
    head = hands[0].write(3)
    assert world.snapshots(hands[0]) == 1
    for hand, (name, to) in zip(hands[1:], left, strict=True):
        seen = state(hand, name)
        assert (seen.state, seen.told["snapshot"]) == ("landed", head.snapshot_id)
        hand.at = to
    world.holds(*hands)
    again = [hand.write(1) for hand in hands]
    assert dict(again[-1].offsets) == {p: o for hand in hands for p, o in hand.at.items()}
    world.holds(*hands)


def test_what_is_fenced_or_conflicting_is_refused_alone(world: World) -> None:
    first, fenced, moved = world.writers(3)
    fenced_name, _ = leave(fenced)
    moved.at = {p: o + 5 for p, o in moved.at.items()}
    moved_name, _ = leave(moved)
    with world.hand(world.place, "newer", frozenset(fenced.parts)) as newer:
        first.write(2)
        told = state(first, fenced_name)
        assert (told.state, told.told["why"]) == ("refused", "fenced")
        assert "newer" in told.told["message"]
        assert (state(first, moved_name).state, state(first, moved_name).told["why"]) == ("refused", "conflict")
        world.holds(first)
        fenced.table._committer._crowded_until = FOREVER  # type: ignore[attr-defined]
        with pytest.raises(FencedError) as caught:
            fenced.write(1)
        assert caught.value.partitions == fenced.parts
        with pytest.raises(CommitConflictError):
            moved.write(1)
        staged, to = first.stage(1)
        with pytest.raises(SinkError, match="not owned"):
            first.table.commit(staged, first.owned, dict(first.at), {**to, EVERY[1]: 7})
        newer.write(1)
        world.holds(first, newer)


def test_a_dead_committer_is_replaced_within_two_seconds(world: World) -> None:
    (hand,) = world.writers(1)
    with hand.table._queue._engine.begin() as link:  # type: ignore[attr-defined]
        link.execute(update(COMMITTERS).values(holder="dead", beat=7))
    start = time.monotonic()
    hand.write(1)
    assert 0.9 < time.monotonic() - start < 60, "two seconds where the machine has nothing else to do"
    world.holds(hand)
    times = [time.monotonic(), *((hand.write(1), time.monotonic())[1] for _ in range(5))]
    assert min(map(float.__sub__, times[1:], times)) < 0.9, "nobody is waited for any more"


def test_an_entry_that_was_taken_back_never_lands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by a committer that had read it before: it lands the others."""
    first, second = world.writers(2)
    name, _ = leave(second)
    queue, swaps = shared(second)._queue, []
    swap = type(first.table._snapshots).swap  # type: ignore[attr-defined]

    def slow(self: Any, *given: Any) -> Any:
        swaps.append(len(given[1].added))
        if len(swaps) == 1:
            assert queue.withdraw(name, 0).state == "withdrawn"
        return swap(self, *given)

    monkeypatch.setattr(type(first.table._snapshots), "swap", slow)  # type: ignore[attr-defined]
    first.write(2)
    assert len(swaps) == 2
    assert swaps[1] < swaps[0]
    world.holds(first)
    monkeypatch.undo()
    second.write(3)
    world.holds(first, second)


def test_an_entry_that_arrives_after_it_was_taken_back_is_turned_away(world: World) -> None:
    (hand,) = world.writers(1)
    queue = shared(hand)._queue
    assert queue.withdraw("late", 0).state == "withdrawn"
    with pytest.raises(IntegrityError):
        queue.put("late", "{}", 0, ())
    assert queue.withdraw("late", 0).state == "withdrawn"
    hand.write(1)
    world.holds(hand)


def test_a_commit_that_gets_no_turn_is_taken_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded: after `commit_wait_s` nothing was stored, and nothing will be."""
    first, second = world.writers(2)
    with monkeypatch.context() as patch:
        patch.setattr("k2_plugin_iceberg.shared.SILENT_S", 1000)
        with first.table._queue._engine.begin() as link:  # type: ignore[attr-defined]
            link.execute(update(COMMITTERS).values(holder="slow", beat=7))
        with pytest.raises(CommitConflictError, match="waited 2 s for its turn"):
            first.write(1)
    second.write(1)
    world.check_holds(world.place, second.at)
    first.write(1)
    world.holds(first, second)


@pytest.mark.parametrize("lands", [True, False])
def test_a_lost_reply_is_told_by_the_entry(world: World, lands: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The swap and its telling are one step: landed is told as landed, and what did not land is tried no more."""
    (hand,) = world.writers(1)
    catalog = type(hand.table._state._catalog)  # type: ignore[attr-defined]
    swap, lost = catalog.swap, []

    def deaf(self: Any, *given: Any) -> Any:
        if lost:
            return swap(self, *given)
        lost.append(lands and swap(self, *given))
        raise OperationalError("update", {}, Exception("the connection broke"))

    monkeypatch.setattr(catalog, "swap", deaf)
    if lands:
        hand.write(2)
    else:
        with pytest.raises(SinkError):
            hand.write(2)
    world.holds(hand)
    hand.write(1)
    world.holds(hand)


def test_a_catalog_that_is_away_leaves_the_outcome_unknown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the entry may land by another's hand; offsets tell, and a second copy of it is refused."""
    first, second = world.writers(2)

    def away(*_: object) -> None:
        raise OperationalError("select", {}, Exception("no route"))

    staged, to = first.stage(2)
    with monkeypatch.context() as patch:
        for name in ("look", "withdraw"):
            patch.setattr(shared(first)._queue, name, away)
        with pytest.raises(CommitUnknownError):
            first.table.commit(staged, first.owned, dict(first.at), dict(to))
    second.write(1)
    assert first.table.head().offsets == {**to, **second.at}
    with pytest.raises(CommitConflictError):
        first.table.commit(staged, first.owned, dict(first.at), dict(to))
    first.at = to
    world.holds(first, second)


def test_an_entry_of_a_dead_owner_lands_or_is_fenced_and_is_swept(world: World) -> None:
    first, dead = world.writers(2)
    _, to = leave(dead, 2)
    with world.hand(world.place, "next", frozenset(dead.parts)) as following:
        first.write(1)
        world.holds(first)
        following.write(1)
        world.holds(first, following)
    _, to = leave(first, 2)
    first.table._state.clock.advance(7200)  # type: ignore[attr-defined]
    first.table.maintain()
    with first.table._queue._engine.connect() as link:  # type: ignore[attr-defined]
        assert link.execute(select(COMMITS.c.id)).scalars().all() == []
    assert to != first.at


def test_a_later_versions_entry_is_left_alone(world: World) -> None:
    (hand,) = world.writers(1)
    row = {"id": "later", "table_name": "k2.market.trades", "state": "waiting", "made_ms": 0, "told": ""}
    with hand.table._queue._engine.begin() as link:  # type: ignore[attr-defined]
        link.execute(insert(COMMITS).values({**row, "entry": '{"v":2}'}))
    hand.write(1)
    assert state(hand, "later").state == "waiting"
    world.holds(hand)


def test_one_writer_alone_asks_the_queue_nothing(world: World) -> None:
    (hand,) = world.writers(1, together=False)
    asked: list[str] = []

    def asks(_link: Any, _cursor: Any, statement: str, *_: object) -> None:
        asked.append(statement)

    for engine in (hand.table._queue._engine, hand.table._state._catalog.engine):  # type: ignore[attr-defined]
        event.listen(engine, "before_cursor_execute", asks)
    for _ in range(5):
        hand.write(1)
    assert len(asked) == 10, "a look and a swap for each commit"
    assert not [statement for statement in asked if "k2_commit" in statement]
