"""`WriterPipeline`: the log's records of one data type into one table, each exactly once.

Stepped: `step` reads and claims, `commit` stores, and between any two calls the state is whole. Faults survived:
`kill -9` anywhere (rows and offsets are one atomic commit; files without one are in no snapshot, maintenance deletes
them after a day, and the log's records are read again), another writer taking over (nothing of a fenced commit is kept), a commit whose outcome is unknown, a sink or dedup store that is away for a
while, a full log when dead letters are produced. After a failed call the next one first puts right what it left
(`_recover`), from what the table says; it never guesses.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from k2core.admission.admit import Admission
from k2core.admission.holes import Hole, HoleLedger
from k2core.broker.spans import lag_of
from k2core.clock import Clock
from k2core.config.settings import WriterSettings
from k2core.degradation.levels import Level
from k2core.errors import CommitConflictError, FencedError, K2Error, OffsetGoneError
from k2core.interfaces.broker import Broker, Consumer, Offsets, Partition, Producer
from k2core.interfaces.dedup import DedupStore
from k2core.interfaces.sink import Gone, SinkTable
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics
from k2core.writer.commits import Commits
from k2core.writer.intake import Intake
from k2core.writer.measures import tell_lag
from k2core.writer.owning import Owning
from k2core.writer.parts import Parts
from k2core.writer.schedule import Schedule
from k2core.writer.settling import Settling
from k2core.writer.shedding import Degradation
from k2core.writer.waiting import Waiting


class WriterPipeline:
    """Writes one data type. One thread; the arguments are those of `Parts`."""

    def __init__(
        self,
        *,
        data_type: DataType,
        topics: Sequence[str],
        consumer: Consumer,
        producer: Producer,
        broker: Broker,
        sink_table: SinkTable,
        dedup: DedupStore,
        admission: Admission,
        settings: WriterSettings,
        clock: Clock,
        metrics: Metrics,
        logger: logging.Logger,
        owner: str,
        name: str = "",
        skip_gone: bool = False,
        degradation: Degradation | None = None,
    ) -> None:
        self.parts = Parts(
            data_type=data_type, topics=tuple(topics), consumer=consumer, producer=producer, broker=broker,
            table=sink_table, dedup=dedup, admission=admission, settings=settings, clock=clock, metrics=metrics,
            logger=logger, owner=owner, name=name or f"write-{data_type.name}", skip_gone=skip_gone, degradation=degradation,
        )  # fmt: skip
        self._ledger = HoleLedger()
        self._intake = Intake(self.parts, self._ledger)
        self._settling = Settling(self.parts)
        self._owning = Owning(self.parts, self._ledger, self._intake, self._settling, self._last_moment)
        self._commits = Commits(self.parts, self._owning, self._settling, self._ledger)
        self._astray = True
        self._fence: FencedError | None = None
        self._schedule = Schedule(settings)
        self.started = False

    @property
    def committed(self) -> Offsets:
        """The table's next offset of every owned partition."""
        return dict(self._owning.committed)

    @property
    def waiting(self) -> int:
        """Records read and not committed."""
        return self._commits.waiting.records

    @property
    def shared(self) -> bool:
        """Whether other writers may have partitions of this table; known once started."""
        return self._owning.shared

    @property
    def maintains(self) -> bool:
        """Whether the table's upkeep is this writer's: of those who share it, the one that has its first partition."""
        return not self.shared or (min(self.parts.topics), 0) in self._owning.places

    @property
    def gone(self) -> tuple[Gone, ...]:
        """What the table passed without having it, ever: the log had it no more."""
        return self._owning.gone

    @property
    def level(self) -> Level:
        """How much is given up now."""
        return self._intake.shedding.level

    def start(self) -> None:
        """Take all partitions of all topics over, and read on from the table's offsets.

        Where partitions are shared: become a member; what is ours is taken over by `step`, whenever it is.

        Raises:
            TopicChangedError: The log is not the one that fed the table.
            OffsetGoneError: The log no longer holds what the table wants next, and that may not be passed.
            SinkError: The table cannot be reached; call again.
        """
        self._owning.start()
        self.started = True
        self._schedule.started(self.parts.clock.monotonic())
        self._recover()

    def step(self, timeout: float) -> bool:
        """Read once and claim what is new.

        Args:
            timeout: Seconds to wait for the first record.

        Returns:
            Whether there was anything to read.

        Raises:
            FencedError: Nothing is owned any more.
            K2Error: The log, the store or the table failed; nothing is lost, call again if it is not `Permanent`.
        """
        more = self.attend()
        self._recover()
        if more:
            self._take(more)
        owned = self._owning.places
        if not owned and self.shared:
            return False
        try:
            return self._intake.read(timeout, self._owning.committed, self._commits.waiting)
        except OffsetGoneError:
            self.check_owned()  # where others stored it and let it go, it is not ours any more
            if not self.shared or self._owning.places == owned:
                raise
            return False

    def attend(self) -> frozenset[Partition]:
        """Take note of what is our share now, and give up what is not; cheap, and to be called often.

        Returns:
            What is ours and not taken yet.

        Raises:
            BrokerError: The log cannot tell.
        """
        lost, more = self._owning.follow() if self.started else (frozenset(), frozenset())
        if lost:
            self._commits.waiting.forget(lost)
            self._owning.give_up(lost)
        return more

    def due(self, now: float) -> bool:
        """Whether it is time for a commit.

        Args:
            now: `Clock.monotonic()`.
        """
        waiting = self._commits.waiting
        return self._schedule.due(now, waiting.records, waiting.held)

    def commit(self) -> bool:
        """Store everything that waits, with the offsets, in one atomic step.

        Returns:
            Whether a commit landed; False where nothing waited, or where the records must be read again.

        Raises:
            FencedError: Another writer owns everything now; nothing of this commit was stored.
            SinkError: The table cannot be reached; call again.
        """
        self._recover()
        self._settling.run()
        if not self.waiting:
            return False
        self._schedule.commits(self.parts.clock.monotonic())
        try:
            landed = self._commits.run()
        except FencedError as error:
            self._lose(error)
            return False
        except CommitConflictError:
            self._drop()
            raise
        if not landed:
            self._drop()
        return landed

    def check_owned(self) -> None:
        """Learn whether somebody took over, without a commit; for when there is nothing to commit.

        Raises:
            FencedError: Somebody did, and nothing is owned any more.
        """
        if not self._owning.places:
            return
        try:
            self.parts.table.check_owned(self._owning.held)
        except FencedError as error:
            self._lose(error)

    def reached(self, ends: Offsets) -> bool:
        """Whether everything below these log ends was read, of what is owned."""
        positions = self._intake.positions()
        return all(
            max(self._commits.waiting.next.get(place, at), positions.get(place, 0), at) >= ends.get(place, 0)
            for place, at in self._owning.committed.items()
        )

    def elsewhere(self, ends: Offsets) -> dict[Partition, int]:
        """Records below these log ends that the table lacks, of partitions that are not owned; raises `SinkError`."""
        theirs = {place: end for place, end in ends.items() if place not in self._owning.committed}
        return lag_of(theirs, self.parts.table.head().offsets) if theirs else {}

    def lag(self) -> dict[Partition, int]:
        """Records in the log beyond the table, by owned partition; also sets the gauge."""
        ends, committed = self.parts.broker.ends(self.parts.topics), self._owning.committed
        lag = lag_of({place: end for place, end in ends.items() if place in committed}, committed)
        tell_lag(self.parts, sum(lag.values()), self._commits.waiting)
        return lag

    def holes(self) -> list[Hole]:
        """Ids that should be contiguous and are absent."""
        return self._ledger.missing()

    def leave(self) -> None:
        """Give everything up to those who share with us; what waits stays in the log."""
        self._commits.waiting, self._commits.doubt = Waiting(), None
        self._owning.leave()

    def close(self) -> None:
        """Release what is held; what waits stays in the log."""
        self.leave()
        for part in (self.parts.consumer, self.parts.producer, self.parts.dedup, self.parts.table):
            part.close()

    # ---- what puts things right

    def _recover(self) -> None:
        """Whole again, from what the table says, whatever the last call left behind."""
        if self._fence is not None:
            raise self._fence
        if self._commits.doubt is not None and not self._commits.resolve():
            self._drop()
        if self._astray:
            self._drop()
            self._owning.begin(self._owning.places)
            self._astray = False
        elif missing := self._owning.places - self._owning.committed.keys():
            self._owning.begin(missing)

    def _take(self, more: frozenset[Partition]) -> None:
        """Our share grew."""
        try:
            self._owning.take(more)
        except FencedError as error:
            self._lose(error)
        self._recover()

    def _last_moment(self, leaving: frozenset[Partition]) -> None:
        """Partitions go to somebody else: what was read of them is stored now, or read again there."""
        if not leaving & self._commits.waiting.next.keys():
            return
        try:
            self.commit()
        except K2Error as error:
            self.parts.logger.warning(
                "not committed before partitions went, others read it again data_type=%s error=%s",
                self.parts.data_type.name, error,
            )  # fmt: skip

    def _lose(self, error: FencedError) -> None:
        """Somebody else's token: the whole commit is dropped, what is lost given up, what is left read again."""
        self._drop()
        lost = (error.partitions & self._owning.places) or self._owning.places
        self._owning.give_up(lost, by_force=True)
        if not self._owning.places and not self._owning.shared:
            self._fence = error
            raise error
        self.parts.logger.warning("fenced data_type=%s lost=%d error=%s", self.parts.data_type.name, len(lost), error)

    def _drop(self) -> None:
        """Nothing that was read since the last commit ever happened."""
        self._commits.drop()
        self._intake.reset()
        self._astray = True
