"""The total order of answers: (order column, topic, log_partition, log_offset), and tables sorted and joined by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.interfaces.query import Key
from k2core.query.arrays import longs, ranks

PLACE = ("topic", "log_partition", "log_offset")


def join_tables(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """Tables of the same columns as one of `schema`, with one dictionary a column."""
    fitted = [t if t.schema.equals(schema) else t.select(schema.names).cast(schema) for t in tables if t.num_rows]
    if not fitted:
        return schema.empty_table()
    return pa.concat_tables(fitted).unify_dictionaries().combine_chunks()


def in_key_order(rows: pa.Table, order: str, *, descending: bool, limit: int | None = None) -> pa.Table:
    """Rows sorted by key and cut to `limit`."""
    if rows.num_rows:
        at = np.lexsort(key_columns(rows, order))
        rows = rows.take((at[::-1] if descending else at)[:limit])
    return rows


def key_columns(rows: pa.Table, order: str) -> tuple[npt.NDArray[np.int64], ...]:
    """Columns for `np.lexsort`: the last is the first to sort by."""
    return longs(rows, "log_offset"), longs(rows, "log_partition"), ranks(rows, "topic"), longs(rows, order)


def key_of(rows: pa.Table, at: int, order: str) -> Key:
    """The key of one row."""
    ms, topic, partition, offset = (rows.column(name)[at].as_py() for name in (order, *PLACE))
    return ms, topic, partition, offset
