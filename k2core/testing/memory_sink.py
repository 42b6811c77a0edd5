"""`MemorySink`: tables in memory with owners and offsets, the model that real sinks are compared with; faults on demand.

`MemoryLake` is what outlives writers: rows, snapshots and look-ups are `MemoryTable`'s; owners' tokens stand beside
them, as a rollback leaves them alone. Each `MemorySinkTable` is one writer's hold on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.errors import CommitConflictError, CommitUnknownError, FencedError, SinkError
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.identities import IdentityBatch, Stream, number_of
from k2core.interfaces.query import QuerySource, Snapshot, SourceTable
from k2core.interfaces.sink import Head, LogFacts, MaintenanceReport, Ownership, Sink, SinkTable, Staged
from k2core.records.data_type import DataType
from k2core.testing.memory_table import MemoryTable, Row

Fault = Callable[[str], None]
NOTHING_YET = 1 << 62


class MemoryLake(MemoryTable):
    """One table with its owners, and swaps of which nobody has heard yet.

    Attributes:
        tokens: Whose each partition is.
        topic_ids: Id of every topic that fed the table.
        takings: How often somebody took over.
        commits: Swaps that landed.
        reached: The largest offset that any commit carried, by partition.
        on_the_way: Swaps whose reply was lost and that may still land.
    """

    def __init__(self, data_type: DataType) -> None:
        super().__init__(data_type, "opaque")
        self.tokens: dict[Partition, str] = {}
        self.topic_ids: dict[str, str] = {}
        self.takings = self.commits = 0
        self.reached: dict[Partition, int] = {}
        self.on_the_way: list[Callable[[], None]] = []

    @property
    def main(self) -> Snapshot:
        """The head; a test may put another in its place."""
        return self._head

    @main.setter
    def main(self, head: Snapshot) -> None:
        self._head = head

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows at the head."""
        found: tuple[Row, ...] = self.newest().extra
        return found

    @property
    def offsets(self) -> Offsets:
        """The head's offsets."""
        return self.newest().offsets

    def check(self, owned: Ownership) -> None:
        """Whether a token stands.

        Raises:
            FencedError: It does not.
        """
        lost = frozenset(p for p in owned.partitions if self.tokens.get(p) != owned.token)
        if lost:
            owners = sorted({self.tokens.get(p, "nobody") for p in lost})
            raise FencedError(f"{', '.join(owners)} took over {sorted(lost)}", lost)

    def swap(
        self, rows: list[Row], owned: Ownership, expect: Offsets, offsets: Offsets, facts: LogFacts | None = None
    ) -> None:
        """One commit, all or nothing."""
        self.check(owned)
        there = self.offsets
        if moved := {p: o for p in owned.partitions if (o := there.get(p, 0)) != expect.get(p, 0)}:
            raise CommitConflictError(f"offsets are {moved}")
        if strange := sorted(p for p, o in offsets.items() if p not in owned.partitions or o < there.get(p, 0)):
            raise SinkError(f"{strange} are not owned, or would go back")
        self.commit(rows, offsets, facts)
        self.commits += 1
        self.reached.update({p: max(o, self.reached.get(p, 0)) for p, o in offsets.items()})

    def arrive(self) -> bool:
        """A swap of which nothing was heard reaches the table after all; whether it landed."""
        if not self.on_the_way:
            return False
        try:
            self.on_the_way.pop()()
        except (FencedError, CommitConflictError):
            return False
        return True

    def roll_back(self) -> None:
        """Back to the parent of the head; tokens stand."""
        empty = Snapshot(id=None, parent_id=None, offsets={}, timestamp_ms=0, extra=())
        self._head = self._snapshots.get(self._head.parent_id or 0, empty)


class MemorySinkTable(SinkTable):
    """One writer's hold on a table.

    Args:
        lake: The table.
        fault: Called with `head`, `take-over`, `stage`, `swap`, `reply`, `discard`, `look-up`, `marks` or `maintain`
            before each, and may raise.
    """

    def __init__(self, lake: MemoryLake, fault: Fault | None = None) -> None:
        self.lake, self._fault = lake, fault or _nothing
        self.discarded = 0

    def head(self) -> Head:
        """The newest snapshot."""
        self._fault("head")
        now = self.lake.newest()
        ids = dict(self.lake.topic_ids)
        return Head(snapshot_id=now.id, offsets=now.offsets, topic_ids=ids, stamps=now.stamps, gone=now.gone)

    def take_over(self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str) -> Ownership:
        """A new token."""
        self._fault("take-over")
        self.lake.takings += 1
        token = f"{owner}/{self.lake.takings}"
        self.lake.tokens.update(dict.fromkeys(partitions, token))
        self.lake.topic_ids.update(topic_ids)
        return Ownership(token, partitions)

    def check_owned(self, owned: Ownership) -> None:
        """Whether the token stands."""
        self.lake.check(owned)

    def stage(self, rows: pa.Table) -> Staged:
        """Rows as they would stand in files."""
        self._fault("stage")
        return Staged(len(rows), rows.nbytes, rows.to_pylist())

    def commit(
        self, staged: Staged, owned: Ownership, expect: Offsets, offsets: Offsets, facts: LogFacts | None = None
    ) -> Head:
        """One swap; `CommitUnknownError` from the fault `swap` leaves it on its way."""
        swap = partial(self.lake.swap, list(staged.files), owned, dict(expect), dict(offsets), facts)
        try:
            self._fault("swap")
        except CommitUnknownError:
            self.lake.on_the_way.append(swap)
            raise
        swap()
        self._fault("reply")
        now = self.lake.newest()
        return Head(
            snapshot_id=now.id, offsets=now.offsets, topic_ids=dict(self.lake.topic_ids), stamps=now.stamps,
            gone=now.gone,
        )  # fmt: skip

    def discard(self, staged: Staged) -> None:
        """Counts."""
        self._fault("discard")
        self.discarded += 1

    def stored(self) -> StoredIdentities:
        """Look-ups at the head."""
        return MemoryIdentities(self.lake, self._fault, {})

    def maintain(self, *, dry_run: bool = False) -> MaintenanceReport:
        """The same rows in other files."""
        self._fault("maintain")
        if not dry_run and self.lake.newest().id is not None:
            self.lake.compact()
        return MaintenanceReport(dry_run=dry_run, counts={"files_compacted": 1})


