"""`IcebergSource`: the tables of one warehouse as the cold half of queries.

Every scan is planned from the plan cache and read from the listed files. Survived: files that maintenance deletes while
a query reads them (what was asked is read from the newest snapshot instead, which holds the same rows below the same
positions), a table that does not exist yet, everything that `plan.py`, `scan.py` and `pool.py` name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from k2_plugin_iceberg.plan import PlanCache
from k2_plugin_iceberg.pool import CursorPool, Deadline
from k2_plugin_iceberg.prune import choose
from k2_plugin_iceberg.scan import FilesGoneError, Scan
from k2_plugin_iceberg.stored import TableIdentities
from k2core.plugin import (
    Context,
    DataType,
    QueryError,
    QuerySource,
    Scanned,
    Selection,
    Snapshot,
    SourceTable,
    StoredIdentities,
)

if TYPE_CHECKING:
    from k2_plugin_iceberg.settings import IcebergSettings

_LONG, _INT, _TEXT, _DOUBLE = pa.int64(), pa.int32(), pa.string(), pa.float64()
_WHO: list[tuple[str, pa.DataType]] = [("symbol", _TEXT), ("exchange", _TEXT)]
PARTIAL = pa.schema([
    *_WHO, ("bar_ms", _LONG),
    ("first_ms", _LONG), ("first_topic", _TEXT), ("first_partition", _INT), ("first_offset", _LONG), ("open", _DOUBLE),
    ("last_ms", _LONG), ("last_topic", _TEXT), ("last_partition", _INT), ("last_offset", _LONG), ("close", _DOUBLE),
    ("high", _DOUBLE), ("low", _DOUBLE), ("volume", _DOUBLE), ("notional", _DOUBLE), ("trades", _LONG),
    ("volume_parts", pa.list_(_DOUBLE)), ("notional_parts", pa.list_(_DOUBLE)),
])  # fmt: skip
SYMBOLS = pa.schema([*_WHO, ("rows", _LONG), ("first_ms", _LONG), ("last_ms", _LONG)])


class IcebergSource(QuerySource):
    """Reads what the sink `iceberg` keeps, with its settings."""

    def __init__(self, settings: IcebergSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._lock = threading.Lock()
        self._pool: CursorPool | None = None
        self._plans: list[PlanCache] = []

    def table(self, data_type: DataType) -> SourceTable:
        """The table of a data type; it may not exist yet."""
        plan = PlanCache(self._settings, data_type)
        with self._lock:
            self._plans.append(plan)
        return IcebergSourceTable(plan, self._cursors)

    def location(self, data_type: DataType) -> Mapping[str, str]:
        """What pyiceberg and others need to open the table: `catalog` (its name), `uri`, `warehouse`, `table`, `path`."""
        return {
            "catalog": self._settings.catalog_name,
            "uri": self._settings.uri,
            "warehouse": f"file://{self._settings.root}",
            "table": data_type.table or "",
            "path": str(self._settings.table_folder(data_type.table or "")),
        }

    def close(self) -> None:
        """Close DuckDB and the catalogs; running queries are interrupted."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
            for plan in self._plans:
                plan.close()
            self._pool, self._plans = None, []

    def _cursors(self) -> CursorPool:
        with self._lock:
            if self._pool is None:
                self._pool = CursorPool(self._settings)
            return self._pool


