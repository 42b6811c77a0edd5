"""`LevelBoard`: the levels that writers tell on the control topic, as another process knows them.

Survives a log without that topic (no writer ever told anything: NORMAL), and one that is away for a moment: what was
known last holds until it is too old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k2core.avro.codec import Codec
from k2core.clock import Clock
from k2core.degradation.events import LEVELS_TOPIC
from k2core.degradation.levels import Level
from k2core.errors import BrokerError
from k2core.interfaces.broker import Broker, Consumer, LogBlock
from k2core.records.builtin import LEVELS

BACK = 256
"""Events of a partition that are read at the start, at most."""

OLD = 3
"""A level that was not told for so many times its interval counts as gone with its writer."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a writer said last of one table.

    Args:
        table: The table.
        writer: Who said it.
        level: The level.
        cause: `lag` or `memory`.
        at_us: When the log had it, Unix us.
    """

    table: str
    writer: str
    level: Level
    cause: str
    at_us: int


class LevelBoard:
    """Reads the control topic. One thread calls `look`, any read `levels` and `level`.

    Args:
        broker: The log.
        clock: The time.
        announce_s: How often a level that lasts is told.
    """

    def __init__(self, broker: Broker, clock: Clock, announce_s: float) -> None:
        self._broker, self._clock, self._old_us = broker, clock, int(OLD * announce_s * 1e6)
        self._codec = Codec(LEVELS)
        self._consumer: Consumer | None = None
        self._told: dict[tuple[str, str], Told] = {}

    @property
    def levels(self) -> Mapping[str, Told]:
        """By table, the highest level that any of its writers told; tables at NORMAL are not among them."""
        found: dict[str, Told] = {}
        oldest = self._clock.now_us() - self._old_us
        for told in list(self._told.values()):
            known = found.get(told.table)
            if told.level and told.at_us >= oldest and (known is None or told.level > known.level):
                found[told.table] = told
        return found

    @property
    def level(self) -> Level:
        """The highest of all."""
        return max((told.level for told in self.levels.values()), default=Level.NORMAL)

    def look(self) -> None:
        """Read what was told since."""
        try:
            if self._consumer is None:
                self._consumer = self._started()
            while self._consumer is not None and (blocks := self._consumer.poll(BACK, 0)):
                for block in blocks:
                    self._take(block)
        except BrokerError:
            self.close()  # asked again at the next look; what is known ages meanwhile

    def close(self) -> None:
        """Release the consumer."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None

    def _started(self) -> Consumer | None:
        topics = [LEVELS_TOPIC.name]
        if LEVELS_TOPIC.name not in self._broker.topics():
            return None
        starts, ends = self._broker.starts(topics), self._broker.ends(topics)
        consumer = self._broker.consumer(topics)
        consumer.seek({place: max(starts.get(place, 0), end - BACK) for place, end in ends.items()})
        return consumer

    def _take(self, block: LogBlock) -> None:
        decoded = (
            self._codec.decode(block.version, block.sizes, block.data) if block.version == LEVELS.versions else None
        )
        for row in decoded.batch.to_pylist() if decoded is not None else ():
            if row["level"] in Level.__members__:
                level = Level[row["level"]]
                told = Told(row["symbol"], row["writer"], level, row["cause"], block.timestamp_us)
                self._told[told.writer, told.table] = told
                if not level:
                    del self._told[told.writer, told.table]
