"""A table in memory: snapshots with offsets, owner tokens, look-ups and scans, on the interfaces of sink and source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from k2core.clock import Clock
from k2core.errors import CommitConflictError, CommitUnknownError, FencedError, QueryError
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.interfaces.query import Snapshot
from k2core.interfaces.sink import Head, MaintenanceReport, Ownership, SinkTable, Staged
from k2core.records.data_type import DataType


@dataclass(frozen=True)
class Version:
    """One snapshot: every row of the table, and the offsets in the same commit."""

    id: int
    parent: Version | None
    rows: pa.Table
    offsets: dict[Partition, int]
    topic_ids: dict[str, str]
    at_ms: int


@dataclass
class SimStore:
    """What outlives every process: the versions, `main`, and the owners' tokens (which no rollback touches)."""

    data_type: DataType
    facts: ChannelFacts
    clock: Clock
    head: Version | None = None
    alive: dict[int, Version] = field(default_factory=dict)
    tokens: dict[Partition, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def put(self, rows: pa.Table, offsets: Offsets, topic_ids: Mapping[str, str]) -> Version:
        self.count += 1
        self.head = Version(self.count, self.head, rows, dict(offsets), dict(topic_ids), self.clock.now_ms())
        self.alive[self.count] = self.head
        return self.head

    def rows(self, version: Version | None = None) -> pa.Table:
        version = version or self.head
        return version.rows if version else self.data_type.table_schema.empty_table()

    def ancestors(self) -> Iterator[Version]:
        version = self.head
        while version is not None:
            yield version
            version = version.parent

    def compact(self) -> None:
        """The same rows in another order, offsets copied."""
        if self.head:
            order = np.random.default_rng(self.count).permutation(len(self.head.rows))
            self.put(self.head.rows.take(pa.array(order)), self.head.offsets, self.head.topic_ids)

    def roll_back(self, steps: int) -> None:
        """`main` to an ancestor; tokens stay."""
        version = self.head
        for _ in range(steps):
            version = version.parent if version and version.parent else version
        self.head = version

    def expire(self, keep: int) -> None:
        for number in sorted(self.alive)[:-keep]:
            if self.head is None or number != self.head.id:
                del self.alive[number]


class SimTable(SinkTable):
    """One writer's view of the store. `fault` is called with a name at each step and may raise."""

    def __init__(self, store: SimStore, fault: Callable[[str], None] = lambda name: None) -> None:
        self._store, self._fault = store, fault
        self._topic_ids: dict[str, str] = {}

    def head(self) -> Head:
        head = self._store.head
        if head is None:
            return Head(snapshot_id=None, offsets={})
        return Head(snapshot_id=head.id, offsets=dict(head.offsets), topic_ids=head.topic_ids)

    def take_over(self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str) -> Ownership:
        self._store.count += 1
        token = f"{owner}#{self._store.count}"
        self._store.tokens.update(dict.fromkeys(partitions, token))
        self._topic_ids = dict(topic_ids)
        return Ownership(token, partitions)

    def stage(self, rows: pa.Table) -> Staged:
        self._fault("stage")
        return Staged(len(rows), rows.nbytes, [rows])

    def commit(self, staged: Staged, owned: Ownership, expect: Offsets, offsets: Offsets) -> Head:
        self._fault("commit")
        store = self._store
        there = store.head.offsets if store.head else {}
        lost = frozenset(p for p in owned.partitions if store.tokens.get(p) != owned.token)
        if lost:
            raise FencedError(f"lost {sorted(lost)}", lost)
        if any(there.get(p, 0) != o for p, o in expect.items()):
            raise CommitConflictError("offsets moved")
        rows = pa.concat_tables([store.rows(), *staged.files]).unify_dictionaries()
        ids = {**(store.head.topic_ids if store.head else {}), **self._topic_ids}
        store.put(rows, {**there, **offsets}, ids)
        try:
            self._fault("reply")
        except OSError as error:
            raise CommitUnknownError("the reply was lost") from error
        return self.head()

    def discard(self, staged: Staged) -> None:
        self._fault("discard")

    def stored(self) -> StoredIdentities:
        return SimIdentities(self._store, None)

    def maintain(self, *, dry_run: bool = False) -> MaintenanceReport:
        self._store.compact()
        return MaintenanceReport(dry_run=dry_run, counts={})


class SimIdentities(StoredIdentities):
    """Identities by brute force, at the head or at one version."""

    def __init__(self, store: SimStore, version: Version | None) -> None:
        self._store, self._version = store, version

    def _all(self) -> list[dict[str, Any]]:
        names = ["exchange", "symbol", "id_epoch", self._store.data_type.id_column, "topic", "log_partition",
                 "log_offset", "log_timestamp", "exchange_timestamp_ms", "exchange_date"]  # fmt: skip
        return self._store.rows(self._version).select(names).to_pylist()

    def contains(self, batch: IdentityBatch) -> Any:
        column = self._store.data_type.id_column
        first: dict[tuple[Any, ...], int] = {}
        for row in self._all():
            if (row["topic"], row["log_partition"]) == batch.partition:
                key = (Stream(row["exchange"], row["symbol"], row["id_epoch"]), str(row[column]))
                first[key] = min(first.get(key, 1 << 62), row["log_offset"])
        keys = [(batch.streams[s], str(i)) for s, i in zip(batch.stream.tolist(), batch.ids.tolist(), strict=True)]
        return np.array([first.get(k, 1 << 62) < o for k, o in zip(keys, batch.offsets.tolist(), strict=True)], bool)

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        rows = [r for r in self._all() if (r["topic"], r["log_partition"]) == partition]
        rows = sorted((r for r in rows if r["log_timestamp"] >= since_us), key=lambda r: r["log_offset"])
        if rows:
            yield self._batch(partition, rows)

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        found: dict[Stream, int] = {}
        for r in self._all():
            if (r["topic"], r["log_partition"]) == partition and r["log_timestamp"] < before_us:
                stream, text = Stream(r["exchange"], r["symbol"], r["id_epoch"]), r[self._store.data_type.id_column]
                by_id = self._store.facts.ids != "opaque" and text.isdigit()
                key = int(text) if by_id else r["exchange_timestamp_ms"]
                found[stream] = max(found.get(stream, -1), key)
        return found

    def _batch(self, partition: Partition, rows: list[dict[str, Any]]) -> IdentityBatch:
        streams = sorted({Stream(r["exchange"], r["symbol"], r["id_epoch"]) for r in rows})
        texts = [r[self._store.data_type.id_column] for r in rows]
        numeric = all(t.isdigit() and str(int(t)) == t for t in texts)
        return IdentityBatch(
            data_type=self._store.data_type.name, partition=partition, kind=self._store.facts.ids,
            streams=tuple(streams), event_time=self._store.facts.event_time,
            stream=np.array([streams.index(Stream(r["exchange"], r["symbol"], r["id_epoch"])) for r in rows], np.int32),
            ids=np.array([int(t) for t in texts], np.int64) if numeric else np.array(texts, object),
            order_ms=np.array([r["exchange_timestamp_ms"] for r in rows], np.int64),
            offsets=np.array([r["log_offset"] for r in rows], np.int64),
            timestamps_us=np.array([r["log_timestamp"] for r in rows], np.int64),
        )  # fmt: skip


def snapshot_of(version: Version | None) -> Snapshot:
    """A version as the query side sees it."""
    if version is None:
        return Snapshot(id=None, parent_id=None, offsets={}, timestamp_ms=0)
    parent = version.parent.id if version.parent else None
    return Snapshot(id=version.id, parent_id=parent, offsets=version.offsets, timestamp_ms=version.at_ms, extra=version)


def version_of(store: SimStore, snapshot_id: int) -> Version:
    """A version that still lives."""
    if snapshot_id not in store.alive:
        raise QueryError(f"snapshot {snapshot_id} is gone", kind="snapshot-gone", status=410)
    return store.alive[snapshot_id]


def as_set(rows: pa.Table) -> set[tuple[Any, ...]]:
    """Positions of rows, for comparison."""
    return set(zip(*(rows[c].to_pylist() for c in ("topic", "log_partition", "log_offset")), strict=True))


def sorted_by_key(rows: pa.Table, descending: bool) -> pa.Table:
    """Rows in the total order."""
    way = "descending" if descending else "ascending"
    plain = rows.set_column(rows.schema.get_field_index("topic"), "topic", rows["topic"].cast(pa.string()))
    keys = [(c, way) for c in ("exchange_timestamp_ms", "topic", "log_partition", "log_offset")]
    return rows.take(pc.sort_indices(plain, sort_keys=keys))
