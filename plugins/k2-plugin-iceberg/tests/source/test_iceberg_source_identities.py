"""Look-ups of identities give what reading every row gives: stored or not, of which stream, at which position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from k2_plugin_iceberg.identities import ids_of
from k2_plugin_iceberg.stored import TableIdentities

from k2core.plugin import ChannelFacts, IdentityBatch, Stream, partition_of
from k2core.records.builtin import TRADES

TOPIC = "market.crypto.trades.binance"
EXCHANGE = "binance"
MOST = (1 << 63) - 1
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BTC/USD", "ΩMEGA", "X")
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CONTIGUOUS = ChannelFacts(ids="contiguous")


def batch_of(rows: list[Any], facts: ChannelFacts, *, text: bool = False) -> IdentityBatch:
    streams = sorted({Stream(r["exchange"], r["symbol"], r["id_epoch"]) for r in rows})
    ids = [r["trade_id"] for r in rows]
    whole = all(i.isdigit() for i in ids) and not text
    return IdentityBatch(
        data_type="trades", partition=(rows[0]["topic"], rows[0]["log_partition"]), kind=facts.ids,
        streams=tuple(streams), event_time=facts.event_time,
        stream=np.array([streams.index(Stream(r["exchange"], r["symbol"], r["id_epoch"])) for r in rows], np.int32),
        ids=np.array([int(i) for i in ids], np.int64) if whole else np.array(ids, object),
        order_ms=np.array([r["exchange_timestamp_ms"] for r in rows], np.int64),
        offsets=np.array([r["log_offset"] for r in rows], np.int64),
        timestamps_us=np.array([r["log_timestamp"] for r in rows], np.int64),
    )  # fmt: skip


def with_id(row: Any, text: str, number: int | None = None) -> Any:
    return {**row, "trade_id": text, "sequence_num": number}


@pytest.fixture
def stored(busy: Any) -> TableIdentities:
    return busy.source().stored()


@pytest.mark.parametrize("kind", ["contiguous", "increasing", "opaque"])
@pytest.mark.parametrize("event_time", ["exchange", "received"])
def test_contains_equals_brute_force(busy: Any, stored: Any, kind: Any, event_time: Any) -> None:
    facts, by_place = ChannelFacts(ids=kind, event_time=event_time), {}
    for row in busy.brute():
        by_place.setdefault((row["topic"], row["log_partition"]), []).append(row)
    known = {(r["exchange"], r["symbol"], r["trade_id"]): r["log_offset"] for rows in by_place.values() for r in rows}

    @SETTINGS
    @given(st.data())
    def check(data: Any) -> None:
        rows = by_place[data.draw(st.sampled_from(sorted(by_place)))]
        asked = []
        for row in data.draw(st.lists(st.sampled_from(rows), min_size=1, max_size=30)):
            number = int(row["trade_id"]) + data.draw(st.sampled_from([0, 0, 0, 1, 10_000]))
            ms = row["exchange_timestamp_ms"] if event_time == "exchange" else data.draw(st.integers(0, 10**13))
            same = with_id(row, str(number), number) | {"exchange_timestamp_ms": ms}
            # an equal identity has an equal event time: another id may not be looked for under this row's date
            if number != int(row["trade_id"]) and (row["exchange"], row["symbol"], str(number)) in known:
                continue
            shift = data.draw(st.sampled_from([0, 1, 5, 1000]))
            asked.append({**same, "log_offset": row["log_offset"] + shift})
        if not asked:
            return
        asked.sort(key=lambda r: r["log_offset"])
        found = stored.contains(batch_of(asked, facts, text=data.draw(st.booleans())))
        places = [known.get((r["exchange"], r["symbol"], r["trade_id"]), MOST) < r["log_offset"] for r in asked]
        assert found.tolist() == places

    check()


def test_contains_sees_each_commit_at_once_and_whatever_form_ids_have(world: Any) -> None:
    stored = TableIdentities(world.source()._plan, TRADES)
    first = [world.row(TOPIC, "X", 4_102_366_400_000 + n, n) for n in range(4)]
    odd = [with_id(r, t) for r, t in zip(first, ["17", "017", "17a", "99999999999999999999"], strict=True)]
    later = [{**r, "log_offset": r["log_offset"] + 100} for r in odd]
    for facts in (CONTIGUOUS, ChannelFacts(ids="opaque", event_time="received")):
        assert not stored.contains(batch_of(later, facts)).any()
    world.commit(odd)
    for facts in (CONTIGUOUS, ChannelFacts(ids="opaque", event_time="received")):
        assert stored.contains(batch_of(later, facts)).all()
        assert stored.contains(batch_of(later[:1], facts)).all()
        assert not stored.contains(batch_of(odd, facts)).any(), "a row is not a copy of itself"
        others = [{**r, "id_epoch": 1} for r in later]
        assert not stored.contains(batch_of(others, facts)).any()
    strange = [with_id(r, t) for r, t in zip(later, ["170", "0017", "17A", "7"], strict=True)]
    assert not stored.contains(batch_of(strange, CONTIGUOUS)).any()


@pytest.mark.parametrize("since", [0, 1, 2, 3])
def test_load_and_marks_equal_brute_force(busy: Any, since: int) -> None:
    rows = busy.brute()
    stamps = sorted(r["log_timestamp"] for r in rows)
    edge = [stamps[0], stamps[len(stamps) // 2], stamps[-1], stamps[-1] + 1][since]
    stored = busy.source().stored().declared({EXCHANGE: CONTIGUOUS})
    for symbol in SYMBOLS:
        place = (TOPIC, partition_of(symbol))
        mine = [r for r in rows if (r["topic"], r["log_partition"]) == place]
        expected = {(r["symbol"], int(r["trade_id"]), r["log_offset"], r["log_timestamp"], r["exchange_timestamp_ms"])
                    for r in mine if r["log_timestamp"] >= edge}  # fmt: skip
        loaded = list(stored.load(place, edge))
        assert all(
            b.ids.dtype == np.int64 and b.kind == "contiguous" and (np.diff(b.offsets) > 0).all() for b in loaded
        )
        columns = [(b.streams[s].symbol, i, o, t, m) for b in loaded for s, i, o, t, m in zip(
            b.stream, b.ids.tolist(), b.offsets.tolist(), b.timestamps_us.tolist(), b.order_ms.tolist(), strict=True)]  # fmt: skip
        assert len(columns) == len(set(columns))
        assert set(columns) == expected
        marks: dict[Stream, int] = {}
        for r in (r for r in mine if r["log_timestamp"] < edge):
            who = Stream(EXCHANGE, r["symbol"])
            marks[who] = max(marks.get(who, -1), int(r["trade_id"]))
        assert stored.marks(place, edge) == marks == stored.marks(place, edge)


def test_marks_are_event_times_where_ids_have_no_order(busy: Any) -> None:
    stored = busy.source().stored().declared({TOPIC: ChannelFacts(ids="opaque")})
    rows = [r for r in busy.brute() if r["topic"] == TOPIC and r["symbol"] == "X"]
    marks = stored.marks((TOPIC, partition_of("X")), MOST)
    assert marks[Stream(EXCHANGE, "X")] == max(r["exchange_timestamp_ms"] for r in rows)


def test_what_is_not_declared_is_always_looked_up(busy: Any) -> None:
    marks = busy.source().stored().marks((TOPIC, partition_of("X")), 0)
    assert marks[Stream(EXCHANGE, "X")] == MOST


def test_a_pinned_snapshot_holds_nothing_newer(world: Any) -> None:
    source = world.source()
    old = world.rows(30)
    world.commit(old)
    pinned = source.stored(source.newest()).declared({EXCHANGE: CONTIGUOUS})
    new = [world.row(TOPIC, "X", 4_102_366_400_000, 5)]
    world.commit(new)
    again = [{**new[0], "log_offset": new[0]["log_offset"] + 9}]
    assert not pinned.contains(batch_of(again, CONTIGUOUS)).any()
    assert source.stored().contains(batch_of(again, CONTIGUOUS)).all()
    place = (TOPIC, partition_of("X"))
    held = sum(len(b) for b in pinned.load(place, 0))
    assert held == sum((r["topic"], r["log_partition"]) == place for r in old)


def test_files_swept_while_identities_are_loaded_are_read_elsewhere(world: Any) -> None:
    place = (TOPIC, partition_of("X"))
    for n in range(4):
        world.commit([world.row(TOPIC, "X", 4_102_366_400_000 + n, n) for _ in range(5)])
    source = world.source()
    stored = source.stored(source.newest()).declared({EXCHANGE: CONTIGUOUS})
    paths = source._plan.files(source.newest()).path.tolist()
    loading = stored.load(place, 0)
    found = next(loading).offsets.tolist()
    world.move(3 * 86_400)
    assert world.table.maintain().counts["files_compacted"] == 4
    for path in paths:
        Path(path).unlink()
    for batch in loading:
        found += batch.offsets.tolist()
    assert sorted(found) == list(range(20))
    assert stored.marks(place, MOST) == {Stream(EXCHANGE, "X"): 120}


def test_ids_are_numbers_only_where_all_are() -> None:
    assert ids_of(pa.chunked_array([["0", "17", str(2**63 - 1)]])).tolist() == [0, 17, 2**63 - 1]
    for odd in ("", "017", "-1", "+1", "1.0", " 1", "١", str(2**63), "1\n", "abc"):
        found: Any = ids_of(pa.chunked_array([["17", odd]]))
        assert found.tolist() == ["17", odd]
    assert ids_of(pa.chunked_array([[]], pa.string())).dtype == np.int64


def test_ids_without_a_sequence_number_are_found_beside_those_with_one(world: Any) -> None:
    rows = [world.row(TOPIC, "X", 4_102_366_400_000, n) for n in range(2)]
    world.commit([with_id(rows[0], "10", 10), with_id(rows[1], "5000", None)])
    later = with_id({**rows[1], "log_offset": 99}, "5000", None)
    assert world.source().stored().contains(batch_of([later], CONTIGUOUS)).all()
