"""`MemoryLog`: the log's interface in plain Python, the model that real brokers are compared with; faults on demand.

Nothing survives the process. Everything else that `BrokerSuite` asks of a log is kept, retention included.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from k2core.clock import Clock
from k2core.errors import BrokerError, OffsetGoneError, SchemaError, TopicChangedError
from k2core.interfaces.broker import (
    Broker,
    Consumer,
    ConsumerInfo,
    EncodedBatch,
    LogBlock,
    Offsets,
    Partition,
    Producer,
    TopicInfo,
    TopicSpec,
)
from k2core.interfaces.sharing import Leaving, Membership
from k2core.testing.sharing import Group, GroupMembership


class MemoryLog(Broker):
    """A log in memory.

    Args:
        clock: Stamps append times.
        fault: Called with `poll`, `produce` or `release` before each, and may raise.
        retention_s: Blocks older than this go when something is appended, if every registered consumer released them;
            None keeps all that `trim` does not remove.
        number: Ends every topic's id: two logs with different numbers have different topics of one name.
        session_s: Partitions are shared by all who join under a name; whoever asks for nothing for so long is gone. None:
            the log shares nothing.

    Attributes:
        blocks: What the log holds, by partition.
        released: Next offsets that each registered consumer released.
        first: What a test says retention removed: the first offset held, by partition.
        changed: Notified at every append; whoever holds it stops the log.
    """

    at_once = 1 << 30
    """Records that one poll returns, at most (whole blocks)."""

    def __init__(
        self, clock: Clock, *, fault: Callable[[str], None] | None = None, retention_s: float | None = None,
        number: int = 1, session_s: float | None = None,
    ) -> None:  # fmt: skip
        self.fault = fault or _nothing
        self.changed = threading.Condition(threading.RLock())
        self.released: dict[str, dict[Partition, int]] = {}
        self.first: dict[Partition, int] = {}
        self._clock, self._retention_s, self._number = clock, retention_s, number
        self._blocks: dict[Partition, list[LogBlock]] = {}
        self._topics: dict[str, TopicInfo] = {}
        self._schemas: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, set[str]] = {}
        self._promised_us = 0
        self._session_s = session_s
        self._groups: dict[str, Group] = {}
        self._joined = 0

    @property
    def blocks(self) -> dict[Partition, list[LogBlock]]:
        """What the log holds, by partition."""
        return self._blocks

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create what is missing, all or none."""
        for spec in specs:
            self._require_same(spec)
        for spec in specs:
            self._topics.setdefault(spec.name, TopicInfo(spec.name, f"{spec.name}-{self._number}", spec.partitions))
            self._schemas[spec.name] = spec.schemas

    def _require_same(self, spec: TopicSpec) -> None:
        there, lineage = self._topics.get(spec.name), self._schemas.get(spec.name, ())
        if there and there.partitions != spec.partitions:
            raise TopicChangedError(f"topic {spec.name} has {there.partitions} partitions, not {spec.partitions}")
        if spec.schemas[: len(lineage)] != lineage:
            raise SchemaError(f"topic {spec.name} has other schemas in the log")

    def recreate(self, topic: str, topic_id: str) -> None:
        """A topic as if it had been made anew: another id, no records."""
        self._topics[topic] = TopicInfo(topic, topic_id, self._topics[topic].partitions)

    def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic by name."""
        return dict(self._topics)

    def producer(self) -> Producer:
        """A new producer."""
        return _MemoryProducer(self)

    def consumer(self, topics: Sequence[str]) -> Consumer:
        """A new consumer, positioned at 0."""
        self._require_known(topics)
        return _MemoryConsumer(self, frozenset(topics))

    def _require_known(self, topics: Sequence[str]) -> None:
        if missing := sorted(set(topics) - set(self._topics)) if self._topics else []:
            raise BrokerError(f"no topic {', '.join(missing)} in this log; call ensure_topics first")

    def join(self, name: str, topics: Sequence[str], leaving: Leaving | None = None) -> Membership:
        """A place among those who share the topics' partitions; all of them where nothing is shared."""
        if self._session_s is None:
            return super().join(name, topics, leaving)
        group = self._groups.setdefault(name, Group(self._session_s))
        self._joined += 1

        def every() -> list[Partition]:
            return [(t, n) for t in topics if t in self._topics for n in range(self._topics[t].partitions)]

        @contextlib.contextmanager
        def state() -> Iterator[Group]:
            with self.changed:
                yield group

        return GroupMembership(state, f"{self._joined:06d}", every, leaving, self._clock)

    def register(self, name: str, topics: Sequence[str]) -> None:
        """Keep what this consumer has not released of these topics."""
        self._require_known(topics)
        self.released.setdefault(name, {})
        self._names.setdefault(name, set()).update(topics)

    def release(self, name: str, offsets: Offsets) -> None:
        """A consumer needs nothing below these offsets."""
        self.fault("release")
        held = self.released.setdefault(name, {})
        held.update({p: max(o, held.get(p, 0)) for p, o in offsets.items()})

    def consumers(self) -> Mapping[str, ConsumerInfo]:
        """Every registered consumer."""
        return {name: ConsumerInfo(name=name, released=dict(held)) for name, held in self.released.items()}

    def unregister(self, name: str) -> None:
        """Forget a consumer."""
        if self.released.pop(name, None) is None:
            raise BrokerError(f"there is no consumer {name!r}")
        self._names.pop(name, None)

    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        """Next offsets."""
        with self.changed:
            return {p: b[-1].next_offset for p, b in self._blocks.items() if p[0] in topics and b}

    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        """First offsets."""
        with self.changed:
            return {p: self._start(p) for p, b in self._blocks.items() if p[0] in topics and b}

    def _start(self, partition: Partition) -> int:
        return max(self._blocks[partition][0].first_offset, self.first.get(partition, 0))

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

    def check(self, batch: EncodedBatch) -> None:
        """Refuse what does not fit its topic.

        Raises:
            BrokerError: There is no such topic.
            SchemaError: Or no such version or partition of it.
        """
        self._require_known([batch.topic])
        topic, lineage = self._topics.get(batch.topic), self._schemas.get(batch.topic)
        if lineage and not 1 <= batch.version <= len(lineage):
            raise SchemaError(f"topic {batch.topic} has schema versions 1 to {len(lineage)}, not {batch.version}")
        if topic and len(batch.partitions) and not 0 <= batch.partitions.min() <= batch.partitions.max() < topic.partitions:  # fmt: skip
            raise SchemaError(f"topic {batch.topic} has partitions 0 to {topic.partitions - 1}")

    def retain(self) -> None:
        """Remove what is old and released by everybody who registered for its topic."""
        if self._retention_s is None:
            return
        before_us = self._clock.now_us() - int(self._retention_s * 1e6)
        for partition, blocks in self._blocks.items():
            wanting = [name for name, topics in self._names.items() if partition[0] in topics]
            free = min((self.released[name].get(partition, 0) for name in wanting), default=1 << 62)
            old = [b for b in blocks if b.timestamp_us < before_us and b.next_offset <= free]
            self.trim(partition, max((b.next_offset for b in old), default=0))

    def trim(self, partition: Partition, below: int) -> None:
        """Remove blocks that lie wholly below an offset, but never the last."""
        with self.changed:
            blocks = self._blocks[partition]
            while len(blocks) > 1 and blocks[0].next_offset <= below:
                del blocks[0]

    def read(
        self, topics: frozenset[str], positions: dict[Partition, int], most: int,
        only: frozenset[Partition] | None = None,
    ) -> list[LogBlock]:  # fmt: skip
        """Blocks from positions on; moves the positions."""
        found: list[LogBlock] = []
        for partition, blocks in self._blocks.items():
            if partition[0] not in topics or not blocks or (only is not None and partition not in only):
                continue
            at = positions.get(partition, 0)
            if at < (start := self._start(partition)):
                raise OffsetGoneError(f"{partition}: offset {at} is gone, the log starts at {start}")
            if at > blocks[-1].next_offset:
                raise OffsetGoneError(f"{partition}: ends at {blocks[-1].next_offset}, {at} was never given out")
            for block in blocks:
                if block.next_offset > at and sum(map(len, found)) < min(most, self.at_once):
                    found.append(cut(block, at))
                    positions[partition] = at = block.next_offset
        return found


