"""`Scan`: one query over chosen files: rows, partial bars or symbols.

Newest (or first) N rows are read in widening steps: the files that can hold the best rows first, until the N-th row
found lies beyond everything that the unread files can hold. Small files are read directly, many or large ones by
DuckDB; both test the same predicates. Survived: files that are deleted while they are read (`FilesGoneError`: whoever
asked reads a newer snapshot), files that lack columns which the table got later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from k2_plugin_iceberg.arrays import fitted, in_key_order, joined, longs
from k2_plugin_iceberg.direct import DirectReader
from k2_plugin_iceberg.filelist import FileList
from k2_plugin_iceberg.pool import CursorPool, Deadline
from k2_plugin_iceberg.prune import Chosen
from k2_plugin_iceberg.sql import PLACE, Query
from k2_plugin_iceberg.sums import ANY, USUAL, Sums, UnusualError
from k2core.plugin import DataType, QueryError, Selection

if TYPE_CHECKING:
    from k2_plugin_iceberg.settings import IcebergSettings

DIRECT_ROWS = 16_384
DIRECT_FILES = 4
STRETCH_ROWS = 4096
SHARE = 8
"""A symbol is first taken to have an eighth of a file's rows, evenly spread; if it has fewer, a stretch is"""
WIDER = 16
"""so many times longer than the one before."""


class FilesGoneError(Exception):
    """Files of a snapshot were deleted: it was expired, or compacted away and swept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A query while it runs.

    Args:
        pool: Gives DuckDB; it is started with the first query that needs it.
        settings: For messages.
        data_type: Whose rows.
        wanted: The selection.
        chosen: Files and tests.
        deadline: When it has to be done.
    """

    pool: Callable[[], CursorPool]
    settings: IcebergSettings
    data_type: DataType
    wanted: Selection
    chosen: Chosen
    deadline: Deadline

    def rows(self) -> pa.Table:
        """Wanted rows in key order."""
        schema, files = columns_of(self.data_type, self.wanted), self.chosen.files
        if not len(files) or self.wanted.limit == 0:
            return schema.empty_table()
        if self.wanted.limit is None:
            return self._ordered(joined(self._read(files, self.wanted, schema), schema))
        return self._first(self.wanted.limit, schema)

    def bars(self, interval_ms: int, price: str, quantity: str, schema: pa.Schema) -> pa.Table:
        """Partial bars of the wanted rows."""
        if not len(self.chosen.files):
            return schema.empty_table()
        try:
            return self._bars(interval_ms, price, quantity, schema, USUAL)
        except UnusualError:
            return self._bars(interval_ms, price, quantity, schema, ANY)

    def _bars(self, interval_ms: int, price: str, quantity: str, schema: pa.Schema, sums: Sums) -> pa.Table:
        place = {"topic": "_topic", "log_partition": "_partition"}

        def fit(found: pa.Table, query: Query) -> pa.Table:
            found = sums.told(found)
            renamed = {f"{end}{place[n]}": v for n, v in query.constants.items() if n in place for end in _ENDS}
            for name, suffix in place.items():
                if name not in query.constants:
                    for end in _ENDS:
                        found = found.append_column(f"{end}{suffix}", found.column(name))
            return fitted(found, schema, {**query.constants, **renamed})

        return self._asked(self.chosen, self.wanted, lambda q: q.bars(interval_ms, price, quantity, sums), fit)

    def symbols(self, schema: pa.Schema) -> pa.Table:
        """Rows, first and last event time per symbol and exchange."""
        if not len(self.chosen.files):
            return schema.empty_table()
        return self._asked(
            self.chosen, self.wanted, Query.symbols, lambda found, query: fitted(found, schema, query.constants)
        )

    def _ordered(self, rows: pa.Table) -> pa.Table:
        wanted = self.wanted
        return in_key_order(rows, self.data_type.order, descending=wanted.descending, limit=wanted.limit)

    def _first(self, limit: int, schema: pa.Schema) -> pa.Table:
        """The first `limit` rows in key order."""
        files, wanted, order = self.chosen.files, self.wanted, self.data_type.order
        best = -files.ms_hi if wanted.descending else files.ms_lo
        at = np.argsort(best, kind="stable")
        best, rows, done, step = best[at], schema.empty_table(), 0, len(np.unique(files.bucket))
        while done < len(at):
            found = self._best(files.take(at[done : done + step]), wanted, schema, limit)
            rows, done = self._ordered(joined([rows, *found], schema)), done + step
            if rows.num_rows >= limit:
                last = int(longs(rows, order)[limit - 1])
                if done >= len(at) or (-last if wanted.descending else last) < best[done]:
                    break
                wanted = _narrowed(wanted, last)
            step = _next_step(rows.num_rows, limit, done, step)
        return rows

    def _best(self, files: FileList, wanted: Selection, schema: pa.Schema, limit: int) -> list[pa.Table]:
        """At least the first `limit` of some files' rows: of large files the nearest stretch of time first."""
        large = files.rows > DIRECT_ROWS
        found = [] if large.all() else self._read(files.take(~large), wanted, schema)
        if large.any():
            found += self._stretches(files.take(large), wanted, schema, limit)
        return found

    def _stretches(self, files: FileList, wanted: Selection, schema: pa.Schema, limit: int) -> Iterator[pa.Table]:
        low, high = _reach(files, wanted)
        span = int(files.ms_hi.max()) - int(files.ms_lo.min()) + 1
        width, have = span * max(limit * SHARE, STRETCH_ROWS) // int(files.rows.sum()) + 1, 0
        while low <= high and have < limit:
            if wanted.descending:
                start, end = max(low, high - width + 1), high + 1
                high = start - 1
            else:
                start, end = low, min(high, low + width - 1) + 1
                low = end
            for rows in self._read(files, replace(wanted, start_ms=start, end_ms=end), schema):
                have += rows.num_rows
                yield rows
            width *= WIDER

    def _read(self, files: FileList, wanted: Selection, schema: pa.Schema) -> list[pa.Table]:
        """Wanted rows of some files, in no order; with a limit at least the first so many."""
        small = files.rows <= DIRECT_ROWS
        if small.sum() > DIRECT_FILES:
            small = np.zeros(len(files), bool)
        chosen = replace(self.chosen, files=files)
        reader = DirectReader(self.data_type, schema, wanted, chosen)
        found = [self._direct(reader, path) for path in files.path[small]]
        tables = [t for t in found if t is not None]
        if not small.all():
            rest = replace(chosen, files=files.take(~small))
            tables.append(
                self._asked(rest, wanted, lambda q: q.rows(schema.names), lambda t, q: fitted(t, schema, q.constants))
            )
        return tables

    def _direct(self, reader: DirectReader, path: str) -> pa.Table | None:
        self.deadline.left()
        try:
            found = reader.read(path)
            self.deadline.left()
            return found
        except FileNotFoundError as error:
            raise FilesGoneError(path) from error
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error, path) from error

    def _asked(
        self,
        chosen: Chosen,
        wanted: Selection,
        text: Callable[[Query], str],
        fit: Callable[[pa.Table, Query], pa.Table],
    ) -> pa.Table:
        """Ask DuckDB; where files differ in columns, once more by name."""
        import duckdb  # here: what is read directly needs none

        for by_name in (False, True):
            query = Query(chosen, wanted, self.data_type, by_name=by_name)
            try:
                if by_name:
                    query.constants.update(dict.fromkeys(self._in_no_file(query)))
                found = self.pool().query(text(query), query.values, timeout=self.deadline.left())
                return fit(found, query)
            except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
                raise UnusualError from error
            except duckdb.Error as error:
                if gone := [p for p in chosen.files.path if not os.path.exists(p)]:
                    raise FilesGoneError(gone[0]) from error
                if by_name or not isinstance(error, duckdb.BinderException | duckdb.InvalidInputException):
                    raise self._unreadable(error, str(chosen.files.path[0])) from error
        raise AssertionError("both ways were tried")

    def _in_no_file(self, query: Query) -> set[str]:
        """Columns that the table got after all of the chosen files were written: null in every row."""
        found = self.pool().query(query.columns(), [], timeout=self.deadline.left())
        return set(self.data_type.table_schema.names) - set(found.column("name").to_pylist())

    def _unreadable(self, error: Exception, path: str) -> QueryError:
        return QueryError(
            f"files of table {self.data_type.table} cannot be read (first {path}): {error}; check the disk, and that "
            "this process may read the warehouse",
            kind="table-unreadable",
            status=500,
        )