class IcebergSourceTable(SourceTable):
    """One table. Any number of threads.

    Args:
        plan: Snapshots and files.
        pool: Gives the DuckDB cursors.
    """

    def __init__(self, plan: PlanCache, pool: Callable[[], CursorPool]) -> None:
        self._plan, self._pool = plan, pool

    def newest(self) -> Snapshot:
        """The head of `main`, read afresh."""
        return self._plan.newest()

    def snapshot(self, snapshot_id: int) -> Snapshot:
        """A snapshot that still lives."""
        return self._plan.snapshot(snapshot_id)

    def contains_snapshot(self, snapshot_id: int) -> bool:
        """Whether a snapshot is the head of `main` or one of its known ancestors."""
        return self._plan.contains_snapshot(snapshot_id)

    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        """Wanted rows in key order."""
        return self._scanned(snapshot, selection, timeout, Scan.rows)

    def ohlcv(
        self, snapshot: Snapshot, selection: Selection, interval_ms: int, *, price: str, quantity: str, timeout: float
    ) -> Scanned:
        """Partial bars of the wanted rows, whatever the selection's limit."""
        self._require(price, quantity)
        if interval_ms < 1:
            raise QueryError(f"a bar has to be at least 1 ms long, not {interval_ms}")
        wanted = replace(selection, limit=None)
        return self._scanned(snapshot, wanted, timeout, lambda scan: scan.bars(interval_ms, price, quantity, PARTIAL))

    def symbols(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        """Rows, first and last event time per symbol and exchange."""
        wanted = replace(selection, limit=None)
        return self._scanned(snapshot, wanted, timeout, lambda scan: scan.symbols(SYMBOLS))

    def stored(self, snapshot: Snapshot | None = None) -> StoredIdentities:
        """Identities in one snapshot, or in the newest as of each call."""
        return TableIdentities(self._plan, self._plan.data_type, snapshot=snapshot)

    def seen(self, snapshot: Snapshot) -> frozenset[tuple[str, str]] | None:
        """Every (symbol, exchange) of the snapshot's files, as their manifests tell."""
        return self._plan.seen(snapshot)

    def stats(self) -> Mapping[str, int]:
        """Rows, files, bytes and living snapshots."""
        return self._plan.stats()

    def _scanned(
        self, snapshot: Snapshot, wanted: Selection, timeout: float, read: Callable[[Scan], pa.Table]
    ) -> Scanned:
        deadline = Deadline(timeout)
        self._require(*(wanted.columns or ()))
        try:
            return self._once(snapshot, wanted, deadline, read)
        except (FilesGoneError, QueryError) as error:
            if isinstance(error, QueryError) and error.kind != "snapshot-gone":
                raise
            newest = self._instead_of(snapshot, error)
        try:
            return self._once(newest, _within(wanted, snapshot), deadline, read)
        except FilesGoneError as error:
            raise self._damaged(newest, error) from error

    def _once(
        self, snapshot: Snapshot, wanted: Selection, deadline: Deadline, read: Callable[[Scan], pa.Table]
    ) -> Scanned:
        plan = self._plan
        chosen = choose(plan.files(snapshot), wanted, snapshot.offsets, plan.settings.row_group_rows)
        scan = Scan(
            pool=self._pool,
            settings=plan.settings,
            data_type=plan.data_type,
            wanted=wanted,
            chosen=chosen,
            deadline=deadline,
        )
        return Scanned(rows=read(scan), stats=chosen.stats)

    def _instead_of(self, snapshot: Snapshot, error: Exception) -> Snapshot:
        """The newest snapshot, where it holds all rows of one whose files are gone."""
        newest = self._plan.newest()
        if newest.id == snapshot.id:
            if isinstance(error, QueryError):
                raise error
            raise self._damaged(newest, error) from error
        if snapshot.id is None or not self._plan.contains_snapshot(snapshot.id):
            raise self._plan.gone(snapshot.id) from error
        return newest

    def _damaged(self, snapshot: Snapshot, error: Exception) -> QueryError:
        return QueryError(
            f"table {self._plan.data_type.table} is damaged: file {error} of its newest snapshot {snapshot.id} does not "
            "exist; restore it from a backup, or roll main back to a snapshot that is whole",
            kind="table-unreadable",
            status=500,
        )

    def _require(self, *names: str) -> None:
        known = self._plan.data_type.table_schema.names
        for name in names:
            if name not in known:
                raise QueryError(
                    f"there is no column {name[:64]!r} in {self._plan.data_type.table}; there are: {', '.join(known)}"
                )


def _within(wanted: Selection, snapshot: Snapshot) -> Selection:
    """The selection with positions cut to what a snapshot holds, so that a later one gives the same rows."""
    below = {p: min(offset, snapshot.offsets.get(p, 0)) for p, offset in wanted.below.items()}
    return replace(wanted, below=below)