class MemoryIdentities(StoredIdentities):
    """Look-ups by brute force; knows of ids what it is told by `declared`, as real tables do."""

    def __init__(self, lake: MemoryLake, fault: Fault, facts: Mapping[str, ChannelFacts]) -> None:
        self._lake, self._fault, self._facts = lake, fault, facts

    def declared(self, facts: Mapping[str, ChannelFacts]) -> MemoryIdentities:
        """The same, knowing what connectors declare."""
        return MemoryIdentities(self._lake, self._fault, {**self._facts, **facts})

    def _rows(self, partition: Partition) -> list[Row]:
        return [r for r in self._lake.rows if (r["topic"], r["log_partition"]) == partition]

    def contains(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which are stored below the batch's own offsets."""
        self._fault("look-up")
        first: dict[tuple[Stream, str], int] = {}
        for row in self._rows(batch.partition):
            key = _stream(row), row[self._lake.id_column]
            first[key] = min(first.get(key, row["log_offset"]), row["log_offset"])
        keys = [(batch.streams[s], str(i)) for s, i in zip(batch.stream.tolist(), batch.ids.tolist(), strict=True)]
        own = batch.offsets.tolist()
        return np.array([first.get(k, NOTHING_YET) < o for k, o in zip(keys, own, strict=True)], bool)

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        """Rows of one partition, in no order."""
        rows = [r for r in self._rows(partition) if r["log_timestamp"] >= since_us]
        for part in (rows[::2], rows[1::2]):
            if part:
                yield _identities(self._lake, partition, part, self._of(part[0]))

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        """The largest mark key of each stream among older rows."""
        self._fault("marks")
        found: dict[Stream, int] = {}
        for row in self._rows(partition):
            if row["log_timestamp"] < before_us:
                number = number_of(row[self._lake.id_column]) if self._of(row).ids != "opaque" else None
                key = row[self._lake.data_type.order] if number is None else number
                found[_stream(row)] = max(key, found.get(_stream(row), -1))
        return found

    def _of(self, row: Row) -> ChannelFacts:
        return self._facts.get(row["topic"], self._facts.get(row["exchange"], ChannelFacts(ids="opaque")))


class MemorySink(Sink):
    """A place that keeps tables in memory.

    Args:
        tables: What outlives this opening, by name of the data type; share it between openings.
        fault: See `MemorySinkTable`.
    """

    def __init__(self, tables: dict[str, MemoryLake], fault: Fault | None = None) -> None:
        self.tables, self._fault = tables, fault

    def table(self, data_type: DataType) -> SinkTable:
        """The table, with the columns that it lacks where those are nullable.

        Raises:
            SinkError: A column that rows must have is new.
        """
        lake = self.tables.setdefault(data_type.name, MemoryLake(data_type))
        there = set(lake.data_type.table_schema.names)
        new = [f for f in data_type.table_schema if f.name not in there]
        if lacking := [f.name for f in new if not f.nullable]:
            raise SinkError(f"table {data_type.table}: columns {lacking} are missing, and older rows have no values")
        if new:
            lake.data_type = data_type
        return MemorySinkTable(lake, self._fault)


class MemorySource(QuerySource):
    """Reads the tables that a `MemorySink` with the same `tables` keeps."""

    def __init__(self, tables: dict[str, MemoryLake]) -> None:
        self._tables = tables

    def table(self, data_type: DataType) -> SourceTable:
        """The table of a data type."""
        return self._tables.setdefault(data_type.name, MemoryLake(data_type))


def _nothing(name: str) -> None:
    """No fault."""


def _stream(row: Row) -> Stream:
    return Stream(row["exchange"], row["symbol"], row["id_epoch"])


def _identities(lake: MemoryLake, partition: Partition, rows: list[Row], facts: ChannelFacts) -> IdentityBatch:
    streams = sorted({_stream(r) for r in rows})
    numbers = [number_of(r[lake.id_column]) for r in rows]
    texts = np.array([r[lake.id_column] for r in rows], object)
    return IdentityBatch(
        data_type=lake.data_type.name, partition=partition, kind=facts.ids, streams=tuple(streams),
        stream=np.array([streams.index(_stream(r)) for r in rows], np.int32), event_time=facts.event_time,
        ids=texts if None in numbers else np.array(numbers, np.int64),
        order_ms=np.array([r[lake.data_type.order] for r in rows], np.int64),
        offsets=np.array([r["log_offset"] for r in rows], np.int64),
        timestamps_us=np.array([r["log_timestamp"] for r in rows], np.int64),
    )  # fmt: skip
