"""A log in memory for the writer's tests: every promise of `Broker`, a list per partition, failures on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

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


@dataclass
class MemoryLog(Broker):
    """`fault(name)` is called before `poll` and `produce`, and may raise."""

    now_us: Callable[[], int]
    partitions: int = 2
    fault: Callable[[str], None] = lambda name: None
    ids: dict[str, str] = field(default_factory=dict)
    blocks: dict[Partition, list[LogBlock]] = field(default_factory=dict)
    released: dict[str, dict[Partition, int]] = field(default_factory=dict)
    first: dict[Partition, int] = field(default_factory=dict)

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        for spec in specs:
            self.ids.setdefault(spec.name, f"id-{spec.name}")

    def topics(self) -> Mapping[str, TopicInfo]:
        return {name: TopicInfo(name, number, self.partitions) for name, number in self.ids.items()}

    def producer(self) -> Producer:
        return _MemoryProducer(self)

    def consumer(self, topics: Sequence[str]) -> Consumer:
        return _MemoryConsumer(self, tuple(topics))

    def register(self, name: str, topics: Sequence[str]) -> None:
        self.released.setdefault(name, {})

    def release(self, name: str, offsets: Offsets) -> None:
        self.fault("release")
        self.released.setdefault(name, {}).update(offsets)

    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        return {p: blocks[-1].next_offset for p, blocks in self.blocks.items() if p[0] in topics}

    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        return {p: self.first.get(p, 0) for p in self.blocks if p[0] in topics}

    def closed_until(self, topics: Sequence[str]) -> int:
        return self.now_us() - 1

    def append(self, topic: str, partition: int, version: int, sizes: Sequence[int], data: bytes) -> int:
        """Append one block; returns its first offset."""
        there = self.blocks.setdefault((topic, partition), [])
        first = there[-1].next_offset if there else 0
        stamp = max(self.now_us(), there[-1].timestamp_us if there else 0)
        there.append(LogBlock(topic, partition, first, version, stamp, np.array(sizes, np.uint32), data))
        return first


class _MemoryProducer(Producer):
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        self._log.fault("produce")
        ends: dict[Partition, int] = {}
        for batch in batches:
            cuts = np.concatenate([[0], np.cumsum(batch.sizes, dtype=np.int64)]).tolist()
            for number in sorted(set(batch.partitions.tolist())):
                rows = np.flatnonzero(batch.partitions == number).tolist()
                data = b"".join(batch.data[cuts[r] : cuts[r + 1]] for r in rows)
                sizes = [int(batch.sizes[r]) for r in rows]
                first = self._log.append(batch.topic, number, batch.version, sizes, data)
                ends[batch.topic, number] = first + len(rows)
        return ends


class _MemoryConsumer(Consumer):
    def __init__(self, log: MemoryLog, topics: tuple[str, ...]) -> None:
        self._log, self._topics = log, topics
        self._at: dict[Partition, int] = {}

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        self._log.fault("poll")
        found: list[LogBlock] = []
        for place in sorted(p for p in self._log.blocks if p[0] in self._topics):
            for block in self._log.blocks[place]:
                if sum(map(len, found)) >= max_records:
                    return found
                if block.next_offset > (at := self._at.get(place, 0)):
                    found.append(cut(block, at))
                    self._at[place] = block.next_offset
        return found

    def seek(self, offsets: Offsets) -> None:
        self._at.update(offsets)

    def positions(self) -> Offsets:
        return {p: self._at.get(p, 0) for p in self._log.blocks if p[0] in self._topics}


def cut(block: LogBlock, at: int) -> LogBlock:
    skip = max(0, at - block.first_offset)
    gone = int(block.sizes[:skip].sum())
    return LogBlock(
        block.topic, block.partition, block.first_offset + skip, block.version, block.timestamp_us,
        block.sizes[skip:], block.data[gone:],
    )  # fmt: skip
