"""Upkeep beside ingestion: smaller tables, the same rows."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from k2core.plugin import SinkError


def _data_files(lake: Any) -> int:
    return sum(name.endswith(".parquet") for _, _, names in os.walk(lake.root) for name in names)


def _live_files(lake: Any) -> int:
    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db")
    found = len(list(catalog.load_table("market.trades").scan().plan_files()))
    catalog.close()
    return found


def _align(lake: Any, seconds: int = 900) -> None:
    lake.clock.move(seconds - lake.clock.now_ns() / 1e9 % seconds)


def test_closed_slices_become_one_file_a_bucket_and_nothing_else_changes(lake: Any, same_rows: Any) -> None:
    _align(lake)
    table = lake.table()
    owned = lake.own(table)
    parts = []
    for _ in range(8):
        parts.append(lake.ingest(table, owned, 300))
        lake.clock.move(5)
    assert table.maintain().counts["files_compacted"] == 0  # the slice is open
    before = _live_files(lake)
    lake.clock.move(1200)
    dry = table.maintain(dry_run=True)
    assert dry.dry_run
    assert dry.counts["files_compacted"] == before == _live_files(lake)
    report = table.maintain()
    assert report.counts["files_compacted"] == before
    assert report.counts["files_written"] == _live_files(lake) <= 32
    assert report.counts["bytes_saved"] > 0
    same_rows(lake.read(), *parts)
    assert lake.table().head().offsets == lake.tape.offsets
    assert table.maintain().counts["files_compacted"] == 0
    summary = table._state.read().metadata.current_snapshot().summary
    assert (summary["k2.op"], summary.operation.value, summary["total-records"]) == ("compact", "replace", "2400")
    parts.append(lake.ingest(table, owned, 100))
    same_rows(lake.read(), *parts)


def test_slices_become_hours_and_hours_days(lake: Any, same_rows: Any) -> None:
    _align(lake, 86_400)
    lake.clock.move(1)  # event times are a little older than append times: stay within one date
    table = lake.table()
    owned = lake.own(table)
    parts = []
    for _ in range(8):  # two hours
        for _ in range(2):
            parts.append(lake.ingest(table, owned, 200))
            lake.clock.move(450)
        table.maintain()
    lake.clock.move(3600)
    table.maintain()
    hours = _live_files(lake)
    assert hours <= 2 * 16
    lake.clock.move(86_400)
    table.maintain()
    assert _live_files(lake) <= 16
    same_rows(lake.read(), *parts)


def test_compaction_gives_way_to_the_writer_and_loses_nothing(lake: Any, same_rows: Any) -> None:
    _align(lake)
    table, keeper = lake.table(), lake.table()  # the second as `k2 maintain` in another process
    owned = lake.own(table)
    parts = [lake.ingest(table, owned, 200) for _ in range(6)]
    lake.clock.move(1200)
    failed: list[Exception] = []

    def maintain() -> None:
        try:
            keeper.maintain()
            table.maintain()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            failed.append(error)

    thread = threading.Thread(target=maintain)
    thread.start()
    for _ in range(25):
        parts.append(lake.ingest(table, owned, 50))
    thread.join(120)
    assert not failed
    same_rows(lake.read(), *parts)
    assert table.head().offsets == lake.tape.offsets


def test_compaction_of_files_that_left_meanwhile_is_given_up(lake: Any, same_rows: Any) -> None:
    _align(lake)
    first, second = lake.table(), lake.table()
    owned = lake.own(first)
    parts = [lake.ingest(first, owned, 200) for _ in range(4)]
    lake.clock.move(1200)
    compaction = first._compaction
    planned = compaction.planned(first._state.read(), lake.clock.now_us())
    second.maintain()
    files = _data_files(lake)
    assert compaction.run(planned)["files_compacted"] == 0
    assert _data_files(lake) == files
    same_rows(lake.read(), *parts)


def test_expiry_keeps_30_and_tagged_hours_and_days(lake: Any) -> None:
    table = lake.table(snapshots_to_keep=4, hour_tags=5, day_tags=3)
    owned = lake.own(table)
    for _ in range(60):
        lake.ingest(table, owned, 3)
        lake.clock.move(1800)
    metadata = table._state.read().metadata
    tags = sorted(n for n in metadata.refs if n != "main")
    hours, days = [t for t in tags if t.startswith("k2-hour-")], [t for t in tags if t.startswith("k2-day-")]
    assert len(hours) in (4, 5)
    assert len(days) in (1, 2)
    assert len(metadata.snapshots) <= 4 + 5 + 3
    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db")
    foreign = catalog.load_table("market.trades")
    tagged = metadata.refs[days[0]].snapshot_id
    assert 0 < foreign.scan(snapshot_id=tagged).to_arrow().num_rows < 180
    catalog.close()
    assert table.head().offsets == lake.tape.offsets
    lake.clock.move(30 * 86_400)
    table.maintain()
    assert [n for n in table._state.read().metadata.refs if n != "main"] == []


def test_files_are_deleted_only_after_they_were_seen_unreachable_for_the_grace(lake: Any, same_rows: Any) -> None:
    _align(lake)
    table = lake.table(snapshots_to_keep=2, hour_tags=0, day_tags=0)
    owned = lake.own(table)
    parts = [lake.ingest(table, owned, 200) for _ in range(6)]
    lake.clock.move(1200)
    table.maintain()
    parts += [lake.ingest(table, owned, 10) for _ in range(3)]  # the snapshots before compaction go
    staged = table.stage(lake.tape.trades(50, lake.clock.now_ms()))
    report = table.maintain()
    assert report.counts["files_unreachable"] > 90
    assert report.counts["files_deleted"] == 0
    lake.clock.move(3500)
    assert table.maintain().counts["files_deleted"] == 0
    before = _data_files(lake)
    lake.clock.move(200)
    dry = table.maintain(dry_run=True).counts
    assert _data_files(lake) == before
    other = lake.table(snapshots_to_keep=2, hour_tags=0, day_tags=0)  # as another process: the record holds
    done = other.maintain().counts
    assert done["files_deleted"] == dry["files_deleted"] > 90
    assert all(os.path.exists(f.file_path.removeprefix("file://")) for f in staged.files)
    same_rows(lake.read(), *parts)
    lake.clock.move(86_400)
    table.maintain()
    assert not any(os.path.exists(f.file_path.removeprefix("file://")) for f in staged.files)
    with pytest.raises(SinkError, match="staged files are gone"):
        table.commit(staged, owned, table.head().offsets, dict(lake.tape.offsets))
    lake.clock.move(90_000)  # what the last run compacted waits for its grace as well
    table.maintain()
    assert table.maintain().counts["files_unreachable"] == 0
    same_rows(lake.read(), *parts)


def test_a_day_of_capture_is_small(lake: Any) -> None:
    """Bytes a trade after compaction, all columns."""
    _align(lake)
    table = lake.table()
    owned = lake.own(table)
    for _ in range(4):
        lake.ingest(table, owned, 25_000, span_ms=200_000)
        lake.clock.move(210)
    lake.clock.move(1200)
    table.maintain()
    summary = table._state.read().metadata.current_snapshot().summary
    assert int(summary["total-files-size"]) / 100_000 <= 14
    path = next(f.path for f in table._compaction._inventory.head(table._state.read().metadata))
    with pq.ParquetFile(path.removeprefix("file://")) as file:
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_commits_do_not_slow_down(lake: Any) -> None:
    table = lake.table()
    owned = lake.own(table)
    took = []
    for _ in range(200):
        start = time.process_time()
        lake.ingest(table, owned, 20)
        took.append(time.process_time() - start)
    assert sorted(took[-40:])[20] < 2.5 * sorted(took[10:50])[20]
