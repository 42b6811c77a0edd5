"""`Intake`: from the log to claimed rows: poll, admit, dead letters, shed, claim.

All that can refuse a record comes before the claim, and so does all shedding; dead letters are durable before any commit
can pass them, what is shed is named in the very commit that passes it. When a step fails half-way (log full, store away), what was claimed is kept with its rows, the rest is read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.admission.admit import Admitted, DeadRecord, Part
from k2core.admission.dead_letters import encode_dead_letters
from k2core.admission.holes import HoleLedger
from k2core.broker.history import stamps_of
from k2core.degradation.levels import Permit
from k2core.errors import BrokerError, DedupError
from k2core.interfaces.broker import LogBlock, Offsets, Partition
from k2core.writer.measures import tell_claimed, tell_dead, tell_read
from k2core.writer.parts import Parts
from k2core.writer.shedding import Shedding
from k2core.writer.waiting import Waiting


class Intake:
    """Reads for one pipeline."""

    def __init__(self, parts: Parts, ledger: HoleLedger) -> None:
        self._parts, self._ledger = parts, ledger
        self._in_place = self._narrow = False
        self._sought: frozenset[Partition] = frozenset()
        self.shedding = Shedding(parts.degradation, parts.broker, parts.topics)

    def read(self, timeout: float, committed: Offsets, waiting: Waiting) -> bool:
        """Read once.

        Args:
            timeout: Seconds to wait for the first record.
            committed: The table's next offset of every owned partition.
            waiting: Grows by what is read.

        Returns:
            Whether there was anything to read.
        """
        parts, settings = self._parts, self._parts.settings
        now, shedding = parts.clock.monotonic(), self.shedding
        if waiting.held >= settings.commit_rows or not self._in_place:
            shedding.stalled()  # a commit or a read failed: no load would make a lag fall meanwhile
        if waiting.held >= settings.commit_rows:
            return False  # a commit is due; what it cannot store yet must not grow
        self._seek(committed, waiting)
        shedding.look(now, {place: waiting.next.get(place, at) for place, at in committed.items()})
        permit = shedding.permit(now)
        room = int(settings.commit_rows * permit.hold) - waiting.held
        if not permit.poll or room <= 0:
            return False
        self._in_place = False  # until everything that is polled now has been taken
        blocks = parts.consumer.poll(min(settings.poll_records, room, permit.records or room), timeout)
        mine = [b for b in blocks if (b.topic, b.partition) in committed]
        if mine:
            self._take(mine, committed, waiting, permit, now)
        self._in_place = True
        return bool(blocks)

    def positions(self) -> Offsets:
        """How far the log was read, also where it has no records; nothing while a failed step is to be read again."""
        if not self._in_place:
            return {}
        return {place: at for place, at in self._parts.consumer.positions().items() if place in self._sought}

    def reset(self) -> None:
        """Read on from the committed offsets next time."""
        self._in_place = False

    def forget(self, places: Collection[Partition]) -> None:
        """Partitions that were given up: should they come again, they begin anew."""
        self._sought -= frozenset(places)
        self._narrow = False  # the consumer still reads them: they may go from the log meanwhile

    def _seek(self, committed: Offsets, waiting: Waiting) -> None:
        """Put the consumer where reading goes on; partitions that it reads already are not disturbed."""
        if self._in_place and self._narrow and committed.keys() == self._sought:
            return
        wanted = committed.keys() - self._sought if self._in_place else committed.keys()
        consumer = self._parts.consumer
        consumer.only(frozenset(committed))
        consumer.seek({place: waiting.next.get(place, committed[place]) for place in wanted})
        self._sought, self._narrow = frozenset(committed), True

    def _take(
        self, blocks: Sequence[LogBlock], committed: Offsets, waiting: Waiting, permit: Permit, now: float
    ) -> None:
        admitted = self._parts.admission.admit(blocks, enrich=permit.enrich)
        if admitted.dead:
            self._bury(admitted.dead)
        dead = Counter(record.partition for record in admitted.dead)
        keep, shed = self.shedding.cut(admitted, blocks, permit.level, now)
        new = np.ones(len(admitted.rows), bool) if keep is None else keep
        taken = 0
        try:
            for at, part in enumerate(admitted.parts):
                self._check_onward(part, committed, waiting)
                kept = new[part.start : part.stop].copy()
                new[part.start : part.stop][kept] = self._claim(part, kept)
                _count(part, kept, new, dead, waiting)
                waiting.pass_by(shed[at : at + 1])
                taken = part.stop
        finally:
            # Also where a later part failed: what was claimed must be committed, or nobody stores it.
            _keep(admitted, new, taken, waiting)
        waiting.stamps |= stamps_of(blocks)
        tell_read(self._parts, blocks, waiting)
        waiting.newest_us = max(waiting.newest_us, *(b.timestamp_us for b in blocks))

    def _claim(self, part: Part, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | bool:
        if part.identities is None or not len(part.identities):
            return True
        if not kept.any():
            self._ledger.note(part.identities)  # what is shed is no hole: it came
            return True
        try:
            began = self._parts.clock.monotonic()
            new = self._parts.dedup.claim(part.identities if kept.all() else part.identities.where(kept))
        except DedupError:
            self._parts.metrics.add("k2_writer_dedup_errors_total", data_type=self._parts.data_type.name)
            raise
        tell_claimed(self._parts, new, max(0.0, self._parts.clock.monotonic() - began))
        self._ledger.note(part.identities)
        return new

    def _check_onward(self, part: Part, committed: Offsets, waiting: Waiting) -> None:
        wanted = waiting.next.get(part.partition, committed[part.partition])
        if part.first_offset < wanted:
            topic, number = part.partition
            raise BrokerError(f"{topic}/{number}: read from offset {part.first_offset}, although {wanted} was next")

    def _bury(self, dead: Sequence[DeadRecord]) -> None:
        parts, first = self._parts, dead[0]
        parts.producer.produce(encode_dead_letters(dead, parts.clock.now_ms()))
        tell_dead(parts, dead)
        parts.logger.warning(
            "dead letters data_type=%s count=%d first=%s/%d/%d reason=%s detail=%s",
            parts.data_type.name, len(dead), *first.partition, first.offset, first.reason, first.detail,
        )  # fmt: skip


def _count(
    part: Part,
    kept: npt.NDArray[np.bool_],
    new: npt.NDArray[np.bool_],
    dead: Mapping[Partition, int],
    waiting: Waiting,
) -> None:
    rows, refused = part.stop - part.start, dead.get(part.partition, 0)
    copies = int(np.count_nonzero(kept)) - int(np.count_nonzero(new[part.start : part.stop]))
    waiting.count(part.partition, rows + refused, copies, refused)
    waiting.next[part.partition] = part.next_offset


def _keep(admitted: Admitted, new: npt.NDArray[np.bool_], taken: int, waiting: Waiting) -> None:
    rows = admitted.rows.slice(0, taken)
    if not new[:taken].all():
        rows = rows.filter(pa.array(new[:taken]))
    if len(rows):
        waiting.tables.append(rows)
