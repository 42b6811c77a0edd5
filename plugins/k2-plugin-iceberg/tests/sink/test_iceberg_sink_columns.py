"""A table gets columns and loses whoever filled them: no value is lost, and what nobody wrote is null."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.source import IcebergSource

from k2core.plugin import Column, DataType, Selection, SinkError
from k2core.records.builtin import TRADES

WIDER = TRADES.with_added(
    [Column("notional", "double", True), Column("currency", "string", True, words=True), Column("rank", "long", True)]
)


def enriched(rows: pa.Table) -> pa.Table:
    n = rows.num_rows
    return pa.table(
        [*rows.columns, pa.array([float(k) for k in range(n)]), pa.array(["USD", None] * n)[:n].dictionary_encode(),
         pa.array(range(n), pa.int64())], schema=WIDER.table_schema
    )  # fmt: skip


def stored(lake: Any, table: Any, owned: Any, rows: int, *, wide: bool) -> pa.Table:
    expect = dict(lake.tape.offsets)
    fresh = lake.tape.trades(rows, lake.clock.now_ms(), 5000)
    fresh = enriched(fresh) if wide else fresh
    table.commit(table.stage(fresh), owned, expect, dict(lake.tape.offsets))
    return fresh


def asked(lake: Any, data_type: DataType, **selection: Any) -> list[dict[str, Any]]:
    source = IcebergSource(IcebergSettings(warehouse=lake.root), lake.context())
    try:
        table = source.table(data_type)
        newest = table.newest()
        rows = table.scan(newest, Selection(below=dict(newest.offsets), **selection), timeout=60).rows
        return sorted(rows.to_pylist(), key=lambda r: (r["log_partition"], r["log_offset"]))
    finally:
        source.close()


def by_position(*tables: pa.Table) -> list[dict[str, Any]]:
    rows = [{**dict.fromkeys(WIDER.table_schema.names), **r} for t in tables for r in t.to_pylist()]
    return sorted(rows, key=lambda r: (r["log_partition"], r["log_offset"]))


@pytest.mark.parametrize("files", [4, 0], ids=["read directly", "read by DuckDB"])
def test_a_column_comes_goes_and_comes_back(lake: Any, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k2_plugin_iceberg.scan.DIRECT_FILES", files and 1000)
    rows = 200
    narrow = lake.table()
    before = stored(lake, narrow, lake.own(narrow), rows, wide=False)
    assert asked(lake, WIDER) == by_position(before), "asked before any file has the columns"
    wide = lake.table(WIDER)
    during = stored(lake, wide, lake.own(wide), rows, wide=True)
    assert asked(lake, WIDER) == by_position(before, during)
    again = lake.table()
    after = stored(lake, again, lake.own(again), rows, wide=False)
    assert asked(lake, WIDER) == by_position(before, during, after)
    assert [r["price"] for r in asked(lake, TRADES)] == [r["price"] for r in by_position(before, during, after)]


def test_compaction_keeps_columns_that_nobody_declares_any_more(lake: Any) -> None:
    narrow = lake.table()
    parts = [stored(lake, narrow, lake.own(narrow), 200, wide=False)]
    wide = lake.table(WIDER)
    owned = lake.own(wide)
    parts += [stored(lake, wide, owned, 200, wide=True) for _ in range(3)]
    again = lake.table(slice_settle_s=0)
    parts.append(stored(lake, again, lake.own(again), 200, wide=False))
    lake.clock.ns += 2 * 86_400 * 10**9
    assert again.maintain().counts["files_compacted"] > 0
    assert asked(lake, WIDER) == by_position(*parts)


def test_compaction_with_an_older_idea_of_the_columns_gives_way(lake: Any) -> None:
    old = lake.table(slice_settle_s=0)
    owned = lake.own(old)
    parts = [stored(lake, old, owned, 200, wide=False) for _ in range(3)]
    lake.table(WIDER)
    lake.clock.ns += 2 * 86_400 * 10**9
    assert old.maintain().counts["files_compacted"] == 0
    assert asked(lake, WIDER) == by_position(*parts)


def test_two_processes_add_the_columns_at_once(lake: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    lake.table()
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: lake.table(WIDER), range(4)):
            pass
    fields = [f["name"] for f in asked_schema(lake)]
    assert fields == WIDER.table_schema.names


def asked_schema(lake: Any) -> list[dict[str, Any]]:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db")
    try:
        return [{"name": f.name} for f in catalog.load_table(TRADES.table).schema().fields]
    finally:
        catalog.close()


def test_a_column_of_another_type_is_refused(lake: Any) -> None:
    lake.table(WIDER)
    other = TRADES.with_added([Column("notional", "string", True)])
    with pytest.raises(SinkError, match="column notional is double, not string"):
        lake.table(other)
