"""Times, cursors, the gate, slices and bars, each by itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.clock import SystemClock
from k2core.errors import QueryError
from k2core.query.bars import merge_bars, partial_bars
from k2core.query.cursor import Cursor, Cursors, installation_key
from k2core.query.gate import Gate
from k2core.query.slices import FULL, Lane, Slice, pieces_of
from k2core.query.times import ceil_ms, parse_interval, parse_time
from k2core.records.builtin import TRADES

NOW = 1_700_000_000_123_456
TOPIC = "market.crypto.trades.x"


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("now", NOW),
        ("-15m", NOW - 900_000_000),
        ("-250ms", NOW - 250_000),
        ("1700000000", 1_700_000_000_000_000),
        ("1700000000123", 1_700_000_000_123_000),
        ("1700000000123456", NOW),
        ("1700000000123456789", NOW),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500_000),
        ("2023-11-14T23:13:20 01:00", 1_700_000_000_000_000),
        ("2023-11-14", 1_699_920_000_000_000),
    ],
)
def test_times_are_read(text, us):
    assert parse_time(text, NOW) == us


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_refusal(text):
    try:
        assert isinstance(parse_time(text, NOW), int)
    except QueryError as error:
        assert error.status == 422  # noqa: PT017


def test_bounds_in_ms_never_let_a_row_in_that_microseconds_would_not():
    assert [ceil_ms(us) for us in (None, 1000, 1001, 1999, 2000)] == [None, 1, 2, 2, 2]
    assert parse_interval("4h") == 14_400_000


def test_cursors_come_back_and_altered_ones_do_not():
    cursors = Cursors(b"key")
    cursor = Cursor(data_type="trades", ends={TOPIC: [(1, 5)]}, last=(1, TOPIC, 1, 4), symbols=("A",), as_of_us=9)
    text = cursors.seal(cursor)
    assert cursors.open(text, "trades") == cursor
    for wrong in (text[:-2] + "AA", text[:30], "", "====", "ä", "A" * 100):
        with pytest.raises(QueryError):
            cursors.open(wrong, "trades")
    with pytest.raises(QueryError, match="belongs to trades"):
        cursors.open(text, "quotes")
    with pytest.raises(QueryError, match="another installation"):
        Cursors(b"other").open(text, "trades")


def test_servers_that_start_at_once_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: installation_key(tmp_path / "run"), range(32)))
    assert len(keys) == 1
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["cursor.key"]
    assert (tmp_path / "run" / "cursor.key").stat().st_mode & 0o777 == 0o600


def test_the_gate_refuses_what_may_not_wait_and_lets_the_rest_through():
    gate = Gate(1, 1, SystemClock())
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with gate.turn(5):
            inside.set()
            leave.wait(60)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(stay)
        inside.wait(60)
        with pytest.raises(QueryError, match="no turn came"), gate.turn(0.01):
            pass
        leave.set()
        first.result(5)
    with gate.turn(1) as deadline:
        assert deadline.left() <= 1


def rows(n, first=0, symbol="A"):
    return pa.RecordBatch.from_pylist(
        [{"symbol": symbol, "exchange": "x", "exchange_timestamp_ms": 1000 * i, "price": float(i + 1),
          "quantity": 2.0, "trade_id": str(i), "exchange_date": 0, "id_epoch": 0, "topic": TOPIC, "log_partition": 1,
          "log_offset": i, "log_timestamp": i} for i in range(first, first + n)],
        TRADES.table_schema,
    )  # fmt: skip


def test_small_slices_become_few_and_keep_every_row():
    lane = Lane((TOPIC, 1), "x", "A", ())
    for at in range(0, 6000, 3):
        lane = lane.with_slice(Slice.of(rows(3, at), TRADES.order), TRADES.order)
        assert len(lane.slices) < 40
    offsets = [o for s in lane.slices for o in s.rows.column("log_offset").to_pylist()]
    assert offsets == list(range(6000))
    assert max(s.rows.num_rows for s in lane.slices) < 8 * FULL


def test_rows_are_cut_by_symbol():
    mixed = pa.Table.from_batches([rows(2, 0, "B"), rows(2, 2, "A"), rows(1, 4, "B")])
    batch = mixed.unify_dictionaries().combine_chunks().to_batches()[0]
    found = {s: p.rows.column("log_offset").to_pylist() for *_, s, p in pieces_of(batch, TRADES.order)}
    assert found == {"B": [0, 1, 4], "A": [2, 3]}


@given(st.integers(1, 20))
def test_bars_of_parts_are_bars_of_the_whole(cut):
    whole = pa.Table.from_batches([rows(20)])

    def partial(table):
        return partial_bars(table, 5000, TRADES.order, "price", "quantity")

    one = merge_bars([partial(whole)])
    two = merge_bars([partial(whole.slice(cut)), partial(whole.slice(0, cut))])
    assert one.equals(two)
    assert one.column("open").to_pylist() == [1.0, 6.0, 11.0, 16.0]
    assert one.column("close").to_pylist() == [5.0, 10.0, 15.0, 20.0]