def cut(block: LogBlock, at: int) -> LogBlock:
    """A block from an offset on."""
    skip = max(0, at - block.first_offset)
    gone = int(block.sizes[:skip].sum())
    return LogBlock(
        block.topic, block.partition, block.first_offset + skip, block.version, block.timestamp_us,
        block.sizes[skip:], block.data[gone:],
    )  # fmt: skip


def _nothing(name: str) -> None:
    """No fault."""


class _MemoryProducer(Producer):
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        log = self._log
        log.fault("produce")
        for batch in batches:
            log.check(batch)
        ends: dict[Partition, int] = {}
        with log.changed:
            for batch in batches:
                cuts = np.concatenate([[0], np.cumsum(batch.sizes, dtype=np.int64)])
                for partition in np.unique(batch.partitions).tolist():
                    at = np.flatnonzero(batch.partitions == partition)
                    data = b"".join(batch.data[cuts[i] : cuts[i + 1]] for i in at)
                    place = (batch.topic, partition)
                    ends[place] = log.append(place, batch.version, batch.sizes[at].tolist(), data).next_offset
            log.retain()
        return ends


class _MemoryConsumer(Consumer):
    def __init__(self, log: MemoryLog, topics: frozenset[str]) -> None:
        self._log, self._topics = log, topics
        self._at: dict[Partition, int] = {}
        self._only: tuple[frozenset[Partition], ...] = ()

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        self._log.fault("poll")
        found: list[LogBlock] = []

        def look() -> bool:
            found.extend(self._log.read(self._topics, self._at, max_records, *self._only))
            return bool(found)

        with self._log.changed:
            if not look() and timeout > 0:
                self._log.changed.wait_for(look, timeout)
        return found

    def seek(self, offsets: Offsets) -> None:
        self._at.update(offsets)

    def only(self, partitions: frozenset[Partition]) -> None:
        self._only = (partitions,)

    def positions(self) -> Offsets:
        topics = {name: info.partitions for name, info in self._log.topics().items() if name in self._topics}
        every = {(name, p): 0 for name, partitions in topics.items() for p in range(partitions)}
        return {p: o for p, o in {**every, **self._at}.items() if all(p in only for only in self._only)}
