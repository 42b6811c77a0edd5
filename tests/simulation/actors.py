"""Writers and servers of a world: the shipped classes, put together as the commands do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from k2_plugin_memory.settings import MemorySettings
from k2_plugin_memory.store import MemoryStore

from k2core.config.settings import QuerySettings, WriterSettings
from k2core.errors import (
    CommitConflictError,
    CommitUnknownError,
    DedupError,
    K2Error,
    LogFullError,
    QueryError,
    SinkError,
)
from k2core.query.cursor import Cursors
from k2core.query.service import QueryService
from k2core.query.tail import Tail
from k2core.telemetry.metrics import Metrics
from k2core.writer.lane import Lane
from k2core.writer.pipeline import WriterPipeline
from tests.simulation.capture import LOGGER
from tests.simulation.shedding import degradation
from tests.simulation.table import SimSource, SimTable
from tests.simulation.virtual import Killed, VirtualBell

if TYPE_CHECKING:
    from tests.simulation.world import World

FAILURES: dict[str, Callable[[], K2Error]] = {
    "head": lambda: SinkError("catalog away"), "stage": lambda: SinkError("disk away"),
    "discard": lambda: SinkError("disk away"), "look-up": lambda: SinkError("catalog away"),
    "load": lambda: SinkError("catalog away"), "take-over": lambda: SinkError("catalog away"),
    "settle": lambda: DedupError("store away"), "claim": lambda: DedupError("store away"),
    "produce": lambda: LogFullError("full"),
}  # fmt: skip


AT_COMMIT = ("produce", "produced", "stage", "swap", "reply", "settle")


class FaultyStore(MemoryStore):
    """The shipped store, with a fault before each call that may fail."""

    fault: Callable[[str], None]

    def claim(self, batch: Any) -> Any:
        self.fault("claim")
        return super().claim(batch)

    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        self.fault("settle")
        super().settle(partition, first_offset, next_offset)


class Writer:
    """One `k2 write` process."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number, self.busy = world, number, False
        topics, dice = [world.topic], world.dice
        store = FaultyStore(
            MemorySettings(window_minutes=world.window_s / 60, max_ids=dice.choice((6, 20_000_000))), world.clock
        )
        store.fault = self.fault
        settings = WriterSettings(
            commit_interval_s=dice.choice((0.3, 2)), commit_rows=dice.choice((5, 1000)), first_commit_s=0.1,
            poll_records=dice.choice((2, 1000)),
        )  # fmt: skip
        self.lane = Lane(
            WriterPipeline(
                data_type=world.data_type, topics=topics, consumer=world.log.reader(topics, self.fault),
                producer=world.log.faulty(self.fault), broker=world.log, sink_table=SimTable(world.lake, self.fault),
                dedup=store, admission=world.admission, settings=settings, clock=world.clock, metrics=Metrics(),
                logger=LOGGER, owner=f"writer {number}", degradation=degradation(world),
            )
        )  # fmt: skip

    def fault(self, name: str) -> None:
        """Asked at every step: things may happen meanwhile, it may fail, it may be killed."""
        world = self.world
        if world.calm:
            return
        if name in ("stage", "swap", "reply", "settle") and world.chance("meanwhile"):
            world.told[f"slow {name}"] += 1
            world.meanwhile()
        if name == "raced" and world.chance("raced"):
            world.told["others were faster"] += 1
            raise CommitConflictError("others were faster every time")
        if world.chance("kill at commit" if name in AT_COMMIT else "kill"):
            world.told[f"killed at {name}"] += 1
            raise Killed
        if name == "reply" and world.chance("lost reply"):
            world.told["landed, reply lost"] += 1
            raise CommitUnknownError("the reply was lost")
        if name == "swap" and world.chance("lost reply"):
            world.told["sent, nothing heard"] += 1
            raise CommitUnknownError("nothing was heard")
        if name in FAILURES and world.chance("fail at settle" if name == "settle" else "fail"):
            world.told[f"failed at {name}"] += 1
            raise FAILURES[name]()

    def move(self) -> bool:
        """One step; False once the process is over."""
        self.busy = True
        try:
            self.lane.advance()
        except Killed:
            return False
        finally:
            self.busy = False
        if self.lane.alive:
            return True
        return self.world.ended(self)


class Server:
    """One `k2 serve` process."""

    def __init__(self, world: World) -> None:
        self.world, dice = world, world.dice
        self.busy = self.asked = False
        settings = QuerySettings(
            tail_minutes=world.window_s / 60, wait_s=dice.choice((0, 0.1)), timeout_s=1e6
        ).model_copy(update={"tail_bytes": dice.choice((2000, 6000, 1 << 28))})
        source = SimSource(world.lake, self.between)
        self.tail = Tail(
            world.data_type, world.admission, world.log, source, [world.topic], settings, world.clock, Metrics(),
            bell=VirtualBell(world.clock, self.wait),
        )  # fmt: skip
        name = world.data_type.name
        self.service = QueryService(
            [world.data_type], {name: source}, {name: self.tail}, world.log, settings, world.clock,
            Cursors(b"one installation's key"),
        )  # fmt: skip

    def between(self, name: str) -> None:
        """Within a query other threads and processes go on; now and then the catalog is away."""
        world = self.world
        if world.calm:
            return
        if world.chance("fail") and name == "before head":
            world.told["failed at source"] += 1
            raise QueryError("catalog away", kind="away", status=503)
        if self.asked and world.chance("within query"):
            world.meanwhile()

    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        if not self.world.calm:
            self.world.meanwhile()
        elif not self.busy:
            self.advance()

    def advance(self) -> None:
        """What the tail's thread does in a loop."""
        self.busy = True
        self.world.log.at_once = self.world.dice.choice((2, 9, 1 << 30))
        before, starts = self.tail.rebuilt, self._starts()
        try:
            self.tail.advance(0)
        except (QueryError, SinkError) as error:
            self.world.told[f"tail: {error}"] += 1
        finally:
            self.busy = False
            self.world.log.at_once = 1 << 30
        self.world.told["tail rebuilt"] += self.tail.rebuilt - before
        self.world.told["tail shortened"] += self.tail.rebuilt == before and self._starts() > starts

    def _starts(self) -> int:
        return sum(self.tail.view.starts.values()) if self.tail._follower else 0
