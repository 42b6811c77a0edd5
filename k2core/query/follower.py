"""`Follower`: reads the log from a snapshot on and keeps what the table will have and does not have yet.

It puts records through the very functions that the writer uses, so a row seen here is the row that is later stored.
Survives: a poll that fails half way (it reads again from the published ends; judging again gives the same), a table
that cannot be asked (nothing is published), records dropped before they were committed (a hole, read again on demand).
A rollback of the table ends it: `alive` says so, and `Tail` starts another from the new head.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.admission.holes import HoleLedger
from k2core.broker.history import check_history
from k2core.clock import Clock
from k2core.config.settings import QuerySettings
from k2core.interfaces.broker import Broker, LogBlock, Offsets
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.interfaces.query import Snapshot, SourceTable
from k2core.interfaces.shed import ANY
from k2core.query.copies import fresh_ranges
from k2core.query.passed import without_shed
from k2core.query.shorten import shorten
from k2core.query.slices import FEW_BYTES, join
from k2core.query.view import View
from k2core.query.window import Window
from k2core.records.data_type import DataType
from k2core.records.topics import Topic

if TYPE_CHECKING:
    from k2core.admission import Admission, Part

POLL_RECORDS = 16_384

RECENT_POLLS, RECENT_ROWS = 64, 1024
"""So many polls or rows are cut by symbol in one go."""


class RolledBackError(Exception):
    """The table lost the snapshot that a follower built on; start another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a tail of one data type is made of.

    Args:
        data_type: Whose records.
        admission: Log blocks to rows, as the writer does it.
        broker: The log.
        source: The table.
        topics: Every topic that feeds the table.
        settings: Lengths and limits.
        clock: The time.
    """

    data_type: DataType
    admission: Admission
    broker: Broker
    source: SourceTable
    topics: tuple[str, ...]
    settings: QuerySettings
    clock: Clock


@dataclass(frozen=True, slots=True)
class Taken:
    """What one poll brought.

    Args:
        records: Their number.
        rows: The readable ones, duplicates included.
        identities: Of the rows.
        duplicates: Copies among them.
        times: Append time of each block, Unix µs, and its records.
    """

    records: int
    rows: pa.Table
    identities: Sequence[IdentityBatch]
    duplicates: int
    times: Sequence[tuple[int, int]]


class Follower:
    """One run over the log from one snapshot on. Read by one thread; `view` and `judge` by any.

    Args:
        parts: What it is made of.
        ledger: Told of what the table has within the window, so that holes from before are known; None: nobody is.
    """

    def __init__(self, parts: Parts, ledger: HoleLedger | None = None) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._window = Window(int(parts.settings.tail_minutes * 60_000_000))
        self._asked_table = False
        snapshot = parts.source.newest()
        check_history(parts.broker, snapshot, parts.data_type.table or parts.data_type.name)
        self._warm(snapshot, ledger)
        offsets, copies = dict(snapshot.offsets), self._window.copies
        self.view = View(snapshot, offsets, dict(offsets), parts.data_type.order, copies=copies)
        self._consumer = parts.broker.consumer(parts.topics)
        self._seek(snapshot.offsets)
        self.duplicates = self.dead = 0

    def poll(self, timeout: float) -> Taken | None:
        """Read what the log has next, waiting for at most `timeout` seconds, and publish it.

        Returns:
            What was read, None where there was nothing.
        """
        blocks = self._consumer.poll(POLL_RECORDS, timeout)
        if not blocks:
            return None
        try:
            return self._take(blocks)
        except BaseException:
            self._seek(self.view.ends)
            raise

    def alive(self) -> bool:
        """Whether the newest snapshot seen is still in `main`'s ancestry."""
        seen = self.view.seen.id
        return seen is None or self._parts.source.contains_snapshot(seen)

    def see(self) -> bool:
        """Look at the table: what its newest snapshot holds may be forgotten and dropped.

        Returns:
            False where the last seen snapshot was rolled back, or a record was shed of which another was dropped as a
            copy: this follower's answers are void.
        """
        newest = self._parts.source.newest()
        if newest.id != self.view.seen.id and not self.alive():
            return False
        shed, unread = fresh_ranges(newest, self.view.seen.offsets), fresh_ranges(newest, self.view.ends)
        if self.view.undone(newest) or not all(one.rule and ANY not in one.names for one in (*shed, *unread)):
            return False  # what is read next could not be told from what was shed either
        foreign = {p: n for p, n in newest.offsets.items() if p[0] not in self._parts.topics}
        ends = {**self.view.ends, **foreign}
        starts = {**self.view.starts, **foreign}
        with self._lock:
            self._window.forget_shed(shed)
            self._window.forget(self._parts.clock.now_us(), newest.offsets)
            self._window.copies.settle(newest.offsets)
        self.view = self._shortened(replace(self.view, seen=newest, ends=ends, starts=starts))
        return True

    def judge(self, identities: IdentityBatch, *, timeout: float) -> npt.NDArray[np.bool_] | None:
        """Which records, read again, are first copies; None where the window was busy for so long."""
        if not self._lock.acquire(timeout=max(0.0, timeout)):
            return None
        try:
            return self._window.first_copies(identities, self._stored, learn=False)
        finally:
            self._lock.release()

    def highest(self) -> Mapping[Stream, int]:
        """Per stream of numbers, the largest id that the window knows of."""
        return self._window.highest()

    def close(self) -> None:
        """Release the consumer."""
        self._consumer.close()

    def _warm(self, snapshot: Snapshot, ledger: HoleLedger | None) -> None:
        if snapshot.id is None:
            return
        facts = self._parts.admission.facts
        stored = self._parts.source.stored(snapshot).declared(facts)
        now_us = self._parts.clock.now_us()
        for partition in snapshot.offsets:
            if partition[0] in self._parts.topics:
                fact = facts.get(Topic.parse(partition[0]).exchange)
                judged = ledger if fact is not None and fact.ids == "contiguous" else None
                self._window.warm(partition, stored, now_us, judged)

    def _seek(self, offsets: Offsets) -> None:
        self._consumer.seek({p: n for p, n in offsets.items() if p[0] in self._parts.topics})

    def _stored(self, identities: IdentityBatch) -> npt.NDArray[np.bool_]:
        self._asked_table = True
        return self._parts.source.stored().contains(identities)

    def _take(self, blocks: Sequence[LogBlock]) -> Taken:
        view, self._asked_table, known = self.view, False, self.duplicates
        admitted = self._parts.admission.admit(blocks)
        ends = dict(view.ends)
        kept = without_shed(admitted, view.seen.shed) if view.seen.shed else admitted
        fresh = self._first_copies(join(kept.rows), kept.parts)
        for block in blocks:
            ends[block.topic, block.partition] = block.next_offset
        if self._asked_table and not self.alive():
            raise RolledBackError
        self.dead += len(admitted.dead)
        self.view = self._longer(view, ends, fresh)
        identities = [part.identities for part in admitted.parts if part.identities is not None]
        times = [(b.timestamp_us, len(b)) for b in blocks]
        return Taken(sum(map(len, blocks)), admitted.rows, identities, self.duplicates - known, times)

    def _first_copies(self, batch: pa.RecordBatch, parts: Sequence[Part]) -> pa.RecordBatch:
        """The rows that are first copies; they are held from now on."""
        with self._lock:
            fresh = [self._window.first_copies(p.identities, self._stored) for p in parts if p.identities is not None]
        copies = sum(len(one) - int(np.count_nonzero(one)) for one in fresh)
        self.duplicates += copies
        return batch.filter(pa.array(np.concatenate(fresh))) if copies else batch

    def _longer(self, view: View, ends: Offsets, fresh: pa.RecordBatch) -> View:
        """The view with further rows; cut by symbol where a reader has done that already, or many came."""
        n = fresh.num_rows
        settled, recent = (view.lanes, ()) if view.is_cut else (view.settled, view.recent)
        longer = View(
            view.seen, view.starts, ends, view.order, settled, (*recent, fresh) if n else recent,
            view.rows + n, view.size + n * FEW_BYTES, view.copies,
        )  # fmt: skip
        if longer.size > self._parts.settings.tail_bytes:
            return self._shortened(longer)
        if len(longer.recent) >= RECENT_POLLS or sum(b.num_rows for b in longer.recent) >= RECENT_ROWS:
            return replace(longer, settled=longer.lanes, recent=())
        return longer

    def _shortened(self, view: View) -> View:
        settings = self._parts.settings
        before_us = self._parts.clock.now_us() - int(settings.tail_minutes * 60_000_000)
        return shorten(view, before_us, settings.tail_bytes)