_ENDS = ("first", "last")


def columns_of(data_type: DataType, wanted: Selection) -> pa.Schema:
    """Schema of an answer: the selected columns and those of the key, in the table's order."""
    schema = data_type.table_schema
    if wanted.columns is None:
        return schema
    names = {*wanted.columns, *PLACE, data_type.order}
    return pa.schema([f for f in schema if f.name in names])


def _narrowed(wanted: Selection, last: int) -> Selection:
    """Only what is as good as the worst row that is among the first so far; ties stay in."""
    if wanted.descending:
        return replace(wanted, start_ms=last if wanted.start_ms is None else max(last, wanted.start_ms))
    return replace(wanted, end_ms=last + 1 if wanted.end_ms is None else min(last + 1, wanted.end_ms))


def _reach(files: FileList, wanted: Selection) -> tuple[int, int]:
    """First and last time that wanted rows of some files can have."""
    low, high = int(files.ms_lo.min()), int(files.ms_hi.max())
    if wanted.start_ms is not None:
        low = max(low, wanted.start_ms)
    if wanted.end_ms is not None:
        high = min(high, wanted.end_ms - 1)
    if wanted.after is not None:
        low, high = (low, min(high, wanted.after[0])) if wanted.descending else (max(low, wanted.after[0]), high)
    return low, high


def _next_step(have: int, limit: int, done: int, step: int) -> int:
    """How many files to read next: twice as many, or as many as should be enough by what the others held."""
    if have >= limit:
        return step * 2
    lacking = (limit - have) * done / max(have, 0.5)
    return max(step * 2, min(int(lacking * 1.25) + 1, 512))
