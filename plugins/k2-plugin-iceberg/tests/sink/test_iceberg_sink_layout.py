"""Containers, bounds and entries: equal to what pyiceberg makes and reads of them."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import k2_plugin_iceberg.files as files
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from k2_plugin_iceberg.containers import long_bytes, read_long
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import ManifestEntryStatus

from k2core.plugin import SinkError
from k2core.records.builtin import QUOTES, TRADES


@pytest.mark.parametrize("value", [0, 1, -1, 63, 64, -64, -65, 2**31, -(2**31), 2**63 - 1, -(2**63)])
def test_longs_go_there_and_back(value: int) -> None:
    assert read_long(b"x" + long_bytes(value) + b"y", 1) == (value, 1 + len(long_bytes(value)))


def test_bounds_are_those_of_the_rows(lake: Any) -> None:
    table = lake.table()
    rows = lake.tape.trades(2000, lake.clock.now_ms())
    holes = pc.if_else(pc.less(rows["log_offset"], 9), pa.scalar(None, pa.int64()), rows["sequence_num"])
    rows = rows.set_column(rows.schema.get_field_index("sequence_num"), "sequence_num", holes)
    ids = {f.name: f.field_id for f in table._manifests.schema.fields}
    for file in table.stage(rows).files:
        date, bucket = file.partition[0], file.partition[1]
        mine = rows.filter(
            pc.and_(pc.equal(rows["log_partition"], bucket), pc.equal(rows["exchange_date"].cast(pa.int32()), date))
        )
        assert file.record_count == mine.num_rows
        for name in ("exchange_timestamp_ms", "log_offset", "log_timestamp", "sequence_num"):
            low, high = pc.min_max(mine[name]).as_py().values()
            wanted = (None, None) if low is None else (struct.pack("<q", low), struct.pack("<q", high))
            assert (file.lower_bounds.get(ids[name]), file.upper_bounds.get(ids[name])) == wanted
            assert file.null_value_counts[ids[name]] == mine[name].null_count
        names = sorted(set(mine["symbol"].to_pylist()))
        assert file.lower_bounds[ids["symbol"]].decode() == names[0]
        assert file.upper_bounds[ids["symbol"]].decode() == names[-1]


def test_merged_manifests_tell_the_same_entries(lake: Any) -> None:
    plain, merging = lake.table(manifest_merge_min=1000), lake.table(manifest_merge_min=3)
    owned = lake.own(plain)
    for _ in range(5):
        lake.ingest(plain, owned, 100)

    def entries(table: Any) -> dict[str, tuple[Any, ...]]:
        manifests = table._manifests.of(table._state.read().metadata.current_snapshot())
        found = [e for m in manifests for e in table._manifests.entries(m)]
        facts = {e.data_file.file_path: (e.snapshot_id, e.sequence_number, e.file_sequence_number) for e in found}
        assert len(facts) == len(found)
        return facts

    before = entries(plain)
    lake.ingest(merging, owned, 100)
    after = entries(merging)
    assert {p: f for p, f in after.items() if p in before} == before
    for _ in range(12):  # merged manifests are merged again
        lake.ingest(merging, owned, 300)
    again = entries(merging)
    assert {p: f for p, f in again.items() if p in after} == after
    manifests = merging._manifests.of(merging._state.read().metadata.current_snapshot())
    assert len(manifests) <= 7
    oldest = manifests[-1]
    assert oldest.existing_files_count >= len(before)
    assert oldest.min_sequence_number == 1
    assert {e.status for e in merging._manifests.entries(oldest)} == {ManifestEntryStatus.EXISTING}


def test_manifests_of_foreign_programs_are_merged_too(lake: Any, same_rows: Any) -> None:
    table = lake.table(manifest_merge_min=2)
    owned = lake.own(table)
    rows = lake.ingest(table, owned, 100)
    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db")
    catalog.load_table("market.trades").delete(f"trade_id = '{rows['trade_id'][0]}'")
    catalog.close()
    kept = rows.filter(pc.not_equal(rows["trade_id"], rows["trade_id"][0]))
    more = [lake.ingest(table, owned, 100) for _ in range(3)]
    same_rows(lake.read(), kept, *more)
    assert lake.read().num_rows == 399


def test_plain_strings_and_quotes_are_taken(lake: Any, same_rows: Any) -> None:
    table = lake.table()
    rows = lake.tape.trades(300, lake.clock.now_ms())
    plain = [f.with_type(f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in TRADES.table_schema]
    staged = table.stage(rows.cast(pa.schema(plain)))
    table.commit(staged, lake.own(table), {}, dict(lake.tape.offsets))
    same_rows(lake.read(), rows)
    quotes = lake.table(QUOTES)
    fields = {"update_id": "trade_id", "bid_price": "price", "bid_quantity": "quantity"}
    fields |= {"ask_price": "price", "ask_quantity": "quantity", "timestamp_source": "source"}
    columns = {n: rows[fields.get(n, n)] for n in QUOTES.table_schema.names}
    quoted = pa.table(columns, schema=QUOTES.table_schema)
    quotes.commit(quotes.stage(quoted), lake.own(quotes), {}, {})
    assert quotes._state.read().metadata.current_snapshot().summary["total-records"] == "300"


def test_dictionaries_that_differ_between_chunks(lake: Any, same_rows: Any) -> None:
    table = lake.table()
    parts = [lake.tape.trades(100, lake.clock.now_ms()) for _ in range(2)]
    lake.tape.names = [f"NEW{i}" for i in range(40)]
    from k2core.plugin import partition_of

    lake.tape.partition[:] = [partition_of(n) for n in lake.tape.names]
    parts.append(lake.tape.trades(100, lake.clock.now_ms()))
    joined = pa.concat_tables(parts)
    table.commit(table.stage(joined), lake.own(table), {}, dict(lake.tape.offsets))
    same_rows(lake.read(), joined)
    assert table.head().offsets == lake.tape.offsets


def test_full_disk_leaves_nothing_behind(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.table()
    rows = lake.tape.trades(500, lake.clock.now_ms())
    real, written = os.write, []

    def write(fd: int, data: Any) -> int:
        written.append(fd)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(files.os, "write", write)
    with pytest.raises(SinkError, match="No space left"):
        table.stage(rows)
    assert not [n for _, _, names in os.walk(lake.root / "market.trades" / "data") for n in names]
    monkeypatch.undo()
    assert table.stage(rows).rows == 500


def test_table_of_another_shape_is_refused(lake: Any) -> None:
    from dataclasses import replace

    from k2core.plugin import Column

    lake.table()
    wider = replace(TRADES, columns=(*TRADES.columns, Column("venue", "string")))  # not null: older rows have none
    with pytest.raises(SinkError, match="column venue is missing"):
        lake.table(wider)


def test_a_closed_sink_holds_no_catalog_open(lake: Any) -> None:
    table = lake.table()
    lake.ingest(table, lake.own(table, "one:1"), 50)

    def held() -> int:
        links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _open(name)]
        return sum(link.startswith(str(lake.root / "catalog.db")) for link in links)

    table.stored().marks(("market.crypto.trades.binance", 3), 1 << 60)
    before = held()
    lake.close()
    assert before > 0
    assert held() == 0


def _open(name: str) -> bool:
    return Path(f"/proc/self/fd/{name}").is_symlink()
