"""Rows, positions and offsets: what goes in comes out, in one step."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo

from k2core.plugin import CommitConflictError, SinkError
from k2core.records.builtin import DEAD_LETTERS, QUOTES, TRADES

TOPIC = "market.crypto.trades.binance"


def test_rows_come_back_exactly_and_offsets_stand_in_the_summary(lake: Any, same_rows: Any) -> None:
    table = lake.table()
    assert table.head().snapshot_id is None
    owned = lake.own(table)
    parts = [lake.ingest(table, owned, 1000) for _ in range(3)]
    same_rows(lake.read(), *parts)
    head = lake.table().head()
    assert head.offsets == lake.tape.offsets
    assert head.topic_ids == {TOPIC: "id-1"}
    summary = table._state.read().metadata.current_snapshot().summary
    assert json.loads(summary["k2.offsets"])[TOPIC]["id"] == "id-1"
    assert (summary["k2.op"], summary["total-records"], summary["added-records"]) == ("ingest", "3000", "1000")


def test_files_that_were_discarded_cannot_be_committed(lake: Any) -> None:
    table = lake.table()
    owned = lake.own(table)
    staged = table.stage(lake.tape.trades(10, lake.clock.now_ms()))
    table.discard(staged)
    with pytest.raises(CommitConflictError, match="staged files are gone"):
        table.commit(staged, owned, table.head().offsets, dict(lake.tape.offsets))


def test_files_lie_as_designed(lake: Any) -> None:
    table = lake.table()
    staged = table.stage(lake.tape.trades(5000, lake.clock.now_ms()))
    assert len(staged.files) == len({(f.partition[0], f.partition[1]) for f in staged.files})
    path = staged.files[0].file_path.removeprefix("file://")
    assert str(lake.root / "market.trades" / "data") in path
    with pq.ParquetFile(path) as file:
        columns = {file.schema.column(i).name: file.metadata.row_group(0).column(i) for i in range(len(file.schema))}
        assert all(b"PARQUET:field_id" in f.metadata for f in file.schema_arrow)
        rows = file.read()
    for name in ("exchange_timestamp_us", "log_offset", "log_timestamp", "sequence_num"):
        assert "DELTA_BINARY_PACKED" in columns[name].encodings
    assert "DELTA_BYTE_ARRAY" in columns["trade_id"].encodings
    assert "RLE_DICTIONARY" in columns["price"].encodings
    assert columns["price"].compression == "SNAPPY"  # a small file, soon compacted
    keys = list(zip(rows["symbol"].to_pylist(), rows["exchange_timestamp_ms"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def test_bounds_prune_and_foreign_readers_see_the_columns(lake: Any) -> None:
    table = lake.table()
    owned = lake.own(table)
    for _ in range(3):
        lake.ingest(table, owned, 500)
        lake.clock.move(600)
    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db")
    foreign = catalog.load_table("market.trades")
    assert foreign.location() == f"file://{lake.root}/market.trades"
    assert {f.name: f.field_type for f in foreign.schema().fields}["exchange_timestamp_ms"].__str__() == "long"
    assert foreign.schema().find_field("symbol").required
    assert not foreign.schema().find_field("side").required
    assert str(foreign.sort_order()).count("ASC") == 2
    everything = len(list(foreign.scan().plan_files()))
    assert len(list(foreign.scan(EqualTo("symbol", "SYM000USDT")).plan_files())) == 3
    late = f"exchange_timestamp_ms >= {lake.clock.now_ms() - 605_000}"
    assert len(list(foreign.scan(late).plan_files())) < everything
    assert foreign.scan(EqualTo("symbol", "SYM000USDT")).to_arrow().num_rows > 0
    catalog.close()


def test_many_commits_merge_manifests_and_keep_30_snapshots(lake: Any, same_rows: Any) -> None:
    table = lake.table(manifest_merge_min=4)
    owned = lake.own(table)
    parts = [lake.ingest(table, owned, 40) for _ in range(70)]
    same_rows(lake.read(), *parts)
    metadata = table._state.read().metadata
    assert len(metadata.snapshots) == 30
    assert len(metadata.metadata_log) == 30
    assert len(table._manifests.of(metadata.current_snapshot())) <= 12
    assert len(list((lake.root / "market.trades" / "metadata").glob("*.metadata.json"))) == 31


def test_table_of_another_type_and_none_at_all(lake: Any) -> None:
    quotes = lake.table(QUOTES)
    assert quotes.head().offsets == {}
    assert (lake.root / "market.quotes" / "metadata").is_dir()
    with pytest.raises(SinkError, match="log alone"):
        lake.table(DEAD_LETTERS)


def test_entry_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, k2_plugin_iceberg as p; [*p.k2_sinks(), *p.k2_query_sources()];"
        "print([m for m in ('pyiceberg', 'duckdb', 'pyarrow', 'sqlalchemy', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert TRADES.table == "market.trades"
