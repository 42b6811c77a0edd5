"""Which symbols there are: rows, first and last event time per (symbol, exchange), counted in both halves."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_SYMBOLS: list[tuple[str, Any]] = [
        ("symbol", pa.string()), ("exchange", pa.string()), ("rows", pa.int64()),
        ("first_ms", pa.int64()), ("last_ms", pa.int64()),
    ]  # fmt: skip
SYMBOLS = pa.schema(_SYMBOLS)

WHO = ["symbol", "exchange"]


def count_symbols(rows: pa.Table, order: str) -> pa.Table:
    """`SYMBOLS` of rows."""
    if not rows.num_rows:
        return SYMBOLS.empty_table()
    plain = pa.table({n: rows.column(n).cast(pa.string()) for n in WHO} | {"ms": rows.column(order)})
    found = plain.group_by(WHO).aggregate([("ms", "count"), ("ms", "min"), ("ms", "max")])
    return found.rename_columns({"ms_count": "rows", "ms_min": "first_ms", "ms_max": "last_ms"}).select(SYMBOLS.names)


def merge_symbols(parts: list[pa.Table]) -> pa.Table:
    """Counts of several halves as one, ordered by symbol and exchange."""
    table = pa.concat_tables([p.select(SYMBOLS.names).cast(SYMBOLS) for p in parts])
    found = table.group_by(WHO).aggregate([("rows", "sum"), ("first_ms", "min"), ("last_ms", "max")])
    names = {"rows_sum": "rows", "first_ms_min": "first_ms", "last_ms_max": "last_ms"}
    return found.rename_columns(names).select(SYMBOLS.names).sort_by([(n, "ascending") for n in WHO])
