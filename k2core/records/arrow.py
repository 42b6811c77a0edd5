"""Arrow schemas of records and of stored rows. The only module of this package that imports pyarrow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from k2core.records.data_type import Column, DataType

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "bytes": pa.binary(),
}

WORDS = pa.dictionary(pa.int32(), pa.string())
"""Type of a string column of few distinct values."""

TABLE_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("exchange_date", pa.date32()),  # UTC day of exchange_timestamp_ms; the table's first partition column
    ("id_epoch", pa.int64()),  # 0 until an exchange starts its ids again
    ("topic", WORDS),
    ("log_partition", pa.int32()),
    ("log_offset", pa.int64()),
    ("log_timestamp", pa.int64()),  # append time, Unix µs, monotone per partition
)
"""Columns that a table adds to the record's own: where the row came from, and when it was accepted."""


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """Arrow schema of record columns; non-null columns are marked so."""
    return pa.schema(
        [pa.field(c.name, WORDS if c.words else ARROW_TYPES[c.kind], nullable=c.nullable) for c in columns]
    )


def table_schema(data_type: DataType) -> pa.Schema:
    """Arrow schema of a stored row: the record's columns, then `TABLE_COLUMNS` (all required), then enrichers' columns."""
    added = [pa.field(name, kind, nullable=False) for name, kind in TABLE_COLUMNS]
    return pa.schema([*data_type.arrow_schema, *added, *arrow_schema(data_type.added)])
