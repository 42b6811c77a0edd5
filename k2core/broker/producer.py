"""Appends to the embedded log: one transaction a call, durable and noted before anybody is told.

The line that makes a record durable is the commit at the end of `writing`. Killed before it: nothing landed, and
nobody was told. Killed after it: the records are there; the caller, who was not told, may append them again, which is
what identities are for.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from k2core.broker.catalog import StoredTopic, read_topics
from k2core.broker.database import LogWriteError, reading, translated, used_bytes
from k2core.broker.logfile import LogFile
from k2core.broker.retention import sweep
from k2core.broker.sealed import Tops, read_pulse, read_tops, write_pulse, write_tops
from k2core.broker.segment import Head, body_sum, row_id
from k2core.broker.spans import EPOCH_SHIFT
from k2core.broker.specs import Split, by_partition
from k2core.errors import BrokerError, LogFullError, SchemaError
from k2core.interfaces.broker import EncodedBatch, Offsets, Partition, Producer

_LOOK_AT_WAL = 256
_WAL_BUSY_MS = 50
_ROW_BYTES = 512
_NEAR = 64  # appends of this size by others, between a look at the limit and the write lock, that cannot pass it


@dataclass(frozen=True, slots=True)
class _Part:
    topic: StoredTopic
    version: int
    split: Split
    body_sum: int


class EmbeddedProducer(Producer):
    """Appends on a connection of its own."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._db = file.writer()
        self._topics: dict[str, StoredTopic] = {}
        self._next_sweep_s = 0.0
        self._appends = 0
        self._broken: LogWriteError | None = None

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        """Append batches in one transaction. See `Producer.produce`."""
        if self._broken is not None:
            raise self._broken
        parts = [self._prepare(batch) for batch in batches if len(batch.sizes)]
        if not parts:
            return {}
        began = time.perf_counter()
        try:
            ends = self._append(parts)
        except LogWriteError as error:
            self._broken = error  # a failed sync must not be tried again: the kernel has forgotten the pages
            raise
        metrics = self._file.metrics
        metrics.add("k2_log_appends_total")
        metrics.add("k2_log_appended_bytes_total", sum(len(part.split.data) for part in parts))
        metrics.observe("k2_log_append_seconds", time.perf_counter() - began)
        return ends

    def _prepare(self, batch: EncodedBatch) -> _Part:
        topic = self._topic(batch)
        split = by_partition(batch, topic.partitions)
        return _Part(topic, batch.version, split, body_sum(split))

    def _topic(self, batch: EncodedBatch) -> StoredTopic:
        for fresh in (False, True):
            if fresh:
                with reading(self._db, self._file.path):
                    self._topics = read_topics(self._db)
            topic = self._topics.get(batch.topic)
            if topic is not None and 1 <= batch.version <= len(topic.schemas):
                return topic
        if topic is None:
            raise BrokerError(f"topic {batch.topic} is not in the log {self._file.path}; call ensure_topics first")
        raise SchemaError(f"topic {batch.topic} has schema versions 1 to {len(topic.schemas)}, not {batch.version}")

    def _append(self, parts: list[_Part]) -> Offsets:
        file, db = self._file, self._db
        need = sum(len(part.split.data) + part.split.sizes.nbytes + _ROW_BYTES for part in parts)
        if need > file.settings.append_bytes:
            raise BrokerError(
                f"{need} bytes at once, more than append_bytes = {file.settings.append_bytes}: append less"
            )
        near = self._make_room(need)
        with translated(file.path):
            file.note.reserve()
        ends: dict[Partition, int] = {}
        with file.writing(db):
            if near and used_bytes(db) + need > file.settings.retention_bytes:
                raise LogFullError(
                    f"{file.path}: at its size limit (retention_bytes = {file.settings.retention_bytes}), and nothing may "
                    "be removed before its consumers release it; nothing was appended, start the writer or raise the limit"
                )
            pulse = read_pulse(db)
            pulse = pulse.after(max(pulse.last_us + 1, file.clock.now_us()))
            tops = {part.topic.number: read_tops(db, part.topic.number) for part in parts}
            for part in parts:
                ends |= _insert(db, part, tops[part.topic.number], pulse.last_us, pulse.epoch)
            for top in tops.values():
                write_tops(db, top)
            write_pulse(db, pulse)
        file.acknowledge(pulse.serial)
        self._bound_wal()
        return ends

    def _make_room(self, need: int) -> bool:
        """Remove what may go when it is time to look, or at the limit: a transaction of its own. Is the limit near?"""
        file, db = self._file, self._db
        now_s, limit = file.clock.monotonic(), file.settings.retention_bytes
        with translated(file.path):
            used = used_bytes(db)
        over = used + need > limit
        if over or now_s >= self._next_sweep_s:
            with file.writing(db):
                found = sweep(db, file.settings, file.clock.now_us(), need + limit // 128 if over else 0)
            file.metrics.add("k2_log_removed_segments_total", found.removed)
            self._next_sweep_s = now_s + file.settings.sweep_s if found.done else now_s
        return used + _NEAR * need > limit

    def _bound_wal(self) -> None:
        """Empty the write-ahead log by force where readers kept it from starting again for long."""
        self._appends += 1
        wal = self._file.path.with_name(f"{self._file.path.name}-wal")
        if self._appends % _LOOK_AT_WAL or not wal.exists() or wal.stat().st_size <= self._file.settings.wal_bytes:
            return
        with translated(self._file.path):
            self._db.execute(f"pragma busy_timeout = {_WAL_BUSY_MS}")
            try:
                self._db.execute("pragma wal_checkpoint(truncate)").fetchone()
            finally:
                self._db.execute("pragma busy_timeout = 0")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def _insert(db: sqlite3.Connection, part: _Part, tops: Tops, now_us: int, epoch: int) -> dict[Partition, int]:
    counts = part.split.counts
    held = np.flatnonzero(counts)
    tops.ends[held] = np.maximum(tops.ends[held], epoch << EPOCH_SHIFT) + counts[held]
    head = Head(tops.next, part.topic.number, part.version, now_us, tops.ends, counts, part.body_sum)
    db.execute(
        "insert into segment (id, head, sizes, data) values (?, ?, ?, ?)",
        (row_id(part.topic.number, tops.next), head.pack(), part.split.sizes.tobytes(), part.split.data),
    )
    tops.next += 1
    return {(part.topic.name, p): end for p, end in zip(held.tolist(), tops.ends[held].tolist(), strict=True)}
