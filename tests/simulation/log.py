"""A log in memory that keeps every promise of `Broker`, on the world's clock, with faults on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from k2core.clock import Clock
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
class SimLog(Broker):
    """All topics of a world. `fault` is called with a name before each step that may fail, and may raise."""

    clock: Clock
    fault: Callable[[str], None] = lambda name: None
    specs: dict[str, TopicSpec] = field(default_factory=dict)
    blocks: dict[Partition, list[LogBlock]] = field(default_factory=dict)
    floor_us: int = 0
    released: dict[str, dict[Partition, int]] = field(default_factory=dict)

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        for spec in specs:
            self.specs.setdefault(spec.name, spec)

    def topics(self) -> Mapping[str, TopicInfo]:
        return {n: TopicInfo(n, f"id-{n}", s.partitions) for n, s in self.specs.items()}

    def producer(self) -> Producer:
        return _SimProducer(self)

    def consumer(self, topics: Sequence[str]) -> Consumer:
        return _SimConsumer(self, tuple(topics))

    def register(self, name: str, topics: Sequence[str]) -> None:
        self.released.setdefault(name, {})

    def release(self, name: str, offsets: Offsets) -> None:
        kept = self.released.setdefault(name, {})
        for partition, offset in offsets.items():
            kept[partition] = max(kept.get(partition, 0), offset)

    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        return {p: b[-1].next_offset for p, b in self.blocks.items() if p[0] in topics}

    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        return {p: b[0].first_offset for p, b in self.blocks.items() if p[0] in topics}

    def closed_until(self, topics: Sequence[str]) -> int:
        self.floor_us = max(self.floor_us, self.clock.now_us() - 1)
        return self.floor_us


class _SimProducer(Producer):
    def __init__(self, log: SimLog) -> None:
        self._log = log

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        log, ends = self._log, {}
        log.fault("produce")
        log.floor_us = max(log.floor_us + 1, log.clock.now_us())
        for batch in batches:
            cuts = np.concatenate([[0], np.cumsum(batch.sizes, dtype=np.int64)])
            for number in np.unique(batch.partitions).tolist():
                rows = np.flatnonzero(batch.partitions == number)
                data = b"".join(batch.data[cuts[r] : cuts[r + 1]] for r in rows)
                there = log.blocks.setdefault((batch.topic, number), [])
                first = there[-1].next_offset if there else 0
                there.append(LogBlock(batch.topic, number, first, batch.version, log.floor_us, batch.sizes[rows], data))
                ends[batch.topic, number] = first + len(rows)
        return ends


class _SimConsumer(Consumer):
    def __init__(self, log: SimLog, topics: tuple[str, ...]) -> None:
        self._log, self._topics = log, topics
        self._at: dict[Partition, int] = {}

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        self._log.fault("poll")
        found: list[LogBlock] = []
        count = 0
        for partition in sorted(p for p in self._log.blocks if p[0] in self._topics):
            for block in self._log.blocks[partition]:
                at = self._at.get(partition, 0)
                if block.next_offset <= at or count >= max_records:
                    continue
                found.append(_cut(block, at))
                self._at[partition] = block.next_offset
                count += len(found[-1])
        return found

    def seek(self, offsets: Offsets) -> None:
        self._at.update(offsets)

    def positions(self) -> Offsets:
        return {p: self._at.get(p, 0) for p in self._log.blocks if p[0] in self._topics}


def _cut(block: LogBlock, at: int) -> LogBlock:
    skip = max(0, at - block.first_offset)
    if not skip:
        return block
    gone = int(block.sizes[:skip].sum())
    return LogBlock(
        block.topic, block.partition, block.first_offset + skip, block.version, block.timestamp_us,
        block.sizes[skip:], block.data[gone:],
    )  # fmt: skip
