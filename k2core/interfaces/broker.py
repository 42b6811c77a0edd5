"""The log: `Broker`, `Producer`, `Consumer`, and the blocks of encoded records that pass through them.

The log keeps encoded records and knows nothing of what is in them. A record's position is (topic, partition,
offset); a partition's offsets rise by one, except that recovery may skip ahead (a new log epoch).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from k2core.errors import BrokerError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from k2core.interfaces.checks import Finding
    from k2core.interfaces.sharing import Leaving, Membership

Partition = tuple[str, int]
"""(topic name, partition number)."""

Offsets = Mapping[Partition, int]
"""Next offset per partition; an absent partition counts as 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic that is needed.

    Args:
        name: Full name.
        partitions: Their number; fixed once the topic exists.
        subject: Schema subject of its values (`TopicNameStrategy`: `{name}-value`).
        schemas: The subject's lineage as canonical JSON texts, oldest first.
    """

    name: str
    partitions: int
    subject: str
    schemas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as the log has it: its unique id changes when it is created anew."""

    name: str
    id: str
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerInfo:
    """A registered consumer, as the log has it.

    Args:
        name: The name it registered under.
        released: By partition of its topics, what it needs nothing below any more.
        released_us: When it last released anything, Unix µs; 0 where it never did.
    """

    name: str
    released: Offsets
    released_us: int = 0


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Encoded records of one topic and one schema, in order.

    Args:
        topic: Topic name.
        version: Schema version, 1 … newest of the topic's lineage.
        partitions: Partition of each record, int32[n].
        sizes: Bytes of each datum, uint32[n].
        data: The Avro datums joined, without any framing.
    """

    topic: str
    version: int
    partitions: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.uint32]
    data: bytes


@dataclass(frozen=True, slots=True)
class LogBlock:
    """Consecutive records of one partition, as read from the log.

    Args:
        topic: Topic name.
        partition: Partition number.
        first_offset: Offset of the first record; the others follow without holes.
        version: Writer's schema version in the topic's lineage, or 0 where it is not of that lineage.
        timestamp_us: Append time, Unix µs, one for the block; never falls within a partition.
        sizes: Bytes of each datum, uint32[n].
        data: The datums joined.
    """

    topic: str
    partition: int
    first_offset: int
    version: int
    timestamp_us: int
    sizes: npt.NDArray[np.uint32]
    data: bytes

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def next_offset(self) -> int:
        """The offset after this block's last record."""
        return self.first_offset + len(self.sizes)


class Producer(ABC):
    """Appends to the log. Blocks; call it off the event loop. One thread at a time."""

    @abstractmethod
    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        """Append batches, all or none; they are durable when this returns.

        Returns:
            The next offset of every partition that was written to.

        Raises:
            LogFullError: No space, or the log is at its size limit; nothing was appended, try again later.
            LogBusyError: The write lock could not be had in time; nothing was appended.
            BrokerError: Anything else; what was appended is unknown.
        """

    def close(self) -> None:
        """Release what is held."""


class Consumer(ABC):
    """Reads the log from given positions. One thread at a time."""

    @abstractmethod
    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        """The next blocks of all partitions, in log order per partition; whole blocks, at least one if there is one.

        Args:
            max_records: Stop after the block that reaches it.
            timeout: Seconds to wait for the first block; 0 returns at once.

        Raises:
            LogCorruptError: A block's bytes are not what was written.
            OffsetGoneError: Retention passed this consumer's position.
        """

    @abstractmethod
    def seek(self, offsets: Offsets) -> None:
        """Read on from these next offsets (may lie within a block: it is then cut)."""

    def only(self, partitions: frozenset[Partition]) -> None:
        """Read these partitions alone from now on: those that come in from where `seek` puts them next, before any poll;
        those that stay without a break. Called by who shares partitions with others; a log that shares none may read on
        all of them.
        """

    @abstractmethod
    def positions(self) -> Offsets:
        """Next offset of every partition that this consumer reads."""

    def close(self) -> None:
        """Release what is held."""


@dataclass(frozen=True, slots=True)
class TopicChange:
    """One thing that is not as it should be, or not there.

    Args:
        kind: `topic`, `setting`, `subject`, `compatibility` …
        name: Of the topic or subject.
        have: What there is; empty where nothing is.
        want: What is wanted.
        refused: Why it cannot be done, where it cannot: applying raises this.
    """

    kind: str
    name: str
    have: str
    want: str
    refused: str = ""


class Broker(ABC):
    """A log. Opened and closed as a context manager; safe to use from several threads, each with its own consumer."""

    makes_topics: ClassVar[bool] = True
    """Whether topics are made by who writes first. False: `k2 topics apply` makes them, ahead of time, and nothing else."""

    def plan(self, specs: Sequence[TopicSpec]) -> Sequence[TopicChange]:
        """What `ensure_topics` would do; changes nothing.

        Raises:
            BrokerError: The log cannot be reached.
        """
        return ()

    def findings(self) -> Iterable[Finding]:
        """What `k2 doctor` should know of the log and what stands behind it; within its time, also where parts are away."""
        return ()

    def join(self, name: str, topics: Sequence[str], leaving: Leaving | None = None) -> Membership:
        """Share the partitions of `topics` with every other process that joins under this name.

        A log whose readers are all on one machine shares nothing: the newest owner has all.

        Args:
            name: The group.
            topics: Whose partitions are shared out.
            leaving: Called within `Membership.partitions`, before partitions are given up: the last moment to commit.
        """
        from k2core.interfaces.sharing import AllPartitions

        return AllPartitions(self, topics)

    @abstractmethod
    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create what is missing, register newer schemas of a lineage; returns when all partitions can be written to.

        Raises:
            TopicChangedError: A topic exists with another number of partitions.
            SchemaError: The subject's lineage in the log is not a prefix of (or equal to) the given one.
        """

    @abstractmethod
    def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic by name."""

    @abstractmethod
    def producer(self) -> Producer:
        """A new producer."""

    @abstractmethod
    def consumer(self, topics: Sequence[str]) -> Consumer:
        """A new consumer of all partitions of `topics`, positioned at 0; retention does not heed it (see `register`)."""

    @abstractmethod
    def register(self, name: str, topics: Sequence[str]) -> None:
        """Make a named consumer known: retention keeps what it has not released. Again: adds topics."""

    @abstractmethod
    def release(self, name: str, offsets: Offsets) -> None:
        """A registered consumer needs nothing below these next offsets any more (they never go down)."""

    def consumers(self) -> Mapping[str, ConsumerInfo]:
        """Every registered consumer by name; empty for a log that keeps none."""
        return {}

    def unregister(self, name: str) -> None:
        """Forget a consumer: retention waits for it no longer.

        Raises:
            BrokerError: There is none of that name.
        """
        raise BrokerError(f"this log has no registered consumer {name!r}")

    def exists(self) -> bool:
        """Whether there is a log; asked before it is opened, by those who only read and must not make one."""
        return True

    @abstractmethod
    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        """Next offset of every partition of `topics` that has ever had a record: the log's ends H."""

    @abstractmethod
    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        """First offset still held, of every partition that has ever had a record."""

    @abstractmethod
    def closed_until(self, topics: Sequence[str]) -> int:
        """A time T, Unix µs: no record of `topics` will ever be appended with a timestamp at or below it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release what is held."""
