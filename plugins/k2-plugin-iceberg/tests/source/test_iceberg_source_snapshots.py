"""Snapshots come and go under a reader: commits, compaction, expiry, rollback, files deleted while they are read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from k2_plugin_iceberg.source import IcebergSource
from pyiceberg.catalog.sql import SqlCatalog

from k2core.plugin import QueryError, Selection, Snapshot
from k2core.records.builtin import QUOTES, TRADES


def everything(snapshot: Snapshot, **changes: Any) -> Selection:
    return Selection(below=snapshot.offsets, **changes)


def count(source: Any, snapshot: Snapshot) -> int:
    return int(source.scan(snapshot, everything(snapshot), timeout=60).rows.num_rows)


def roll_back(world: Any, snapshot_id: int) -> None:
    catalog = SqlCatalog("k2", uri=world.settings.uri)
    catalog.load_table(TRADES.table).manage_snapshots().rollback_to_snapshot(snapshot_id).commit()
    catalog.close()


def test_a_table_that_does_not_exist_yet_is_empty(world: Any) -> None:
    with IcebergSource(world.settings, world.context) as quotes:
        table = quotes.table(QUOTES)
        assert table.newest().id is None
        assert not table.contains_snapshot(1)
        assert table.stats()["rows"] == 0
        with pytest.raises(QueryError, match="the table is empty") as caught:
            table.snapshot(1)
        assert (caught.value.kind, caught.value.status) == ("snapshot-gone", 410)
        assert table.scan(table.newest(), Selection(), timeout=1).rows.schema.equals(QUOTES.table_schema)


def test_a_commit_is_seen_at_once_and_older_snapshots_stay(world: Any) -> None:
    source = world.source()
    assert source.newest().id is None
    first = world.commit(world.rows(20))
    older = source.newest()
    second = world.commit(world.rows(30))
    newer = source.newest()
    assert (older.id, newer.id, newer.parent_id) == (first, second, first)
    assert (count(source, older), count(source, newer)) == (20, 50)
    assert source.snapshot(first).offsets == older.offsets
    assert newer.offsets == world.offsets
    assert source.stats() == {"rows": 50, "files": len(source._plan.files(newer)), "bytes": source.stats()["bytes"], "snapshots": 2}  # fmt: skip


def test_an_expired_snapshot_is_a_typed_error_that_names_the_nearest(world: Any) -> None:
    source = world.source()
    ids = []
    for _ in range(8):
        ids.append(world.commit(world.rows(3)))
        source.newest()
        world.move(5)
    with pytest.raises(QueryError, match=f"nearest that lives is {ids[-4]}") as caught:
        source.snapshot(ids[0])
    assert caught.value.status == 410
    with pytest.raises(QueryError, match="those that live reach from"):
        world.source().snapshot(12345)


def test_ancestry_outlives_expiry_and_ends_at_a_rollback(world: Any) -> None:
    source = world.source()
    ids = []
    for _ in range(7):
        ids.append(world.commit(world.rows(3)))
        assert source.contains_snapshot(ids[-1])
    assert all(source.contains_snapshot(i) for i in ids)
    roll_back(world, ids[-3])
    assert source.newest().id == ids[-3]
    assert [source.contains_snapshot(i) for i in ids] == [True] * 5 + [False] * 2


def test_an_unknown_past_is_not_taken_for_ones_own(world: Any) -> None:
    source = world.source()
    first = world.commit(world.rows(3))
    assert source.contains_snapshot(first)
    for _ in range(12):  # far more than are kept: no link to what was seen is left
        world.commit(world.rows(1))
    assert not source.contains_snapshot(first)


def test_a_snapshot_whose_files_were_swept_is_read_from_the_newest(world: Any) -> None:
    source = world.source()
    world.commit(world.rows(40))
    world.commit(world.rows(40))
    pinned = source.newest()
    before = source.scan(pinned, everything(pinned), timeout=60).rows
    old = source._plan.files(pinned).path.tolist()
    world.move(2 * 86_400)
    assert world.table.maintain().counts["files_compacted"] > 0
    world.commit(world.rows(5))
    for path in old:
        Path(path).unlink(missing_ok=True)
    assert source.scan(pinned, everything(pinned), timeout=60).rows.equals(before)
    assert source.scan(pinned, Selection(below=world.offsets), timeout=60).rows.equals(before)
    bars = source.ohlcv(pinned, everything(pinned), 60_000, price="price", quantity="quantity", timeout=60).rows
    assert sum(bars["trades"].to_pylist()) == 80


def test_missing_files_of_the_newest_snapshot_are_an_error(world: Any) -> None:
    source = world.source()
    world.commit(world.rows(40))
    newest = source.newest()
    shutil.rmtree(world.settings.table_folder(TRADES.table) / "data")
    with pytest.raises(QueryError, match="is damaged") as caught:
        count(source, newest)
    assert caught.value.status == 500


def test_a_damaged_file_is_an_error_that_names_it(world: Any) -> None:
    source = world.source()
    world.commit([world.row("market.crypto.trades.binance", "X", 4_102_366_400_000, 1)])
    newest = source.newest()
    (path,) = source._plan.files(newest).path
    Path(path).write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")
    with pytest.raises(QueryError, match="cannot be read") as caught:
        count(source, newest)
    assert caught.value.kind == "table-unreadable"


def test_rows_without_an_origin_are_refused(world: Any) -> None:
    source = world.source()
    world.commit(world.rows(5))
    catalog = SqlCatalog("k2", uri=world.settings.uri)
    table = catalog.load_table(TRADES.table)
    table.append(table.scan().to_arrow().slice(0, 1))
    catalog.close()
    with pytest.raises(QueryError, match=r"without k2\.offsets") as caught:
        source.newest()
    assert caught.value.kind == "foreign-snapshot"
