"""Reading wanted rows of small Parquet files without DuckDB: for a few files, its planning costs more than reading.

Columns that decide are read first; the others only where rows are left, and only those rows are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from k2_plugin_iceberg.arrays import in_key_order, longs, open_parquet, words
from k2_plugin_iceberg.prune import Chosen
from k2_plugin_iceberg.sql import PLACE
from k2core.plugin import DataType, Selection

Mask = npt.NDArray[np.bool_]


class DirectReader:
    """Wanted rows of one file at a time.

    Args:
        data_type: Whose rows.
        schema: Of the answer; its columns include those of the key.
        wanted: The selection.
        chosen: What has to be tested.
    """

    def __init__(self, data_type: DataType, schema: pa.Schema, wanted: Selection, chosen: Chosen) -> None:
        self._table, self._schema, self._wanted, self._chosen = data_type.table_schema, schema, wanted, chosen
        self._order = data_type.order
        self._words = [f.name for f in self._table if pa.types.is_dictionary(f.type)]
        self._first = list(self._deciding())
        self._rest = [n for n in schema.names if n not in self._first]

    def read(self, path: str) -> pa.Table | None:
        """Wanted rows of a file in its own order (in key order where there is a limit); None where there are none."""
        with open_parquet(path, self._words) as file:
            first = self._columns(file, self._first)
            at = self._wanted_rows(first)
            if at is not None and not len(at):
                return None
            rest = self._columns(file, self._rest)
        both = {**_by_name(first), **_by_name(rest)}
        rows = pa.table([both[n] for n in self._schema.names], schema=self._schema)
        rows = rows if at is None else rows.take(at)
        if self._wanted.limit is None or rows.num_rows <= self._wanted.limit:
            return rows
        return in_key_order(rows, self._order, descending=self._wanted.descending, limit=self._wanted.limit)

    def _deciding(self) -> Iterable[str]:
        """Columns that the tests look at."""
        wanted, chosen = self._wanted, self._chosen
        if chosen.symbols is not None:
            yield "symbol"
        if wanted.exchanges is not None:
            yield "exchange"
        yield self._order
        if chosen.positions or wanted.after is not None:
            yield from PLACE
        if chosen.appended:
            yield "log_timestamp"

    def _columns(self, file: pq.ParquetFile, names: Sequence[str]) -> pa.Table:
        """Columns of a file; one that it does not have yet is null."""
        there = set(file.schema.names)
        known = [n for n in names if n in there]
        columns = _by_name(file.read(known, use_threads=False)) if known else {}
        for name in (n for n in names if n not in there):
            columns[name] = pa.nulls(file.metadata.num_rows, self._table.field(name).type)
        kinds = [self._table.field(n) for n in names]
        cells = [columns[f.name] if columns[f.name].type == f.type else columns[f.name].cast(f.type) for f in kinds]
        return pa.table(cells, schema=pa.schema(kinds))

    def _wanted_rows(self, first: pa.Table) -> npt.NDArray[np.intp] | None:
        """Places of wanted rows; None for all."""
        tests = list(self._tests(first))
        if not tests:
            return None
        mask = tests[0]
        for test in tests[1:]:
            mask = mask & test
        return None if mask.all() else np.flatnonzero(mask)

    def _tests(self, rows: pa.Table) -> Iterable[Mask]:
        wanted, chosen, ms = self._wanted, self._chosen, longs(rows, self._order)
        if chosen.symbols is not None:
            yield _among(rows, "symbol", chosen.symbols)
        if wanted.exchanges is not None:
            yield _among(rows, "exchange", wanted.exchanges)
        if wanted.start_ms is not None:
            yield ms >= wanted.start_ms
        if wanted.end_ms is not None:
            yield ms < wanted.end_ms
        if chosen.appended and wanted.as_of_us is not None:
            yield longs(rows, "log_timestamp") <= wanted.as_of_us
        if chosen.positions:
            yield self._below(rows)
        if wanted.after is not None:
            yield self._beyond(rows, ms)

    def _below(self, rows: pa.Table) -> Mask:
        distinct, codes = words(rows, "topic")
        partitions, offsets = longs(rows, "log_partition"), longs(rows, "log_offset")
        mask = np.zeros(rows.num_rows, bool)
        for code, topic in enumerate(distinct):
            mine = codes == code
            for partition in np.unique(partitions[mine]).tolist():
                end = self._wanted.below.get((topic, partition), 0)
                mask |= mine & (partitions == partition) & (offsets < end)
        return mask

    def _beyond(self, rows: pa.Table, ms: npt.NDArray[np.int64]) -> Mask:
        assert self._wanted.after is not None
        at, topic, partition, offset = self._wanted.after
        sign = -1 if self._wanted.descending else 1
        distinct, codes = words(rows, "topic")
        side = np.array([sign * ((t > topic) - (t < topic)) for t in distinct], np.int64)[codes]
        parts = sign * np.sign(longs(rows, "log_partition").astype(np.int64) - partition)
        places = (longs(rows, "log_offset") > offset) if sign > 0 else (longs(rows, "log_offset") < offset)
        tie = (side > 0) | ((side == 0) & ((parts > 0) | ((parts == 0) & places)))
        beyond = ms > at if sign > 0 else ms < at
        mask: Mask = beyond | ((ms == at) & tie)
        return mask


def _by_name(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _among(rows: pa.Table, name: str, wanted: Sequence[str] | Mapping[str, Any]) -> Mask:
    distinct, codes = words(rows, name)
    chosen = np.array([word in wanted for word in distinct], bool)
    mask: Mask = chosen[codes] if len(chosen) else np.zeros(rows.num_rows, bool)
    return mask
