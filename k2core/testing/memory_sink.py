"""`MemorySink`: tables in memory with owners and offsets, the model that real sinks are compared with; faults on demand.

`MemoryLake` is what outlives writers: rows, snapshots and look-ups are `MemoryTable`'s; owners' tokens stand beside
them, as a rollback leaves them alone. Each `MemorySinkTable` is one writer's hold on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pyarrow as pa

from k2core.errors import CommitConflictError, CommitUnknownError, FencedError, SinkError
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.query import QuerySource, Snapshot, SourceTable
from k2core.interfaces.shed import Shed
from k2core.interfaces.sink import Head, LogFacts, MaintenanceReport, Ownership, Sink, SinkTable, Staged
from k2core.records.data_type import DataType
from k2core.testing.memory_identities import MemoryIdentities
from k2core.testing.memory_table import MemoryTable, Row

Fault = Callable[[str], None]


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
        self._alone = threading.RLock()

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
        return tuple(self.newest().extra)

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
        with self._alone:
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
        return self._head()

    def take_over(self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str) -> Ownership:
        """A new token."""
        self._fault("take-over")
        self.lake.takings += 1
        token = f"{owner}/{self.lake.takings}"
        self.lake.tokens.update(dict.fromkeys(partitions, token))
        self.lake.topic_ids.update(topic_ids)
        return Ownership(token, partitions)

    def take_more(
        self, owned: Ownership, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str
    ) -> Ownership:
        """A new token for all, where the old one stands."""
        self.lake.check(owned)
        return self.take_over(owned.partitions | partitions, topic_ids, owner)

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
        return self._head()

    def restore(self, done: Sequence[Shed]) -> Head:
        """One more snapshot of the same rows."""
        self.lake.restore(done)
        return self._head()

    def discard(self, staged: Staged) -> None:
        """Counts."""
        self._fault("discard")
        self.discarded += 1

    def stored(self) -> StoredIdentities:
        """Look-ups at the head."""
        return MemoryIdentities(self.lake, self._fault, {})

    def _head(self) -> Head:
        said = {name: getattr(self.lake.newest(), name) for name in ("offsets", "stamps", "gone", "shed")}
        return Head(snapshot_id=self.lake.newest().id, topic_ids=dict(self.lake.topic_ids), **said)

    def maintain(self, *, dry_run: bool = False) -> MaintenanceReport:
        """The same rows in other files."""
        self._fault("maintain")
        if not dry_run and self.lake.newest().id is not None:
            self.lake.compact()
        return MaintenanceReport(dry_run=dry_run, counts={"files_compacted": 1})


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
