"""Reading: blocks in the order they were appended, each verified, each partition without holes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from k2core.broker import state as rows
from k2core.broker.file import ADVICE, connect, translated
from k2core.broker.settings import EmbeddedSettings
from k2core.broker.state import EPOCH_BITS
from k2core.errors import LogCorruptError, OffsetGoneError
from k2core.interfaces.broker import Consumer, LogBlock, Offsets, Partition

FASTEST_S, SLOWEST_S = 0.002, 0.008
"""Pauses between two looks for new records: short after some came, longer while none do."""


class EmbeddedConsumer(Consumer):
    """Reads all partitions of some topics."""

    def __init__(self, settings: EmbeddedSettings, topics: Sequence[str]) -> None:
        self._settings, self._names = settings, tuple(topics)
        self._db = connect(settings)
        self._cached = rows.Cached(self._db)
        self._at: dict[Partition, int] = {}
        self._after: int | None = None  # id of the last block read; None: to be found from the offsets
        self._seen = -1
        self._pause_s = FASTEST_S

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        """The next blocks, waiting for the first one for at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            with translated(self._settings.path):
                version = self._cached.version()
                found = [] if version == self._seen else self._snapshot(max_records)
            if found:
                self._pause_s = FASTEST_S
                return found
            self._seen = version
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            time.sleep(min(self._pause_s, left))
            self._pause_s = min(SLOWEST_S, self._pause_s * 1.2)

    def seek(self, offsets: Offsets) -> None:
        """Read on from these offsets."""
        self._at.update(offsets)
        self._after, self._seen = None, -1

    def positions(self) -> Offsets:
        """Next offset of every partition that has been read from, sought to, or has records."""
        with translated(self._settings.path):
            state = self._cached.get()
        known = {(t.name, part): 0 for t in state.topics.values() if t.name in self._names
                 for part in range(t.partitions) if (t.number, part) in state.ends}  # fmt: skip
        return known | self._at

    def _snapshot(self, max_records: int) -> list[LogBlock]:
        """What one consistent state of the file has: ends and blocks of the same moment."""
        self._db.execute("begin")
        try:
            return list(self._read(max_records))
        finally:
            self._db.execute("rollback")

    def _read(self, max_records: int) -> Iterator[LogBlock]:
        state = self._cached.get()
        topics = {t.number: t for t in state.topics.values() if t.name in self._names}
        if not topics:
            return
        if self._after is None:
            self._after = self._start(state, topics)
        marks = ",".join(map(str, topics))
        asked = f"select * from blocks where id > ? and topic in ({marks}) order by id"  # noqa: S608 - numbers of our own
        count = 0
        for row in self._db.execute(asked, (self._after,)):
            block = self._verified(row, topics[row[1]])
            self._after = row[0]
            if block is not None:
                yield block
                count += len(block)
                if count >= max_records:
                    return

    def _start(self, state: rows.State, topics: dict[int, rows.StoredTopic]) -> int:
        """Id of a block before everything that is wanted."""
        found = []
        for (topic, part), end in state.ends.items():
            if topic in topics:
                at = self._at.get((topics[topic].name, part), 0)
                self._check_held(topics[topic].name, part, at, end)
                if at < end.next:
                    asked = (
                        "select id from marks where topic = ? and part = ? and first <= ? order by first desc limit 1"
                    )
                    mark = self._db.execute(asked, (topic, part, at)).fetchone()
                    found.append(mark[0] - 1 if mark else 0)
        return min(found, default=self._newest())

    def _newest(self) -> int:
        return int(self._db.execute("select coalesce(max(id), 0) from blocks").fetchone()[0])

    def _check_held(self, name: str, part: int, at: int, end: rows.End) -> None:
        if at < end.below:
            raise OffsetGoneError(
                f"{name}/{part}: offset {at} is gone, the log holds {end.below} and later: retention removed it before "
                "this consumer was registered, or the table was restored from an old copy"
            )
        if at > end.next:
            raise LogCorruptError(f"{name}/{part}: the log ends at {end.next}, but {at} was read or stored: {ADVICE}")

    def _verified(self, row: tuple[object, ...], topic: rows.StoredTopic) -> LogBlock | None:
        """A block whose bytes are what was written, cut to what is wanted; None where it was read already."""
        _, number, part, first, count, version, at_us, sum_, sizes, data = row
        if rows.crc((number, part, first, count, version, at_us), sizes, data) != sum_:
            raise LogCorruptError(f"{topic.name}/{part}: the block at offset {first} is not what was written: {ADVICE}")
        block = LogBlock(topic.name, int(part), int(first), int(version), int(at_us), np.frombuffer(sizes, "<u4"), data)  # type: ignore[arg-type,call-overload]
        place = (topic.name, block.partition)
        at = self._at.get(place, 0)
        if block.next_offset <= at:
            return None
        if block.first_offset > at and block.first_offset & ((1 << EPOCH_BITS) - 1):
            self._explain_hole(topic, block, at)
        self._at[place] = block.next_offset
        return _cut(block, at)

    def _explain_hole(self, topic: rows.StoredTopic, block: LogBlock, at: int) -> None:
        end = self._cached.get().ends.get((topic.number, block.partition))
        if end is not None and at < end.below:
            self._check_held(topic.name, block.partition, at, end)
        raise LogCorruptError(
            f"{topic.name}/{block.partition}: offsets {at} to {block.first_offset - 1} are missing in the log: {ADVICE}"
        )

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def _cut(block: LogBlock, at: int) -> LogBlock:
    """The part of a block from offset `at` on."""
    skip = at - block.first_offset
    if skip <= 0:
        return block
    gone = int(block.sizes[:skip].sum(dtype=np.int64))
    return LogBlock(
        block.topic, block.partition, at, block.version, block.timestamp_us, block.sizes[skip:], block.data[gone:]
    )
