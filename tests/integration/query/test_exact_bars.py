"""Wherever the log is cut into table and memory, bars are the same to the last bit, and sums are what decimals give."""

from __future__ import annotations

import logging
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from k2_plugin_iceberg.source import IcebergSource

from k2core.clock import SystemClock
from k2core.component import Context
from k2core.interfaces.query import Selection
from k2core.query.bars import merge_bars, partial_bars
from k2core.query.exact import digits_of, parts_of, totals_of
from k2core.records.builtin import TRADES
from k2core.records.topics import partition_of
from k2core.telemetry.metrics import Metrics

SYMBOL, TOPIC = "BTCUSDT", "market.crypto.trades.binance"
PLACE = (TOPIC, partition_of(SYMBOL))
ROWS, BAR_MS = 400, 60_000
START_MS = 1_700_000_000_000 // BAR_MS * BAR_MS
AMOUNTS = {
    "usual": lambda g: (g.integers(1, 10**7, ROWS) / 100, g.integers(1, 10**8, ROWS) / 1e5),
    "tiny": lambda g: (10 ** g.uniform(-12, 2, ROWS), 10 ** g.uniform(-18, 2, ROWS)),
    "huge": lambda g: (10 ** g.uniform(0, 10, ROWS), 10 ** g.uniform(-8, 12, ROWS)),
    "beyond": lambda g: (10 ** g.uniform(0, 300, ROWS), 10 ** g.uniform(-300, 300, ROWS)),
}


def trades(prices, quantities):
    ms = START_MS + np.arange(ROWS) * 1000 % 300_000
    return pa.Table.from_pylist(
        [{"symbol": SYMBOL, "exchange": "binance", "exchange_timestamp_ms": int(ms[i]), "price": float(prices[i]),
          "quantity": float(quantities[i]), "trade_id": str(i), "exchange_date": START_MS // 86_400_000, "id_epoch": 0,
          "topic": TOPIC, "log_partition": PLACE[1], "log_offset": i, "log_timestamp": i} for i in range(ROWS)],
        TRADES.table_schema,
    )  # fmt: skip


@pytest.fixture(params=AMOUNTS)
def lake(request, tmp_path):
    rows = trades(*AMOUNTS[request.param](np.random.default_rng(7)))
    context = Context(clock=SystemClock(), logger=logging.getLogger("k2.test"), metrics=Metrics())
    chosen = IcebergSettings(warehouse=tmp_path)
    with IcebergSink(chosen, context) as sink, IcebergSource(chosen, context) as source:
        table = sink.table(TRADES)
        owned = table.take_over(frozenset({PLACE}), {TOPIC: "id"}, "a test")
        for first in range(0, ROWS, 100):
            staged = table.stage(rows.slice(first, 100))
            table.commit(staged, owned, {PLACE: first}, {PLACE: first + 100})
        yield request.param, rows, source.table(TRADES)


def bars_of(rows, source, cut):
    """Bars with positions below `cut` from the table, and from there on from rows in memory."""
    cold = source.ohlcv(source.newest(), Selection(below={PLACE: cut}), BAR_MS, price="price", quantity="quantity",
                        timeout=60).rows  # fmt: skip
    hot = partial_bars(rows.slice(cut), BAR_MS, TRADES.order, "price", "quantity")
    return merge_bars([cold, hot])


def test_bars_are_the_same_to_the_last_bit_wherever_table_and_memory_meet(lake):
    kind, rows, source = lake
    whole = bars_of(rows, source, 0)
    for cut in (1, 57, 100, 199, 250, 399, ROWS):
        assert bars_of(rows, source, cut).equals(whole), f"{kind}: cut at {cut}"
    if kind == "usual":
        wanted = defaultdict(Decimal)
        for row in rows.to_pylist():
            wanted[row["exchange_timestamp_ms"] // BAR_MS * BAR_MS] += Decimal(repr(row["quantity"]))
        assert dict(zip(*(whole.column(n).to_pylist() for n in ("bar_ms", "volume")), strict=True)) == {
            ms: float(volume) for ms, volume in wanted.items()
        }


def test_partial_sums_of_table_and_of_memory_are_the_same_exact_numbers(lake):
    kind, rows, source = lake
    cold = source.ohlcv(source.newest(), Selection(below={PLACE: ROWS}), BAR_MS, price="price", quantity="quantity",
                        timeout=60).rows  # fmt: skip
    hot = partial_bars(rows, BAR_MS, TRADES.order, "price", "quantity")
    if kind != "beyond":  # where sums are infinite
        assert exact(cold) == exact(hot)
    if kind in ("usual", "huge"):
        wanted = defaultdict(Fraction)
        for row in rows.to_pylist():
            wanted[row["exchange_timestamp_ms"] // BAR_MS * BAR_MS] += Fraction(row["price"] * row["quantity"])
        assert {ms: notional for ms, (_, notional) in exact(cold).items()} == wanted


def exact(partial):
    names = ("bar_ms", "volume_parts", "notional_parts")
    cells = zip(*(partial.column(n).to_pylist() for n in names), strict=True)
    return {ms: (sum(map(Fraction, volume)), sum(map(Fraction, notional))) for ms, volume, notional in cells}


NUMBERS = st.floats(2.0**-48, 1e20) | st.integers(1, 10**12).map(lambda n: n / 1e8)


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=60), st.randoms())
def test_a_sum_is_exact_and_the_same_in_any_order_and_in_any_pieces(values, random):
    values = np.array(values)
    digits = digits_of(values, np.array([0]))
    assert sum(map(Fraction, parts_of(digits)[0].tolist())) == sum(map(Fraction, values.tolist()))
    mixed = values.copy()
    random.shuffle(mixed)
    cut = random.randrange(len(mixed) + 1)
    pieces = [parts_of(digits_of(piece, np.array([0])))[0] for piece in (mixed[:cut], mixed[cut:]) if len(piece)]
    assert totals_of(digits_of(np.concatenate(pieces), np.array([0]))) == totals_of(digits)
    exact = sum(map(Fraction, values.tolist()))
    assert abs(Fraction(float(totals_of(digits)[0])) - exact) <= exact * Fraction(1, 10**14)


@given(st.lists(st.decimals("0.00000001", "99999", places=8), min_size=1, max_size=80))
def test_a_total_of_up_to_15_digits_is_the_sum_of_the_printed_decimals(printed):
    total = totals_of(digits_of(np.array([float(d) for d in printed]), np.array([0])))
    wanted = sum(printed)
    if len(wanted.normalize().as_tuple().digits) <= 15:
        assert float(wanted) == total[0]


def test_a_source_with_plain_sums_is_welcome_and_one_that_leaves_parts_empty_is_named():
    partial = partial_bars(trades(np.full(ROWS, 0.1), np.full(ROWS, 0.1)), BAR_MS, TRADES.order, "price", "quantity")
    plain = partial.drop_columns(["volume_parts", "notional_parts"])
    assert merge_bars([plain]).column("volume").to_pylist() == merge_bars([partial]).column("volume").to_pylist()
    empty = partial.set_column(
        partial.schema.get_field_index("volume_parts"), "volume_parts",
        pa.array([[]] * partial.num_rows, pa.list_(pa.float64())),
    )  # fmt: skip
    with pytest.raises(Exception, match="parts of a sum"):
        merge_bars([empty])
