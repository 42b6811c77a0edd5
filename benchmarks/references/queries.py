"""Bare loop, hybrid queries: DuckDB on listed Parquet files and Arrow slices in memory, no pin, no limits, no service."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from benchmarks.references.table import BareTable

COLUMNS = "symbol, exchange, exchange_timestamp_ms, price, quantity, side, trade_id, sequence_num"


class BareHybrid:
    """One symbol's queries over a `BareTable`'s files and a tail table."""

    def __init__(self, table: BareTable, tail: pa.Table, symbol: str) -> None:
        import duckdb

        self.con = duckdb.connect(config={"threads": 2})
        self.con.execute("set timezone='UTC'")
        bucket = table.part_of(symbol)
        self.files = sorted((f for f in table.files if f[0] == bucket), key=lambda f: -f[2])
        self.symbol, self.tail = symbol, tail
        self.con.register("tail", tail)

    def newest(self, count: int, from_tail: int) -> list[dict[str, Any]]:
        """`from_tail` rows of the tail, the rest from the files of the last ten minutes."""
        recent = self.tail.slice(max(0, len(self.tail) - from_tail)).to_pylist()
        low = self.files[0][2] - 600_000
        window = [f[3] for f in self.files if f[2] >= low]
        asked = (
            f"select {COLUMNS} from read_parquet({window}) where symbol = '{self.symbol}' "
            f"and exchange_timestamp_ms >= {low} order by exchange_timestamp_ms desc, sequence_num desc "
            f"limit {count - len(recent)}"
        )
        return recent[::-1] + self.con.sql(asked).to_arrow_table().to_pylist()

    def minutes(self, start_ms: int, end_ms: int) -> pa.Table:
        """Rows of a range, from the files that can hold some."""
        files = [f[3] for f in self.files if f[2] >= start_ms and f[1] < end_ms]
        asked = (
            f"select {COLUMNS} from read_parquet({files}) where symbol = '{self.symbol}' "
            f"and exchange_timestamp_ms >= {start_ms} and exchange_timestamp_ms < {end_ms} order by sequence_num"
        )
        return self.con.sql(asked).to_arrow_table()

    def bars(self) -> pa.Table:
        """One-minute OHLCV of everything, files and tail."""
        files = [f[3] for f in self.files]
        asked = (
            "select exchange_timestamp_ms // 60000 m, arg_min(price, sequence_num) o, max(price) h, min(price) l, "
            f"arg_max(price, sequence_num) c, sum(quantity) v from (select {COLUMNS} from read_parquet({files}) "
            f"where symbol = '{self.symbol}' union all select {COLUMNS} from tail) group by m order by m"
        )
        return self.con.sql(asked).to_arrow_table()
