"""Blocks to rows: what is admitted, what is refused and why, and that neighbours do not matter."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random

import numpy as np
import pyarrow as pa
import pytest

from k2core.admission import Admission
from k2core.admission.dead_letters import dead_letter_topic, encode_dead_letters
from k2core.avro.codec import Codec
from k2core.interfaces.frames import ChannelFacts
from k2core.records.builtin import DEAD_LETTERS, QUOTES, TRADES
from k2core.records.topics import partition_of
from tests.unit.admission.admission_blocks import NOW_MS, TOPIC, block, trade

FACTS = {"binance": ChannelFacts(ids="contiguous")}
ADMISSION = Admission(TRADES, FACTS)
DAY_MS = 86_400_000


def test_rows_carry_their_place_and_day() -> None:
    rows = ADMISSION.admit([block(trade("7"), trade("8"), offset=40)]).rows
    assert rows.schema == TRADES.table_schema
    first = rows.to_pylist()[1]
    assert first["trade_id"] == "8"
    assert first["exchange_date"] == dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC).date()
    place = (first["topic"], first["log_partition"], first["log_offset"], first["log_timestamp"], first["id_epoch"])
    assert place == (TOPIC, partition_of("BTCUSDT"), 41, NOW_MS * 1000, 0)


def test_the_day_begins_at_midnight_utc() -> None:
    midnight = NOW_MS - NOW_MS % DAY_MS
    times = [midnight - 1, midnight, midnight + DAY_MS - 1]
    rows = ADMISSION.admit([block(*(trade(str(k), exchange_timestamp_ms=t) for k, t in enumerate(times)))]).rows
    days = [d.toordinal() for d in rows["exchange_date"].to_pylist()]
    assert [d - days[1] for d in days] == [-1, 0, 0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": float("nan")}, "bad-number"),
        ({"price": float("inf")}, "bad-number"),
        ({"price": 0.0}, "bad-number"),
        ({"quantity": -1.0}, "bad-number"),
        ({"exchange": "kraken"}, "wrong-exchange"),
        ({"exchange_timestamp_ms": 0}, "time-out-of-range"),
        ({"exchange_timestamp_ms": -5}, "time-out-of-range"),
        ({"exchange_timestamp_ms": NOW_MS + DAY_MS + 1}, "time-out-of-range"),
        ({"exchange_timestamp_ms": 2**62}, "time-out-of-range"),
        ({"trade_id": None}, "missing-id"),
        ({"trade_id": ""}, "missing-id"),
        ({"side": "BUY"}, "bad-side"),
        ({"symbol": "ETHUSDT"}, "wrong-partition"),
    ],
)
def test_each_fault_has_its_reason_and_costs_no_neighbour(changes: dict[str, object], reason: str) -> None:
    given = block(trade("1"), trade(**{"trade_id": "2", **changes}), trade("3"), offset=10)
    admitted = ADMISSION.admit([given])
    assert admitted.rows["trade_id"].to_pylist() == ["1", "3"]
    assert admitted.rows["log_offset"].to_pylist() == [10, 12]
    (dead,) = admitted.dead
    assert (dead.offset, dead.reason, dead.partition) == (11, reason, (TOPIC, given.partition))
    start = int(given.sizes[0])
    assert dead.payload == given.data[start : start + int(given.sizes[1])]
    (part,) = admitted.parts
    assert (part.first_offset, part.next_offset, part.start, part.stop) == (10, 13, 0, 2)
    assert part.identities is not None
    assert part.identities.ids.tolist() == [1, 3]
    assert part.identities.offsets.tolist() == [10, 12]


@pytest.mark.parametrize("changes", [{"side": None}, {"exchange_timestamp_ms": NOW_MS + DAY_MS}, {"price": 5e-324}])
def test_the_edge_of_what_is_good(changes: dict[str, object]) -> None:
    assert not ADMISSION.admit([block(trade(**changes))]).dead


def test_old_times_are_judged_by_the_append_time() -> None:
    admission = Admission(TRADES, FACTS, max_past_days=1)
    early, late = (
        trade("1", exchange_timestamp_ms=NOW_MS - DAY_MS),
        trade("2", exchange_timestamp_ms=NOW_MS - DAY_MS - 1),
    )
    assert [d.offset for d in admission.admit([block(early, late)]).dead] == [1]


def test_quotes_may_be_empty_on_a_side_but_not_below() -> None:
    quote = {
        "symbol": "BTCUSDT", "exchange": "binance", "exchange_timestamp_ms": NOW_MS, "bid_price": 0.0,
        "bid_quantity": 0.0, "ask_price": 2.0, "ask_quantity": 1.0, "update_id": "5",
    }  # fmt: skip
    given = block(quote, {**quote, "ask_quantity": -0.1}, topic="market.crypto.quotes.binance", data_type=QUOTES)
    admitted = Admission(QUOTES, FACTS).admit([given])
    assert (len(admitted.rows), [d.reason for d in admitted.dead]) == (1, ["bad-number"])


def test_bytes_that_are_no_record() -> None:
    good = block(trade("1"), trade("2"))
    broken = dataclasses.replace(good, data=b"\xff" * int(good.sizes[0]) + good.data[int(good.sizes[0]) :])
    admitted = ADMISSION.admit([broken])
    assert [(d.offset, d.reason) for d in admitted.dead] == [(0, "undecodable")]
    assert admitted.rows["trade_id"].to_pylist() == ["2"]


@pytest.mark.parametrize("version", [0, 99])
def test_a_foreign_schema_is_dead_whole(version: int) -> None:
    foreign = dataclasses.replace(block(trade("1"), trade("2")), version=version)
    admitted = ADMISSION.admit([foreign, block(trade("3"), offset=2)])
    assert [(d.offset, d.reason) for d in admitted.dead] == [(0, "unknown-schema"), (1, "unknown-schema")]
    assert admitted.rows["log_offset"].to_pylist() == [2]


def test_versions_of_one_lineage_mix_in_order() -> None:
    first = {k: v for k, v in trade("1").items() if k not in ("trade_id", "side")}
    old = dataclasses.replace(TRADES, columns=tuple(c for c in TRADES.columns if c.since == 1), versions=1)
    blocks = [block(trade("1")), block(first, offset=1, data_type=old, version=1), block(trade("3"), offset=2)]
    admitted = ADMISSION.admit(blocks)
    assert admitted.rows["log_offset"].to_pylist() == [0, 2]
    assert [(d.offset, d.reason) for d in admitted.dead] == [(1, "missing-id")]


def test_partitions_keep_their_order_and_offsets_may_skip() -> None:
    epoch = 1 << 40
    blocks = [
        block(trade("1"), offset=5),
        block(trade("9", symbol="ETHUSDT"), offset=7),
        block(trade("2"), trade("3"), offset=epoch),
    ]
    admitted = ADMISSION.admit(blocks)
    assert admitted.rows["log_offset"].to_pylist() == [5, epoch, epoch + 1, 7]
    first, second = admitted.parts
    assert (first.first_offset, first.next_offset, first.stop) == (5, epoch + 2, 3)
    assert (second.first_offset, second.next_offset, second.start, second.stop) == (7, 8, 3, 4)


def test_nothing_and_only_dead() -> None:
    assert ADMISSION.admit([]).rows.num_rows == 0
    admitted = ADMISSION.admit([block(trade("1", price=-1.0))])
    assert (len(admitted.rows), admitted.parts[0].next_offset, len(admitted.dead)) == (0, 1, 1)


def test_of_an_unknown_exchange_nothing_is_taken_for_granted() -> None:
    given = block(trade("1", exchange="kraken"), topic="market.crypto.trades.kraken")
    identities = ADMISSION.admit([given]).parts[0].identities
    assert identities is not None
    assert (identities.kind, identities.event_time, identities.streams[0].exchange) == ("opaque", "received", "kraken")


def test_however_blocks_are_polled_the_rows_are_the_same() -> None:
    dice = random.Random(5)
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT"]
    at: dict[int, int] = {}
    blocks = []
    for k in range(60):
        symbol, n = dice.choice(symbols), dice.randint(1, 4)
        place = partition_of(symbol)
        records = [trade(f"{k}{j}", symbol=symbol, price=dice.choice([1.0, -1.0, 2.0])) for j in range(n)]
        blocks.append(block(*records, offset=at.get(place, 0)))
        at[place] = at.get(place, 0) + n
    whole = ADMISSION.admit(blocks)
    single = [ADMISSION.admit([b]) for b in blocks]
    rows = pa.concat_tables([a.rows for a in single]).to_pylist()
    key = ("log_partition", "log_offset")
    assert sorted(rows, key=lambda r: [r[k] for k in key]) == sorted(
        whole.rows.to_pylist(), key=lambda r: [r[k] for k in key]
    )
    assert sorted((d.partition, d.offset) for a in single for d in a.dead) == [
        (d.partition, d.offset) for d in sorted(whole.dead, key=lambda d: (d.partition, d.offset))
    ]
    for part in whole.parts:
        mine = whole.rows.slice(part.start, part.stop - part.start)
        assert part.identities is not None
        assert mine["log_offset"].to_pylist() == part.identities.offsets.tolist()
        named = [part.identities.streams[k].symbol for k in part.identities.stream]
        assert mine["symbol"].to_pylist() == named


def test_dead_letters_say_where_they_come_from() -> None:
    given = [block(trade("1", price=-1.0), offset=3)]
    (batch,) = encode_dead_letters(ADMISSION.admit(given).dead, NOW_MS, payload_bytes=4)
    assert batch.topic == dead_letter_topic(TOPIC) == "market.crypto.dead_letters.binance"
    assert batch.partitions.tolist() == [partition_of("BTCUSDT")]
    (letter,) = Codec(DEAD_LETTERS).decode(batch.version, batch.sizes, batch.data).batch.to_pylist()
    assert letter["origin"] == f"{TOPIC}/{partition_of('BTCUSDT')}/3"
    assert (letter["reason"], letter["stage"], letter["payload"]) == ("bad-number", "admit", given[0].data[:4])
    assert "price is -1.0" in letter["detail"]


def test_numbers_and_texts_of_one_part() -> None:
    ids = Admission(TRADES, FACTS).admit([block(trade("1"), trade("01"), trade("2x"))]).parts[0].identities
    assert ids is not None
    assert ids.ids.dtype == object
    assert ids.ids.tolist() == ["1", "01", "2x"]
    assert np.array_equal(ids.stream, [0, 0, 0])
