"""What manifests tell of files by stream is what the files hold, wherever entries go; and it saves opening them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from k2_plugin_iceberg.filelist import MOST
from k2_plugin_iceberg.identities import Bound, IdentityReader
from k2_plugin_iceberg.recorded import MOST_STREAMS

from k2core.plugin import ChannelFacts, IdentityBatch, Stream, partition_of
from k2core.records.builtin import TRADES

TOPIC, EXCHANGE = "market.crypto.trades.binance", "binance"
INCREASING = ChannelFacts(ids="increasing", event_time="received")
BASE_MS = 4_102_366_400_000


def asked(row: Any, ids: list[int], kind: Any = "increasing") -> IdentityBatch:
    n = len(ids)
    return IdentityBatch(
        data_type="trades", partition=(row["topic"], row["log_partition"]), kind=kind, event_time="received",
        streams=(Stream(row["exchange"], row["symbol"]),), stream=np.zeros(n, np.int32), ids=np.array(ids, np.int64),
        order_ms=np.full(n, 1), offsets=np.arange(n) + (1 << 40), timestamps_us=np.full(n, 1),
    )  # fmt: skip


def held_by(source: Any) -> Any:
    return source._plan.files(source.newest())


def check_all(world: Any) -> int:
    """Every file of the table tells what reading it gives."""
    source, reader = world.source(), IdentityReader(TRADES)
    files = held_by(source)
    for path, recorded in zip(files.path, files.recorded, strict=True):
        for partition in {place for place, _ in recorded.who()}:
            bound = Bound(partition, -MOST, MOST, MOST)
            for by_id in (True, False):
                assert recorded.spans(partition, by_id=by_id) == reader.spans(path, bound, by_id=by_id)
    assert source.seen(source.newest()) == {(r["symbol"], r["exchange"]) for r in world.brute()}
    return len(files)


def test_every_file_tells_what_it_holds_through_commits_merges_and_compaction(new_world: Any) -> None:
    world = new_world("t", manifest_merge_min=2)
    for _ in range(9):
        world.commit(world.rows(40))
        world.move(200)
    many = check_all(world)
    world.move(3600)
    assert world.table.maintain().counts["files_compacted"]
    assert 0 < check_all(world) < many
    for _ in range(5):
        world.commit(world.rows(10))
    check_all(world)


def test_a_start_and_a_look_up_of_new_ids_open_no_file(new_world: Any) -> None:
    world = new_world("t")
    for _ in range(3):
        world.commit(world.rows(60))
        world.move(60)
    rows, source = world.brute(), world.source()
    stored = source.stored().declared({EXCHANGE: INCREASING})
    source.newest(), held_by(source)
    for path in held_by(source).path:  # whoever opens one fails
        Path(path).unlink()
    for row in rows:
        place = row["topic"], row["log_partition"]
        mine = [r for r in rows if (r["exchange"], r["symbol"]) == (row["exchange"], row["symbol"])]
        if row["exchange"] == EXCHANGE:
            marks = stored.marks(place, 1 << 60)
            assert marks[Stream(EXCHANGE, row["symbol"])] == max(int(r["trade_id"]) for r in mine)
        assert not stored.contains(asked(row, [1, 2, 10**9])).any()
        with pytest.raises(Exception, match="vanish"):
            stored.contains(asked(row, [int(row["trade_id"])]))


def test_contiguous_ids_are_found_whatever_sequence_num_says(new_world: Any) -> None:
    world = new_world("t")
    row = world.row(TOPIC, "BTCUSDT", BASE_MS, BASE_MS * 1000)
    world.commit([{**row, "trade_id": "5000", "sequence_num": 7}])
    stored = world.source().stored().declared({EXCHANGE: ChannelFacts(ids="contiguous")})
    assert stored.contains(asked(row, [4999, 5000, 5001], "contiguous")).tolist() == [False, True, False]


def test_a_file_of_very_many_symbols_tells_who_and_is_read_for_the_rest(new_world: Any) -> None:
    world = new_world("t")
    home = partition_of("BTCUSDT")
    names = [n for n in (f"N{i}" for i in range(5000)) if partition_of(n) == home][: MOST_STREAMS + 1]
    rows = [world.row(TOPIC, name, BASE_MS, BASE_MS * 1000) for name in names]
    world.commit(rows)
    source = world.source()
    (recorded,) = held_by(source).recorded
    assert recorded.spans((TOPIC, home), by_id=True) is None
    assert source.seen(source.newest()) == {(n, EXCHANGE) for n in names}
    assert source.stored().contains(asked(rows[3], [1, int(rows[3]["trade_id"])])).tolist() == [False, True]


def test_files_that_nobody_wrote_down_are_read_and_nothing_is_said_of_names(new_world: Any) -> None:
    world = new_world("t")
    rows = world.rows(50)
    world.commit(rows)
    source = world.source()
    held_by(source).recorded[:] = None
    assert source.seen(source.newest()) is None
    assert source.stored().contains(asked(rows[0], [1, int(rows[0]["trade_id"])])).tolist() == [False, True]
