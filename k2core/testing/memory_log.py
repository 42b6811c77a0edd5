"""`MemoryLog`: the log's interface in a few lines of plain Python, the model that real brokers are compared with."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from k2core.clock import Clock
from k2core.errors import OffsetGoneError
from k2core.interfaces.broker import (
    Broker,
    Consumer,
    EncodedBatch,
    LogBlock,
    Offsets,
    Partition,
    Producer,
    TopicInfo,
    TopicSpec,
)


class MemoryLog(Broker):
    """A log in memory; nothing survives the process.

    Args:
        clock: Stamps append times.
    """

    at_once = 1 << 30
    """Records that one poll returns, at most (whole blocks)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._blocks: dict[Partition, list[LogBlock]] = {}
        self._topics: dict[str, TopicInfo] = {}
        self._promised_us = 0
        self.changed = threading.Condition(threading.RLock())

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create what is missing."""
        for spec in specs:
            self._topics.setdefault(spec.name, TopicInfo(spec.name, f"{spec.name}-1", spec.partitions))

    def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic by name."""
        return dict(self._topics)

    def producer(self) -> Producer:
        """A new producer."""
        return _MemoryProducer(self)

    def consumer(self, topics: Sequence[str]) -> Consumer:
        """A new consumer, positioned at 0."""
        return _MemoryConsumer(self, frozenset(topics))

    def register(self, name: str, topics: Sequence[str]) -> None:
        """Nothing is ever removed but by `trim`."""

    def release(self, name: str, offsets: Offsets) -> None:
        """Nothing is ever removed but by `trim`."""

    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        """Next offsets."""
        with self.changed:
            return {p: b[-1].next_offset for p, b in self._blocks.items() if p[0] in topics and b}

    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        """First offsets."""
        with self.changed:
            return {p: b[0].first_offset for p, b in self._blocks.items() if p[0] in topics and b}

    def closed_until(self, topics: Sequence[str]) -> int:
        """Promises, and keeps, that nothing is appended at or before the last microsecond."""
        with self.changed:
            self._promised_us = max(self._promised_us, self._clock.now_us() - 1)
            return self._promised_us

    def append(self, partition: Partition, version: int, sizes: Sequence[int], data: bytes) -> LogBlock:
        """Append one block."""
        with self.changed:
            blocks = self._blocks.setdefault(partition, [])
            last = blocks[-1].timestamp_us if blocks else 0
            at_us = max(last, self._promised_us + 1, self._clock.now_us())
            first = blocks[-1].next_offset if blocks else 0
            block = LogBlock(*partition, first, version, at_us, np.array(sizes, np.uint32), data)
            blocks.append(block)
            self.changed.notify_all()
            return block

    def trim(self, partition: Partition, below: int) -> None:
        """Remove blocks that lie wholly below an offset, but never the last."""
        with self.changed:
            blocks = self._blocks[partition]
            while len(blocks) > 1 and blocks[0].next_offset <= below:
                del blocks[0]

    def read(self, topics: frozenset[str], positions: dict[Partition, int], most: int) -> list[LogBlock]:
        """Blocks from positions on; moves the positions."""
        found: list[LogBlock] = []
        for partition, blocks in self._blocks.items():
            if partition[0] not in topics or not blocks:
                continue
            at = positions.get(partition, 0)
            if at < blocks[0].first_offset:
                raise OffsetGoneError(f"{partition}: offset {at} is gone, the log starts at {blocks[0].first_offset}")
            for block in blocks:
                if block.next_offset > at and sum(map(len, found)) < min(most, self.at_once):
                    found.append(_cut(block, at))
                    positions[partition] = at = block.next_offset
        return found


def _cut(block: LogBlock, at: int) -> LogBlock:
    skip = max(0, at - block.first_offset)
    gone = int(block.sizes[:skip].sum())
    return LogBlock(
        block.topic, block.partition, block.first_offset + skip, block.version, block.timestamp_us,
        block.sizes[skip:], block.data[gone:],
    )  # fmt: skip


class _MemoryProducer(Producer):
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        ends: dict[Partition, int] = {}
        for batch in batches:
            cuts = np.concatenate([[0], np.cumsum(batch.sizes, dtype=np.int64)])
            for partition in np.unique(batch.partitions).tolist():
                at = np.flatnonzero(batch.partitions == partition)
                data = b"".join(batch.data[cuts[i] : cuts[i + 1]] for i in at)
                place = (batch.topic, partition)
                ends[place] = self._log.append(place, batch.version, batch.sizes[at].tolist(), data).next_offset
        return ends


class _MemoryConsumer(Consumer):
    def __init__(self, log: MemoryLog, topics: frozenset[str]) -> None:
        self._log, self._topics = log, topics
        self._at: dict[Partition, int] = {}

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        with self._log.changed:
            found = self._log.read(self._topics, self._at, max_records)
            if not found and timeout > 0:
                self._log.changed.wait(timeout)
                found = self._log.read(self._topics, self._at, max_records)
            return found

    def seek(self, offsets: Offsets) -> None:
        self._at.update(offsets)

    def positions(self) -> Offsets:
        return dict(self._at)
