"""The cold half in memory: scans by brute force over one version of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.query import QuerySource, Scanned, Selection, Snapshot, SourceTable
from k2core.records.data_type import DataType
from tests.simulation.table import SimIdentities, SimStore, snapshot_of, sorted_by_key, version_of

KEY = ("exchange_timestamp_ms", "topic", "log_partition", "log_offset")


class SimSource(QuerySource):
    """All tables of a world."""

    def __init__(self, stores: Mapping[str, SimStore]) -> None:
        self._stores = stores

    def table(self, data_type: DataType) -> SourceTable:
        return SimSourceTable(self._stores[data_type.name])


class SimSourceTable(SourceTable):
    def __init__(self, store: SimStore) -> None:
        self._store = store

    def newest(self) -> Snapshot:
        return snapshot_of(self._store.head)

    def snapshot(self, snapshot_id: int) -> Snapshot:
        return snapshot_of(version_of(self._store, snapshot_id))

    def contains_snapshot(self, snapshot_id: int) -> bool:
        return any(v.id == snapshot_id for v in self._store.ancestors())

    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        rows = self._store.rows(snapshot.extra) if snapshot.extra else self._store.data_type.table_schema.empty_table()
        rows = sorted_by_key(select(rows, selection), selection.descending)
        rows = rows if selection.limit is None else rows.slice(0, selection.limit)
        if selection.columns is not None:
            rows = rows.select(list(dict.fromkeys([*selection.columns, *KEY])))
        return Scanned(rows=rows, stats={"files": 1})

    def ohlcv(
        self, snapshot: Snapshot, selection: Selection, interval_ms: int, *, price: str, quantity: str, timeout: float
    ) -> Scanned:
        rows = self.scan(snapshot, selection, timeout=timeout).rows.to_pylist()
        rows.sort(key=lambda r: tuple(r[k] for k in KEY))
        bars: dict[tuple[str, str, int], dict[str, Any]] = {}
        for r in rows:
            at = r[KEY[0]] // interval_ms * interval_ms
            bar = bars.setdefault((r["symbol"], r["exchange"], at), _first(r, at, price))
            bar |= {f"last_{n}": r[k] for n, k in zip(("ms", "topic", "partition", "offset"), KEY, strict=True)}
            bar |= {"close": r[price], "high": max(bar["high"], r[price]), "low": min(bar["low"], r[price])}
            bar |= {"volume": bar["volume"] + r[quantity], "trades": bar["trades"] + 1}
            bar["notional"] += r[price] * r[quantity]
        return Scanned(rows=pa.Table.from_pylist(list(bars.values())))

    def symbols(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        rows = self.scan(snapshot, selection, timeout=timeout).rows
        plain = pa.table({c: rows[c].cast(pa.string()) for c in ("symbol", "exchange")} | {KEY[0]: rows[KEY[0]]})
        found = plain.group_by(["symbol", "exchange"]).aggregate([(KEY[0], k) for k in ("count", "min", "max")])
        return Scanned(rows=found.rename_columns(["symbol", "exchange", "rows", "first_ms", "last_ms"]))

    def stored(self, snapshot: Snapshot | None = None) -> StoredIdentities:
        return SimIdentities(self._store, snapshot.extra if snapshot else None)


def _first(r: dict[str, Any], at: int, price: str) -> dict[str, Any]:
    bar = {"symbol": r["symbol"], "exchange": r["exchange"], "bar_ms": at}
    bar |= {f"first_{n}": r[k] for n, k in zip(("ms", "topic", "partition", "offset"), KEY, strict=True)}
    return bar | {"open": r[price], "high": r[price], "low": r[price], "volume": 0.0, "notional": 0.0, "trades": 0}


def select(rows: pa.Table, wanted: Selection) -> pa.Table:
    """Rows that a selection picks, in any order."""
    keep = [_below(row, wanted) for row in rows.select(["topic", "log_partition", "log_offset"]).to_pylist()]
    rows = rows.filter(pa.array(keep, pa.bool_()))
    tests = []
    if wanted.symbols is not None:
        tests.append(pc.is_in(rows["symbol"].cast(pa.string()), pa.array(wanted.symbols, pa.string())))
    if wanted.exchanges is not None:
        tests.append(pc.is_in(rows["exchange"].cast(pa.string()), pa.array(wanted.exchanges, pa.string())))
    if wanted.start_ms is not None:
        tests.append(pc.greater_equal(rows[KEY[0]], wanted.start_ms))
    if wanted.end_ms is not None:
        tests.append(pc.less(rows[KEY[0]], wanted.end_ms))
    if wanted.as_of_us is not None:
        tests.append(pc.less_equal(rows["log_timestamp"], wanted.as_of_us))
    if wanted.after is not None:
        keys = zip(*(rows[k].to_pylist() for k in KEY), strict=True)
        beyond = (lambda k: k < wanted.after) if wanted.descending else (lambda k: k > wanted.after)
        tests.append(pa.array([beyond(k) for k in keys], pa.bool_()))
    for test in tests:
        rows = rows.append_column(f"_{len(rows.column_names)}", test)
    for name in [c for c in rows.column_names if c.startswith("_")]:
        rows = rows.filter(rows[name])
    return rows.select([c for c in rows.column_names if not c.startswith("_")])


def _below(row: dict[str, Any], wanted: Selection) -> bool:
    return row["log_offset"] < wanted.below.get((row["topic"], row["log_partition"]), 0)
