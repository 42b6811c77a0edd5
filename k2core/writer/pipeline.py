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
from k2core.errors import CommitConflictError, FencedError, SinkError
from k2core.interfaces.broker import Broker, Consumer, Offsets, Partition, Producer
from k2core.interfaces.dedup import DedupStore
from k2core.interfaces.sink import Gone, Ownership, SinkTable, Staged
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics
from k2core.writer.after import discard, tidy
from k2core.writer.crash import crash_point
from k2core.writer.intake import Intake
from k2core.writer.parts import Parts
from k2core.writer.schedule import Schedule
from k2core.writer.settling import Settling
from k2core.writer.start import agreed_head, take_over
from k2core.writer.tell import tell_known, tell_landed
from k2core.writer.waiting import Waiting
from k2core.writer.watched import Watched


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
    ) -> None:
        self.parts = Parts(
            data_type=data_type, topics=tuple(topics), consumer=consumer, producer=producer, broker=broker,
            table=sink_table, dedup=dedup, admission=admission, settings=settings, clock=clock, metrics=metrics,
            logger=logger, owner=owner, name=name or f"write-{data_type.name}", skip_gone=skip_gone,
        )  # fmt: skip
        self._ledger = HoleLedger()
        self._intake = Intake(self.parts, self._ledger)
        self._settling = Settling(self.parts)
        self._waiting = Waiting()
        self._owned = Ownership("", frozenset())
        self._committed: dict[Partition, int] = {}
        self._doubt: dict[Partition, int] | None = None
        self._astray = True
        self._fence: FencedError | None = None
        self._schedule = Schedule(settings)
        self._conflicts = 0
        self.gone: tuple[Gone, ...] = ()
        """What the table passed without having it, ever: the log had it no more."""

    @property
    def committed(self) -> Offsets:
        """The table's next offset of every owned partition."""
        return dict(self._committed)

    @property
    def waiting(self) -> int:
        """Records read and not committed."""
        return self._waiting.records

    @property
    def started(self) -> bool:
        """Whether partitions were taken over."""
        return bool(self._owned.token)

    def start(self) -> None:
        """Take all partitions of all topics over, and read on from the table's offsets.

        Raises:
            TopicChangedError: The log is not the one that fed the table.
            OffsetGoneError: The log no longer holds what the table wants next, and that may not be passed.
            SinkError: The table cannot be reached; call again.
        """
        self._owned = take_over(self.parts, skip=self.parts.skip_gone)
        self._schedule.started(self.parts.clock.monotonic())
        self._begin()

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
        self._recover()
        return self._intake.read(timeout, self._committed, self._waiting)

    def due(self, now: float) -> bool:
        """Whether it is time for a commit.

        Args:
            now: `Clock.monotonic()`.
        """
        return self._schedule.due(now, self._waiting.records)

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
        if not self._waiting.records:
            return False
        parts, began = self.parts, self.parts.clock.monotonic()
        self._schedule.commits(began)
        try:
            crash_point("before-write")
            staged = parts.table.stage(self._waiting.take(parts.data_type.table_schema))
            crash_point("after-files")
            return self._swap(staged)
        finally:
            spent = max(0.0, parts.clock.monotonic() - began)
            parts.metrics.add("k2_writer_commit_seconds_total", spent, data_type=parts.data_type.name)

    def check_owned(self) -> None:
        """Learn whether somebody took over, without a commit; for when there is nothing to commit.

        Raises:
            FencedError: Somebody did, and nothing is owned any more.
        """
        try:
            self.parts.table.check_owned(self._owned)
        except FencedError as error:
            self._lose(error)

    def reached(self, ends: Offsets) -> bool:
        """Whether everything below these log ends was read, of what is owned."""
        positions = self._intake.positions()
        return all(
            max(self._waiting.next.get(place, at), positions.get(place, 0), at) >= ends.get(place, 0)
            for place, at in self._committed.items()
        )

    def lag(self) -> dict[Partition, int]:
        """Records in the log beyond the table, by partition; also sets the gauge."""
        lag = lag_of(self.parts.broker.ends(self.parts.topics), self._committed)
        self.parts.metrics.set("k2_writer_lag_records", sum(lag.values()), data_type=self.parts.data_type.name)
        return lag

    def holes(self) -> list[Hole]:
        """Ids that should be contiguous and are absent."""
        return self._ledger.missing()

    def close(self) -> None:
        """Release what is held; what waits stays in the log."""
        for part in (self.parts.consumer, self.parts.producer, self.parts.dedup, self.parts.table):
            part.close()

    # ---- commits

    def _swap(self, staged: Staged) -> bool:
        expect = dict(self._committed)
        offsets = {**{p: o for p, o in expect.items() if o}, **self._waiting.next}
        try:
            self.parts.table.commit(staged, self._owned, expect, offsets, self._waiting.facts())
        except FencedError as error:
            self._outcome("fenced")
            discard(self.parts, staged)
            self._lose(error)
            return False
        except CommitConflictError as error:
            self._outcome("conflict")
            discard(self.parts, staged)
            self._conflict(error)
            return False
        except SinkError as error:
            self._outcome("unknown")
            self.parts.logger.warning("commit outcome unknown data_type=%s error=%s", self.parts.data_type.name, error)
            self._doubt = offsets
            return self._resolve()
        crash_point("after-commit")
        self._landed()
        return True

    def _landed(self) -> None:
        waiting = self._waiting
        self._outcome("landed")
        self._doubt, self._conflicts, self._waiting = None, 0, Waiting()
        for place, following in waiting.next.items():
            self._settling.add(place, self._committed[place], following)
            self._committed[place] = following
        crash_point("before-settle")
        self._settling.run()
        tidy(self.parts, waiting.newest_us, self._committed)
        tell_landed(self.parts, waiting, self._ledger)

    def _outcome(self, outcome: str) -> None:
        self.parts.metrics.add("k2_writer_commits_total", data_type=self.parts.data_type.name, outcome=outcome)

    # ---- what puts things right

    def _recover(self) -> None:
        if self._fence is not None:
            raise self._fence
        if self._doubt is not None:
            self._resolve()
        if self._astray:
            self._begin()

    def _resolve(self) -> bool:
        """The outcome of a commit is unknown: the table's offsets tell. No file is deleted: the swap may still land."""
        doubt, there = self._doubt or {}, self.parts.table.head().offsets
        if all(there.get(place, 0) == offset for place, offset in doubt.items()):
            self._landed()
            return True
        self._drop()
        return False

    def _conflict(self, error: CommitConflictError) -> None:
        self._drop()
        self._conflicts += 1
        self.parts.logger.warning("commit conflict data_type=%s error=%s", self.parts.data_type.name, error)
        if self._conflicts >= self.parts.settings.conflicts:
            self._conflicts = 0
            raise error

    def _lose(self, error: FencedError) -> None:
        """Somebody else's token: the whole commit is dropped, what is lost given up, what is left read again."""
        self._drop()
        lost = (error.partitions & self._owned.partitions) or self._owned.partitions
        for place in lost:
            self.parts.dedup.revoke(place)
            self._committed.pop(place, None)
        self._settling.drop(lost)
        self._owned = Ownership(self._owned.token, self._owned.partitions - lost)
        if not self._owned.partitions:
            self._fence = error
            raise error
        self.parts.logger.error("fenced data_type=%s lost=%d error=%s", self.parts.data_type.name, len(lost), error)

    def _drop(self) -> None:
        """Nothing that was read since the last commit ever happened."""
        for place, offset in self._committed.items():
            self.parts.dedup.abandon(place, offset)
        self._waiting, self._doubt, self._astray = Waiting(), None, True

    def _begin(self) -> None:
        """Read on from the head's offsets; windows are built anew where the head is not where we left it."""
        parts, again = self.parts, bool(self._committed)
        self._drop()
        head = agreed_head(parts, self._owned, skip=parts.skip_gone and not again)
        self.gone = head.gone
        stored = Watched(parts.table.stored(), self._ledger, parts.admission.facts)
        for place in sorted(self._owned.partitions):
            offset = head.offsets.get(place, 0)
            if self._committed.get(place) != offset:
                self._committed.pop(place, None)
                self._settling.drop([place])
                parts.dedup.assign(place, offset, stored)
                self._committed[place] = offset
        if not again:
            tell_known(parts, self._ledger)
        self._intake.reset()
        self._astray = False
