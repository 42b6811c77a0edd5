"""Columns of Arrow tables as numpy arrays, and tables in key order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq


def open_parquet(source: Any, words: Sequence[str]) -> pq.ParquetFile:
    """Open a file, those of its columns that are `words` to be read as dictionaries; it may lack some."""
    try:
        return pq.ParquetFile(source, read_dictionary=list(words))
    except KeyError:
        with pq.ParquetFile(source) as file:
            there = set(file.schema_arrow.names)
        return pq.ParquetFile(source, read_dictionary=[w for w in words if w in there])


def longs(rows: pa.Table, column: str) -> npt.NDArray[np.int64]:
    """An integer column without nulls."""
    found: npt.NDArray[np.int64] = rows.column(column).to_numpy()
    return found


def words(rows: pa.Table, column: str) -> tuple[list[str], npt.NDArray[np.int64]]:
    """A string column without nulls as (distinct words, code of each row)."""
    found: Any = rows.column(column)
    if found.num_chunks > 1:
        found = found.unify_dictionaries() if pa.types.is_dictionary(found.type) else found
        found = found.combine_chunks()
        found = found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
    else:
        found = found.chunk(0) if found.num_chunks else pa.array([], found.type)
    if not pa.types.is_dictionary(found.type):
        found = found.dictionary_encode()
    return found.dictionary.to_pylist(), found.indices.to_numpy()


def joined(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """Tables of one schema as one, each column in one piece with one dictionary."""
    filled = [t for t in tables if t.num_rows]
    if not filled:
        return schema.empty_table()
    return pa.concat_tables(filled).unify_dictionaries().combine_chunks()


def in_key_order(rows: pa.Table, order: str, *, descending: bool, limit: int | None = None) -> pa.Table:
    """Rows sorted by (order column, topic, partition, offset) and cut to `limit`."""
    if not rows.num_rows:
        return rows
    at = np.lexsort(_keys(rows, order))
    at = (at[::-1] if descending else at)[:limit]
    return rows.take(at)


def _keys(rows: pa.Table, order: str) -> tuple[npt.NDArray[np.int64], ...]:
    """Columns for `np.lexsort`: the last is the first to sort by."""
    distinct, codes = words(rows, "topic")
    offsets, partitions, ms = (longs(rows, n) for n in ("log_offset", "log_partition", order))
    keys = [offsets]
    if len(partitions) and partitions.min() != partitions.max():
        keys.append(partitions)
    if len(distinct) > 1:
        keys.append(np.unique(np.array(distinct, object), return_inverse=True)[1][codes])
    return (*keys, ms)


def fitted(rows: pa.Table, schema: pa.Schema, constants: Mapping[str, Any]) -> pa.Table:
    """A query's result as a table of `schema`, with columns of one value added."""
    columns = []
    for field in schema:
        if field.name in constants:
            columns.append(constant(constants[field.name], rows.num_rows, field.type))
            continue
        found: Any = rows.column(field.name)
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(found.type):
            found = found.combine_chunks().dictionary_encode()
        columns.append(found if found.type == field.type else found.cast(field.type))
    return pa.table(columns, schema=schema)


def constant(value: Any, rows: int, kind: pa.DataType) -> Any:
    """A column of one value, or of none."""
    if value is None:
        nothing: Any = kind
        return pa.nulls(rows, nothing)
    if pa.types.is_dictionary(kind):
        codes: Any = pa.array(np.zeros(rows, np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array([value], pa.string()))
    return pa.array(np.full(rows, value), kind)
