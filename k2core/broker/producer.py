"""Appending: one transaction an append; the `commit` in `writing` is what makes records durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from k2core.broker import state as rows
from k2core.broker.file import connect, translated, writing
from k2core.broker.retention import Retention
from k2core.broker.settings import EmbeddedSettings
from k2core.broker.specs import split
from k2core.clock import Clock
from k2core.errors import BrokerError, LogFullError
from k2core.interfaces.broker import EncodedBatch, Offsets, Producer

MARK_EVERY = 64
"""A mark is set so often, in appends that touch a partition: a seek scans as many blocks of it at most."""


@dataclass(frozen=True, slots=True)
class _Block:
    key: tuple[int, int]
    name: str
    first: int
    row: tuple[object, ...]


class EmbeddedProducer(Producer):
    """Appends to the file. Keeps the ends in memory while nobody else commits."""

    def __init__(self, settings: EmbeddedSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._db = connect(settings)
        self._cached = rows.Cached(self._db)
        self._retention = Retention(self._db, settings, clock)
        self._since: dict[tuple[int, int], int] = {}

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        """Append batches, all or none."""
        self._make_room()
        try:
            with writing(self._db, self._settings.path):
                state = self._cached.get()
                at_us = max(self._clock.now_us(), state.last_us, state.floor_us + 1)
                blocks = [block for batch in batches for block in self._blocks(batch, state, at_us)]
                self._insert(blocks, state, at_us)
        except BaseException:
            self._cached.forget()
            raise
        ends = {(b.name, b.key[1]): state.ends[b.key].next for b in blocks}
        self._cached.get()
        return ends

    def _blocks(self, batch: EncodedBatch, state: rows.State, at_us: int) -> list[_Block]:
        topic = state.topics.get(batch.topic)
        if topic is None:
            raise BrokerError(f"topic {batch.topic} does not exist: `ensure_topics` makes it")
        out = []
        for part, sizes, data in split(batch):
            if not 0 <= part < topic.partitions:
                raise BrokerError(f"{batch.topic} has partitions 0 to {topic.partitions - 1}, not {part}")
            end = state.ends.setdefault((topic.number, part), rows.End(0, 0))
            first, raw = max(end.next, state.base), np.ascontiguousarray(sizes, "<u4").tobytes()
            head = (topic.number, part, first, len(sizes), batch.version, at_us)
            out.append(_Block(head[:2], batch.topic, first, (*head, rows.crc(head, raw, data), raw, data)))
            end.next = first + len(sizes)
        return out

    def _insert(self, blocks: list[_Block], state: rows.State, at_us: int) -> None:
        db, marks = self._db, []
        asked = "insert into blocks (topic, part, first, count, version, at_us, crc, sizes, data) values (?,?,?,?,?,?,?,?,?)"
        for block in blocks:
            done = db.execute(asked, block.row)
            count = self._since.get(block.key, 0)
            if count % MARK_EVERY == 0:
                marks.append((*block.key, block.first, done.lastrowid))
            self._since[block.key] = count + 1
        if marks:
            db.executemany("insert or replace into marks values (?, ?, ?, ?)", marks)
        rows.put_ends(db, {b.key: state.ends[b.key] for b in blocks})
        state.facts["last_us"] = at_us
        rows.put_fact(db, "last_us", at_us)

    def _make_room(self) -> None:
        with translated(self._settings.path):
            used = self._retention.used_bytes()
            if self._retention.due(used):
                self._retention.run()
                self._cached.forget()
                used = self._retention.used_bytes()
        if used >= self._settings.retention_bytes:
            raise LogFullError(
                f"the log {self._settings.path} is at its limit of {self._settings.retention_bytes:,} bytes and every "
                "record is still needed: let `k2 write` catch up, or raise [broker] retention_bytes"
            )

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
