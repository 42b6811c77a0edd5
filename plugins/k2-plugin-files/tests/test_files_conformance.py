"""The importer against k2's own suite, on CSV and on Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import k2_plugin_files
import pyarrow as pa
import pyarrow.parquet as pq

from k2core.testing import ImporterSuite

NAMES = ("Code", "Time", "Price", "Volume")
ROWS = [("BHP", f"{1_769_986_800_000 + n // 2}", f"{45 + n // 2}.5", "100") for n in range(300)]
"""Each twice: equal rows are two trades."""


class TestCsvFiles(ImporterSuite):
    (component,) = k2_plugin_files.k2_importers()
    options: ClassVar[Mapping[str, Any]] = {
        "exchange": "asx",
        "asset_class": "equities",
        "data_type": "trades",
        "columns": {"symbol": "Code", "quantity": "Volume", "price": "Price"},
        "time": {"columns": ["Time"], "format": "ms"},
        "block_bytes": 2048,
        "batch_rows": 64,
    }
    records = (
        {"symbol": "BHP", "price": 45.5, "quantity": 100.0, "exchange_timestamp_ms": 1_769_986_800_000},
        {"symbol": "BHP", "price": 45.5, "quantity": 100.0, "exchange_timestamp_ms": 1_769_986_800_000},
        {"symbol": "BHP", "price": 46.5, "quantity": 100.0, "exchange_timestamp_ms": 1_769_986_800_001},
    )

    def lines(self, rows: int, broken: int | None) -> list[tuple[str, ...]]:
        return [(row[0], row[1], "oops", row[3]) if n == broken else row for n, row in enumerate(ROWS[:rows], 1)]

    def file(self, folder: Path, rows: int, broken: int | None = None) -> Path:
        path = folder / "day.csv"
        path.write_text("\n".join(map(",".join, [NAMES, *self.lines(rows, broken)])) + "\n")
        return path


class TestParquetFiles(TestCsvFiles):
    def file(self, folder: Path, rows: int, broken: int | None = None) -> Path:
        path = folder / "day.parquet"
        columns = [pa.array(column) for column in zip(*self.lines(rows, broken), strict=True)]
        pq.write_table(pa.table(columns, names=list(NAMES)), path)
        return path
