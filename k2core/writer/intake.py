"""`Intake`: from the log to claimed rows: poll, admit, dead letters, claim.

All that can refuse a record comes before the claim, and dead letters are durable before any commit can pass them. When
a step fails half-way (log full, store away), what was claimed is kept with its rows, the rest is read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.admission.admit import Admitted, DeadRecord, Part
from k2core.admission.dead_letters import encode_dead_letters
from k2core.admission.holes import HoleLedger
from k2core.broker.history import stamps_of
from k2core.errors import BrokerError, DedupError
from k2core.interfaces.broker import LogBlock, Offsets, Partition
from k2core.writer.parts import Parts
from k2core.writer.waiting import Waiting


class Intake:
    """Reads for one pipeline."""

    def __init__(self, parts: Parts, ledger: HoleLedger) -> None:
        self._parts, self._ledger = parts, ledger
        self._in_place = False

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
        if waiting.records >= settings.commit_rows:
            return False  # a commit is due; what it cannot store yet must not grow
        if not self._in_place:
            parts.consumer.seek({place: waiting.next.get(place, at) for place, at in committed.items()})
        self._in_place = False  # until everything that is polled now has been taken
        blocks = parts.consumer.poll(min(settings.poll_records, settings.commit_rows - waiting.records), timeout)
        mine = [b for b in blocks if (b.topic, b.partition) in committed]
        if mine:
            self._take(mine, committed, waiting)
        self._in_place = True
        return bool(blocks)

    def positions(self) -> Offsets:
        """How far the log was read, also where it has no records; nothing while a failed step is to be read again."""
        return self._parts.consumer.positions() if self._in_place else {}

    def reset(self) -> None:
        """Read on from the committed offsets next time."""
        self._in_place = False

    def _take(self, blocks: Sequence[LogBlock], committed: Offsets, waiting: Waiting) -> None:
        admitted = self._parts.admission.admit(blocks)
        if admitted.dead:
            self._bury(admitted.dead)
        dead = Counter(record.partition for record in admitted.dead)
        new = np.ones(len(admitted.rows), bool)
        taken = 0
        try:
            for part in admitted.parts:
                self._check_onward(part, committed, waiting)
                new[part.start : part.stop] = self._claim(part)
                _count(part, new, dead, waiting)
                taken = part.stop
        finally:
            # Also where a later part failed: what was claimed must be committed, or nobody stores it.
            _keep(admitted, new, taken, waiting)
        waiting.stamps |= stamps_of(blocks)
        waiting.newest_us = max(waiting.newest_us, *(b.timestamp_us for b in blocks))

    def _claim(self, part: Part) -> npt.NDArray[np.bool_] | bool:
        if part.identities is None or not len(part.identities):
            return True
        try:
            new = self._parts.dedup.claim(part.identities)
        except DedupError:
            self._parts.metrics.add("k2_writer_dedup_errors_total", data_type=self._parts.data_type.name)
            raise
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
        parts.logger.warning(
            "dead letters data_type=%s count=%d first=%s/%d/%d reason=%s detail=%s",
            parts.data_type.name, len(dead), *first.partition, first.offset, first.reason, first.detail,
        )  # fmt: skip


def _count(part: Part, new: npt.NDArray[np.bool_], dead: Mapping[Partition, int], waiting: Waiting) -> None:
    rows, refused = part.stop - part.start, dead.get(part.partition, 0)
    waiting.records += rows + refused
    waiting.dead += refused
    waiting.duplicates += rows - int(np.count_nonzero(new[part.start : part.stop]))
    waiting.next[part.partition] = part.next_offset


def _keep(admitted: Admitted, new: npt.NDArray[np.bool_], taken: int, waiting: Waiting) -> None:
    rows = admitted.rows.slice(0, taken)
    if not new[:taken].all():
        rows = rows.filter(pa.array(new[:taken]))
    if len(rows):
        waiting.tables.append(rows)
