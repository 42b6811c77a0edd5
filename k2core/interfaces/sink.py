"""`Sink` and `SinkTable`: where rows are kept, with the log's offsets in the same atomic commit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from k2core.errors import SinkError
from k2core.interfaces.shed import Shed

if TYPE_CHECKING:
    import pyarrow as pa

    from k2core.interfaces.broker import Offsets, Partition
    from k2core.interfaces.dedup import StoredIdentities
    from k2core.records.data_type import DataType


@dataclass(frozen=True, slots=True, order=True)
class Gone:
    """Records of one partition that retention removed before the table had them.

    Args:
        topic: Topic name.
        partition: Partition number.
        first_offset: The first of them.
        next_offset: Behind the last of them: where the table goes on.
        before_us: They were appended before this, Unix µs; None where that is not known.
    """

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    before_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """What a commit says of the log besides offsets. A sink keeps it and understands none of it.

    Args:
        stamps: Per partition the stamp of the record before its new offset: proof, later on, that a log is this log.
        gone: Ranges that this commit passes without having them.
        shed: Ranges with records that this commit passes under load without storing them.
    """

    stamps: Mapping[Partition, str] = field(default_factory=dict)
    gone: tuple[Gone, ...] = ()
    shed: tuple[Shed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a table says of itself at its newest snapshot.

    Args:
        snapshot_id: None while nothing was ever committed.
        offsets: Next offset per partition whose records the table (or a dead letter) accounts for.
        topic_ids: Id of every topic that ever fed the table, as the log had it.
        stamps: Per partition the stamp of the record before that offset, as `commit` was given it; absent where it was
            given none.
        gone: Every range of records that the table passed without having them, because the log had them no more.
        shed: Every range with records that the table passed under load without storing them, as `merged_shed` joins them.
    """

    snapshot_id: int | None
    offsets: Offsets
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    stamps: Mapping[Partition, str] = field(default_factory=dict)
    gone: tuple[Gone, ...] = ()
    shed: tuple[Shed, ...] = ()


@dataclass(frozen=True, slots=True)
class Ownership:
    """Proof of having taken partitions over; every commit is conditioned on it.

    Args:
        token: Unique for this taking-over.
        partitions: What is owned.
    """

    token: str
    partitions: frozenset[Partition]


@dataclass(frozen=True, slots=True)
class Staged:
    """Files that are written and durable but in no snapshot yet; `files` is the sink's own."""

    rows: int
    bytes: int
    files: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceReport:
    """What maintenance did, or with `dry_run` would do: counts and bytes by name, as `files_compacted`."""

    dry_run: bool
    counts: Mapping[str, int]


class SinkTable(ABC):
    """One table, of one data type. Synchronous; one thread at a time, except `maintain`, which may run beside."""

    @abstractmethod
    def head(self) -> Head:
        """Read the newest snapshot of `main` and the offsets in it.

        Raises:
            SinkError: The table cannot be read, or a foreign append hides the offsets.
        """

    @abstractmethod
    def take_over(self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str) -> Ownership:
        """Become the owner of partitions at once, without waiting for whoever had them.

        Args:
            partitions: What to own.
            topic_ids: The topics' ids as the log has them.
            owner: Who is taking over, for the message that the fenced one prints (host, pid).
        """

    def take_more(
        self, owned: Ownership, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str
    ) -> Ownership:
        """Become the owner of further partitions; what is owned already goes on, under whatever token is returned.

        Args:
            owned: What is owned; may hold no partition.
            partitions: What to own besides.
            topic_ids: The topics' ids as the log has them.
            owner: As in `take_over`.

        Raises:
            FencedError: Somebody took over some of what was owned; nothing changed.
        """
        if owned.partitions:
            self.check_owned(owned)
        return self.take_over(owned.partitions | partitions, topic_ids, owner)

    def check_owned(self, owned: Ownership) -> None:
        """Learn without a commit whether somebody took over: an idle writer asks now and then.

        Raises:
            FencedError: Someone else's token stands on some of the partitions.
        """

    @abstractmethod
    def stage(self, rows: pa.Table) -> Staged:
        """Write rows (`DataType.table_schema`) to files and make them durable; nothing is visible yet."""

    @abstractmethod
    def commit(
        self, staged: Staged, owned: Ownership, expect: Offsets, offsets: Offsets, facts: LogFacts | None = None
    ) -> Head:
        """Make staged rows and the new offsets visible in one atomic step.

        Args:
            staged: From `stage`; may hold no rows.
            owned: From `take_over`.
            expect: The owned partitions' next offsets, as the table must have them.
            offsets: The owned partitions' next offsets after the commit; others keep theirs.
            facts: Kept with the offsets: `Head.stamps` gives each stamp back until its partition's offset moves again,
                `Head.gone` gives ranges back for ever, `Head.shed` gives `merged_shed(before, facts.shed)`. None: there are
                none.

        Raises:
            FencedError: Someone else's token stands on some of the partitions; nothing landed.
            CommitConflictError: The token is ours but offsets are not `expect`; nothing landed: restart from the head.
            CommitUnknownError: The outcome could not be learned; look at the head.
        """

    def restore(self, done: Sequence[Shed]) -> Head:
        """Note, in one atomic step, that shed records are back in the table, or lost: `restored_shed(Head.shed, done)`.

        Conditioned on the ranges alone: rows, offsets and owners' tokens stay, and writers may commit beside. Done
        again, it changes nothing.

        Raises:
            SinkError: This sink keeps no shed ranges, or cannot be reached.
        """
        raise SinkError(f"{type(self).__name__} keeps no shed ranges: what was shed cannot be noted as restored")

    @abstractmethod
    def discard(self, staged: Staged) -> None:
        """Delete staged files whose commit was refused."""

    @abstractmethod
    def stored(self) -> StoredIdentities:
        """Look-ups of identities at the head as of each call."""

    @abstractmethod
    def maintain(self, *, dry_run: bool = False) -> MaintenanceReport:
        """Compact, expire, delete what is unreachable. Never changes what a query answers."""

    def close(self) -> None:
        """Release what is held."""


class Sink(ABC):
    """A place that keeps tables."""

    @abstractmethod
    def table(self, data_type: DataType) -> SinkTable:
        """Open the table of a data type, creating it where it is missing.

        Raises:
            SinkError: It cannot be opened, or its columns do not fit.
        """

    def exists(self) -> bool:
        """Whether there are tables; asked before it is opened, by those who must not make any."""
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release what is held."""
