"""The log of a world: `MemoryLog` with faults on demand, registered consumers, and retention that heeds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from k2core.clock import Clock
from k2core.interfaces.broker import Consumer, EncodedBatch, LogBlock, Offsets, Partition, Producer
from k2core.testing.memory_log import MemoryLog

Fault = Callable[[str], None]


class SimLog(MemoryLog):
    """All topics of a world.

    Args:
        clock: The world's.
        seen: Told of every block that is appended.
        releasing: Told of every release, and may object.
        slack_s: What everybody released stays so much longer.
        session_s: See `MemoryLog`.
    """

    def __init__(
        self, clock: Clock, seen: Callable[[LogBlock], None], releasing: Callable[[Offsets], None], slack_s: float,
        session_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(clock, session_s=session_s)
        self._releasing = releasing
        self._seen, self._slack_us = seen, int(slack_s * 1e6)
        self._told: list[tuple[int, str, dict[Partition, int]]] = []
        self.registered: set[str] = set()
        self.trims = 0

    def append(self, partition: Partition, version: int, sizes: Sequence[int], data: bytes) -> LogBlock:
        block = super().append(partition, version, sizes, data)
        self._seen(block)
        return block

    def register(self, name: str, topics: Sequence[str]) -> None:
        self.registered.add(name)

    def release(self, name: str, offsets: Offsets) -> None:
        self._releasing(offsets)
        self._told.append((self._clock.now_us(), name, dict(offsets)))

    def unrelease(self) -> None:
        """Nothing was ever released: what an older table needs stays."""
        self._told.clear()

    def retain(self) -> int:
        """Remove what every registered consumer released long enough ago; the number of records."""
        now, gone = self._clock.now_us(), 0
        released: dict[Partition, int] = {}
        for at, _, offsets in self._told:
            if at <= now - self._slack_us:
                released |= {p: max(o, released.get(p, 0)) for p, o in offsets.items()}
        for partition, offset in released.items():
            if partition in self._blocks:
                before = self._blocks[partition][0].first_offset
                self.trim(partition, offset)
                gone += self._blocks[partition][0].first_offset - before
        self.trims += gone > 0
        return gone

    def faulty(self, fault: Fault) -> Producer:
        """A producer that asks `fault` first."""
        return _FaultyProducer(self.producer(), fault)

    def reader(self, topics: Sequence[str], fault: Fault) -> Consumer:
        """A consumer that asks `fault` first."""
        return _FaultyConsumer(self.consumer(topics), fault)


class _FaultyProducer(Producer):
    def __init__(self, inner: Producer, fault: Fault) -> None:
        self._inner, self._fault = inner, fault

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        self._fault("produce")
        ends = self._inner.produce(batches)
        self._fault("produced")
        return ends


class _FaultyConsumer(Consumer):
    def __init__(self, inner: Consumer, fault: Fault) -> None:
        self._inner, self._fault = inner, fault

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        self._fault("poll")
        return self._inner.poll(max_records, timeout)

    def seek(self, offsets: Offsets) -> None:
        self._inner.seek(offsets)

    def only(self, partitions: frozenset[Partition]) -> None:
        self._inner.only(partitions)

    def positions(self) -> Offsets:
        return self._inner.positions()
