"""`MemoryTable`: a table with snapshots in memory, read by brute force: the model that real sources are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.errors import QueryError
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.frames import IdKind
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.interfaces.query import Scanned, Selection, Snapshot, SourceTable
from k2core.interfaces.shed import Shed, merged_shed, restored_shed
from k2core.interfaces.sink import LogFacts
from k2core.records.data_type import DataType

Row = dict[str, Any]


class MemoryTable(SourceTable):
    """Rows and snapshots of one data type.

    Args:
        data_type: Whose rows.
        kind: What its ids are.
        event_time: `exchange` or `received`.
    """

    def __init__(self, data_type: DataType, kind: IdKind = "contiguous", event_time: str = "exchange") -> None:
        self.data_type, self.kind, self.event_time = data_type, kind, event_time
        self.id_column = data_type.id_column or ""
        self._snapshots: dict[int, Snapshot] = {}
        self._head = Snapshot(id=None, parent_id=None, offsets={}, timestamp_ms=0, extra=())
        self._number = 0

    def commit(self, rows: list[Row], offsets: Offsets, facts: LogFacts | None = None) -> Snapshot:
        """Add rows, offsets and what is to be kept with them in one step."""
        return self._land((*self._head.extra, *rows), {**self._head.offsets, **offsets}, facts)

    def restore(self, done: Sequence[Shed]) -> Snapshot:
        """Note what became of shed records, where that says anything new."""
        shed = restored_shed(self._head.shed, done)
        return self._head if shed == self._head.shed else self._land(self._head.extra, self._head.offsets, shed=shed)

    def compact(self) -> Snapshot:
        """The same rows in other files."""
        return self._land(tuple(reversed(self._head.extra)), self._head.offsets)

    def rollback(self, snapshot_id: int) -> None:
        """Make an ancestor the head again."""
        self._head = self._snapshots[snapshot_id]

    def expire(self, keep: int) -> None:
        """Forget old snapshots, but never the head's ancestry as ids."""
        for gone in sorted(self._snapshots)[:-keep]:
            if gone != self._head.id:
                self._snapshots[gone] = Snapshot(
                    id=gone, parent_id=self._snapshots[gone].parent_id, offsets={}, timestamp_ms=0, extra=None
                )

    def ancestors(self) -> list[int]:
        """Ids from the head back."""
        found, at = [], self._head.id
        while at is not None:
            found.append(at)
            at = self._snapshots[at].parent_id
        return found

    def newest(self) -> Snapshot:
        """The head."""
        return self._head

    def snapshot(self, snapshot_id: int) -> Snapshot:
        """A snapshot that still lives."""
        found = self._snapshots.get(snapshot_id)
        if found is None or found.extra is None:
            raise QueryError(
                f"snapshot {snapshot_id} is gone; the nearest is {self._head.id}", kind="snapshot-gone", status=410
            )
        return found

    def contains_snapshot(self, snapshot_id: int) -> bool:
        """Whether it is the head or an ancestor."""
        return snapshot_id in self.ancestors()

    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        """Every row is looked at."""
        order = self.data_type.order
        found = [r for r in snapshot.extra if _wanted(r, selection, order)]
        found.sort(key=lambda r: _key(r, order), reverse=selection.descending)
        schema = self.data_type.table_schema
        if unknown := sorted(set(selection.columns or ()) - set(schema.names)):
            raise QueryError(f"table {self.data_type.table} has no column {', '.join(unknown)}")
        if selection.columns is not None:
            keep = {*selection.columns, order, "topic", "log_partition", "log_offset"}
            schema = pa.schema([f for f in schema if f.name in keep])
        rows = pa.Table.from_pylist(found[: selection.limit], schema)
        return Scanned(rows=rows, stats={"files": 1, "rows": len(snapshot.extra)})

    def ohlcv(
        self, snapshot: Snapshot, selection: Selection, interval_ms: int, *, price: str, quantity: str, timeout: float
    ) -> Scanned:
        """One row at a time."""
        order = self.data_type.order
        bars: dict[tuple[str, str, int], Row] = {}
        for row in sorted((r for r in snapshot.extra if _wanted(r, selection, order)), key=lambda r: _key(r, order)):
            who = row["symbol"], row["exchange"], row[order] // interval_ms * interval_ms
            bar = bars.setdefault(who, _bar(who, row, order, price))
            bar |= _place("last", row, order) | {"close": row[price]}
            bar["high"], bar["low"] = max(bar["high"], row[price]), min(bar["low"], row[price])
            for name, amount in (("volume", row[quantity]), ("notional", row[price] * row[quantity])):
                bar[name] += amount
                bar[f"{name}_parts"].append(amount)
            bar["trades"] += 1
        from k2core.query.bars import PARTIAL

        return Scanned(rows=pa.Table.from_pylist(list(bars.values()), PARTIAL))

    def symbols(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        """One row at a time."""
        from k2core.query.symbols import count_symbols

        return Scanned(rows=count_symbols(self.scan(snapshot, selection, timeout=timeout).rows, self.data_type.order))

    def seen(self, snapshot: Snapshot) -> frozenset[tuple[str, str]]:
        """Every (symbol, exchange) of a snapshot."""
        return frozenset((row["symbol"], row["exchange"]) for row in snapshot.extra or ())

    def stored(self, snapshot: Snapshot | None = None) -> StoredIdentities:
        """Look-ups."""
        return _MemoryStored(self, snapshot)

    def stats(self) -> Mapping[str, int]:
        """Rows and snapshots."""
        return {"rows": len(self._head.extra), "files": 1, "snapshots": len(self._snapshots)}

    def _land(
        self,
        rows: tuple[Row, ...],
        offsets: Offsets,
        facts: LogFacts | None = None,
        shed: tuple[Shed, ...] | None = None,
    ) -> Snapshot:
        self._number += 1
        before, facts = self._head, facts or LogFacts()
        still = {p: s for p, s in before.stamps.items() if offsets.get(p) == before.offsets.get(p)}
        self._head = Snapshot(
            id=self._number, parent_id=before.id, offsets=dict(offsets), timestamp_ms=self._number, extra=rows,
            stamps={**still, **facts.stamps}, gone=(*before.gone, *facts.gone),
            shed=merged_shed(before.shed, facts.shed) if shed is None else shed,
        )  # fmt: skip
        self._snapshots[self._number] = self._head
        return self._head


class _MemoryStored(StoredIdentities):
    def __init__(self, table: MemoryTable, snapshot: Snapshot | None) -> None:
        self._table, self._snapshot = table, snapshot

    def contains(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        stored = {(_stream(r), r[self._table.id_column]): r["log_offset"] for r in self._rows(None)}
        return np.array(
            [
                stored.get((batch.streams[s], str(i)), offset) < offset
                for s, i, offset in zip(batch.stream, batch.ids, batch.offsets, strict=True)
            ],
            bool,
        )

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        rows = [r for r in self._rows(partition) if r["log_timestamp"] >= since_us]
        if rows:
            yield identities_of(self._table, partition, rows)

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        rows = [r for r in self._rows(partition) if r["log_timestamp"] < before_us]
        marks: dict[Stream, int] = {}
        for row in rows:
            by_id = self._table.kind != "opaque"
            key = int(row[self._table.id_column]) if by_id else row[self._table.data_type.order]
            marks[_stream(row)] = max(key, marks.get(_stream(row), -1))
        return marks

    def _rows(self, partition: Partition | None) -> list[Row]:
        rows = (self._snapshot or self._table.newest()).extra
        return [r for r in rows if partition is None or (r["topic"], r["log_partition"]) == partition]


def identities_of(table: MemoryTable, partition: Partition, rows: list[Row]) -> IdentityBatch:
    """Identities of rows of one partition."""
    rows = sorted(rows, key=lambda r: r["log_offset"])
    streams = sorted({_stream(r) for r in rows})
    texts = [r[table.id_column] for r in rows]
    ids = np.array([int(t) for t in texts], np.int64) if table.kind != "opaque" else np.array(texts, object)
    return IdentityBatch(
        data_type=table.data_type.name, partition=partition, kind=table.kind, streams=tuple(streams),
        stream=np.array([streams.index(_stream(r)) for r in rows], np.int32), ids=ids,
        order_ms=np.array([r[table.data_type.order] for r in rows], np.int64), event_time=table.event_time,
        offsets=np.array([r["log_offset"] for r in rows], np.int64),
        timestamps_us=np.array([r["log_timestamp"] for r in rows], np.int64),
    )  # fmt: skip


def _stream(row: Row) -> Stream:
    return Stream(row["exchange"], row["symbol"], row["id_epoch"])


def _key(row: Row, order: str) -> tuple[Any, ...]:
    return row[order], row["topic"], row["log_partition"], row["log_offset"]


def _wanted(row: Row, wanted: Selection, order: str) -> bool:
    beyond = wanted.after is None or (
        _key(row, order) < wanted.after if wanted.descending else _key(row, order) > wanted.after
    )
    return (
        beyond
        and row["log_offset"] < wanted.below.get((row["topic"], row["log_partition"]), 0)
        and (wanted.symbols is None or row["symbol"] in wanted.symbols)
        and (wanted.exchanges is None or row["exchange"] in wanted.exchanges)
        and (wanted.start_ms is None or row[order] >= wanted.start_ms)
        and (wanted.end_ms is None or row[order] < wanted.end_ms)
        and (wanted.as_of_us is None or row["log_timestamp"] <= wanted.as_of_us)
    )


def _place(which: str, row: Row, order: str) -> Row:
    names = ("ms", "topic", "partition", "offset")
    return {f"{which}_{n}": v for n, v in zip(names, _key(row, order), strict=True)}


def _bar(who: tuple[str, str, int], row: Row, order: str, price: str) -> Row:
    return {
        "symbol": who[0], "exchange": who[1], "bar_ms": who[2], **_place("first", row, order), "open": row[price],
        "high": row[price], "low": row[price], "volume": 0.0, "notional": 0.0, "trades": 0,
        "volume_parts": [], "notional_parts": [],
    }  # fmt: skip
