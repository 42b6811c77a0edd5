"""Load in a world: writers degrade at small thresholds, what they shed is brought back, and every answer says what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from k2core.degradation.settings import DegradationSettings
from k2core.errors import BrokerError
from k2core.interfaces.shed import Shed
from k2core.query.answer import Answer
from k2core.writer.restoring import Restoring
from k2core.writer.shedding import Degradation
from tests.simulation.exchange import SYMBOLS
from tests.simulation.oracle import Entry, WrongError, is_shed
from tests.simulation.table import SimTable

if TYPE_CHECKING:
    from tests.simulation.actors import Writer
    from tests.simulation.world import World

SHARES = (0.1, 0.1, 0.1, 0.75, 0.85, 0.92, 0.97)


def degradation(world: World) -> Degradation | None:
    """What a writer of this world degrades by."""
    settings = DegradationSettings.model_validate(
        {
            "soft_lag": 2,
            "graceful_lag": 4,
            "aggressive_lag": 8,
            "break_lag": 16,
            "trend_s": 0.05,
            "look_s": 0.001,
            "down_s": 0.5,
            "pause_s": 0.5,
            "half_open_records": 2,
            **world.load.tiers,
        }
    )
    return Degradation(settings=settings, memory=lambda: world.load.memory)


class Load:
    """The pressure in a world, and what is done about its traces.

    Args:
        world: The world.
    """

    def __init__(self, world: World) -> None:
        self.world, self.dice, self.told = world, world.dice, world.told
        self.memory = 0.1
        by_name = {"tiers": {SYMBOLS[0]: 1, SYMBOLS[1]: 2}, "default_tier": 3}
        self.tiers = self.dice.choice((by_name, {"top_symbols": 1, "next_symbols": 1, "ranking_s": 5}))
        self.pressed = self.dice.random() < 0.5
        self._pending: list[Shed] = []

    def turn(self) -> None:
        """Memory fills or empties."""
        if self.pressed:
            self.memory = self.dice.choice(SHARES)
            self.told["memory short"] += self.memory > 0.8

    def backfill(self) -> None:
        """One step of a backfill: note what the table has by now, or append what was shed again; any may be its last."""
        work = self._restoring()
        if self._pending and self.dice.random() < 0.7:
            if work.is_back(self._pending, work.table.head()):
                self.told["ranges restored"] += len(self._pending)
                work.note(self._pending)
                self._pending = []
            self._pending = self._pending if self.dice.random() < 0.9 else []  # killed before it was noted
            return
        symbols = self.dice.choice((None, None, (SYMBOLS[1],), SYMBOLS[2:]))
        ranges = work.ranges(symbols)
        if ranges:
            self._pending = self._bring(work, self.dice.choice(ranges), symbols)

    def restore_all(self, writer: Writer) -> None:
        """In the end: everything shed comes back, and the table is complete but for what retention removed."""
        self.memory = 0.1
        work = self._restoring(lambda: self._catch_up(writer))
        for _ in range(60):
            ranges = work.ranges()
            if not ranges:
                break
            done = [part for one in ranges for part in self._bring(work, one, None)]
            self._catch_up(writer)
            if not work.is_back(done, work.table.head()):
                raise WrongError("the table has all of the log, and not what was brought back")
            work.note(done)
        if left := work.ranges():
            raise WrongError(f"still shed after all was brought back: {left[:2]}")
        self._check_complete()

    def _bring(self, work: Restoring, one: Shed, symbols: tuple[str, ...] | None) -> list[Shed]:
        try:
            done = work.bring_back(one, symbols)
        except BrokerError as error:
            raise WrongError(f"{one} cannot be brought back: {error}") from error
        self.told["ranges lost"] += sum(part.state == "lost" for part in done)
        self.told["ranges brought back"] += sum(part.state == "restored" for part in done)
        return done

    def _catch_up(self, writer: Writer) -> None:
        """As a backfill waits for writers: what is on its way must not be what sheds."""
        world = self.world
        for _ in range(300):
            if world.lake.newest().offsets == world.log.ends([world.topic]) and not writer.lane.pipeline.level:
                return
            world.clock.advance(0.3)
            if not writer.move():
                raise WrongError("the last writer ended")
        raise WrongError("the last writer does not catch up")

    def _restoring(self, pace: Callable[[], None] = lambda: None) -> Restoring:
        world = self.world
        return Restoring(
            data_type=world.data_type, broker=world.log, producer=world.log.producer(),
            table=SimTable(world.lake, lambda name: None), admission=world.admission, batch_records=3, pace=pace,
        )  # fmt: skip

    def _check_complete(self) -> None:
        world, newest = self.world, self.world.lake.newest()
        lost = [one for one in newest.shed if one.state == "lost"]
        stored = {(row["symbol"], int(row[world.data_type.id_column or ""])) for row in newest.extra or ()}
        entries = [e for there in world.oracle.entries.values() for e in there if e.good]
        gone = {(e.symbol, e.number) for e in entries if is_shed(e, lost)}  # of some, a copy that was shed again
        if missing := sorted({(e.symbol, e.number) for e in entries} - gone - stored):
            raise WrongError(f"never brought back: {missing[:3]}")
        self.told["records shed"] += sum(one.records for one in newest.shed)


def check_missing(
    world: World, answer: Answer, symbols: tuple[str, ...] | None, as_of_us: int | None, *, full: bool
) -> None:
    """An answer names exactly the ranges from which it may lack something; a full page, newest first, may know better."""
    shed = world.lake.shed_of[answer.snapshot_id]

    def lacks(one: Shed) -> bool:
        end = answer.pin.get(one.place, 0)
        back = one.state == "restored" and (one.back_offset or 0) <= end
        late = as_of_us is not None and (one.back_us or 0) > as_of_us
        return one.first_offset < end and not (back and not late)

    named = {(m.topic, m.partition, m.first_offset, m.next_offset) for m in answer.missing}
    mine = [one for one in shed if symbols is None or not one.names.isdisjoint(symbols)]
    right = {(one.topic, one.partition, one.first_offset, one.next_offset) for one in mine if lacks(one)}
    if wrong := sorted(named - right):
        raise WrongError(f"the answer misses {wrong[:2]}, which the log has")
    world.told["incomplete answers"] += bool(named)
    if full:
        return
    unnamed = [one for one in mine if (one.topic, one.partition, one.first_offset, one.next_offset) not in named]
    below = [e for there in world.oracle.entries.values() for e in there if _below(e, answer, as_of_us)]
    if any(lacks(one) and any(is_shed(e, [one]) for e in below) for one in unnamed):
        raise WrongError("the answer lacks what was shed and does not say so")


def _below(e: Entry, answer: Answer, as_of_us: int | None) -> bool:
    return e.good and e.offset < answer.pin.get(e.place, 0) and (as_of_us is None or e.at_us <= as_of_us)
