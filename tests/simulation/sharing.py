"""Worlds of several writers that share the partitions of one table: joins, leaves, deaths, freezes, answers that are stale.

A frozen writer does nothing for seconds or minutes and then goes on where it was; its session is over by then. What it
is told first after waking may still be the old share, as a client library may say it. Everything else, and the oracle,
is as in `world.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from k2core.errors import BrokerError
from k2core.interfaces.broker import Partition
from k2core.interfaces.sharing import Leaving, Membership
from tests.simulation.actors import Writer
from tests.simulation.ending import finish
from tests.simulation.log import SimLog
from tests.simulation.oracle import WrongError
from tests.simulation.virtual import Killed
from tests.simulation.world import ACTIONS, ODDS, World

SHARED_ACTIONS = {
    **ACTIONS, "write": 60, "emit": 16, "capture": 18, "follow": 6, "ask": 2, "page": 2, "as_of": 1, "take_over": 3,
    "leave": 1, "freeze": 2, "once": 1, "lose_one": 0.5, "backfill": 2,
}  # fmt: skip
SHARED_ODDS = {**ODDS, "stale": 0.5, "cannot tell": 0.01, "kill": 0.001, "kill at commit": 0.01}
MOST = 5


class SharedLog(SimLog):
    """Shares partitions; `world` decides what goes wrong about it."""

    world: SharedWorld

    def join(self, name: str, topics: Sequence[str], leaving: Leaving | None = None) -> Membership:
        return StaleMembership(self.world, super().join(name, topics, leaving))


class StaleMembership(Membership):
    """May not know yet that its session is over, and may not be able to tell."""

    def __init__(self, world: SharedWorld, inner: Membership) -> None:
        self._world, self._inner = world, inner
        self._told: frozenset[Partition] = frozenset()
        self._at = world.clock.monotonic()

    def partitions(self) -> frozenset[Partition]:
        world, now = self._world, self._world.clock.monotonic()
        over = now - self._at > world.session_s
        if over and self._told and not world.calm and world.chance("stale"):
            world.told["told a stale share"] += 1
            return self._told
        if not world.calm and world.chance("cannot tell"):
            world.told["share not told"] += 1
            raise BrokerError("the log cannot tell")
        self._at = now
        self._told = self._inner.partitions()
        world.told["session lost"] += over
        return self._told

    def close(self) -> None:
        self._inner.close()


class SharingWriter(Writer):
    """One of several `k2 write` processes."""

    frozen_until = float("-inf")

    def fault(self, name: str) -> None:
        if not self.world.calm and name in ("take-over", "load") and self.world.chance("meanwhile"):
            self.world.told[f"slow {name}"] += 1
            self.world.meanwhile()
        super().fault(name)


class SharedWorld(World):
    """See `World`."""

    writers: list[SharingWriter]  # type: ignore[assignment]

    def __init__(self, seed: int, told: Counter[str]) -> None:
        self.session_s = 3.0
        super().__init__(seed, told)
        self.odds = dict(SHARED_ODDS)

    def make_log(self, slack_s: float) -> SimLog:
        log = SharedLog(self.clock, self.oracle.appended, self._released, slack_s, self.session_s)
        log.world = self
        return log

    def tick(self) -> None:
        self.happen(self.dice.choices(list(SHARED_ACTIONS), list(SHARED_ACTIONS.values()))[0])

    def start_writer(self) -> None:
        self._made += 1
        self.writers.append(SharingWriter(self, self._made))

    def write(self) -> None:
        now = self.clock.monotonic()
        idle = [w for w in self.writers if not w.busy and w.frozen_until <= now]
        if len(self.writers) < 2:
            self.start_writer()
        elif idle:
            self.move(self.dice.choice(idle))

    def move(self, writer: Writer) -> None:
        if not writer.move() or self._ends(writer):
            self.writers.remove(writer)  # type: ignore[arg-type]

    def _ends(self, writer: Writer) -> bool:
        """Whether it is done, or was killed while it looked whether it is."""
        try:
            if writer.lane.finished():
                self._check_complete(writer)
                writer.lane.pipeline.close()
                return True
        except Killed:
            return True
        return False

    def _check_complete(self, writer: Writer) -> None:
        """One that was to write all that there was says that it has."""
        self.told["left"] += 1
        lane, offsets = writer.lane, self.lake.newest().offsets
        if lane.target is not None and not lane._leaving:
            self.told["once ended"] += 1
            lacking = {p: o for p, o in lane.target.items() if offsets.get(p, 0) < o}
            if lacking and not self.rolled_back:
                raise WrongError(f"`--once` ended and the table lacks {lacking}")

    @property
    def rolled_back(self) -> bool:
        return bool(self.told["rolled back"])

    def ended(self, writer: Writer) -> bool:
        """Where partitions are shared, no writer ever has a reason to end."""
        raise writer.lane.error or WrongError("a writer ended without a reason")

    def take_over(self) -> None:
        if len(self.writers) < MOST:
            self.told["joined"] += 1
            self.start_writer()

    def once(self) -> None:
        self.take_over()
        self.writers[-1].lane.aim()

    def leave(self) -> None:
        if self.writers:
            self.dice.choice(self.writers).lane.leave()

    def freeze(self) -> None:
        if self.writers:
            self.told["frozen"] += 1
            self.dice.choice(self.writers).frozen_until = self.clock.monotonic() + self.dice.choice((1, 5, 30))


def live(seed: int, told: Counter[str], steps: int = 250) -> str:
    """Live one world of several writers; its trace.

    Raises:
        WrongError: Something is wrong.
    """
    own: Counter[str] = Counter()
    world = SharedWorld(seed, own)
    try:
        for _ in range(steps):
            world.tick()
        finish(world)
    finally:
        told.update(own)
        for capture in list(world.captures):
            capture.drop()
    return world.trace
