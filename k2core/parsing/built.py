"""Columns of fields to record batches of `trades` and `quotes`. Imports numpy and pyarrow.

The fast way looks at whole columns; whatever it is not sure of is read again row by row, with the same outcome. Faults
survived: any value in any row; a bad row is named and left out, and costs its neighbours time, never their record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.parsing import columns
from k2core.parsing.fields import Built, QuoteColumns, TradeColumns
from k2core.parsing.numbers import Int64s, UnsureError, doubles, number_refusal
from k2core.parsing.refusals import Refusal
from k2core.records.builtin import QUOTES, TRADES

C = TypeVar("C", TradeColumns, QuoteColumns)


def build_trades(exchange: str, given: TradeColumns) -> Built:
    """See `fields.trade_records`."""
    return _built(exchange, given, _trades, _trade_refusal)


def build_quotes(exchange: str, given: QuoteColumns) -> Built:
    """See `fields.quote_records`."""
    return _built(exchange, given, _quotes, _quote_refusal)


def _built(
    exchange: str,
    given: C,
    build: Callable[[str, C, bool], pa.RecordBatch],
    refusal: Callable[[C, int], Refusal | None],
) -> Built:
    try:
        return Built(build(exchange, given, False))
    except UnsureError:
        found = [refusal(given, row) for row in range(len(given.received_ns))]
    sound = [row for row, why in enumerate(found) if why is None]
    refused = [(row, why) for row, why in enumerate(found) if why is not None]
    return Built(build(exchange, _taken(given, sound), True) if sound else None, refused)


def _taken(given: C, rows: list[int]) -> C:
    """Some of the rows."""
    picked: dict[str, Any] = {}
    for field in fields(given):
        column = getattr(given, field.name)
        if isinstance(column, np.ndarray):
            picked[field.name] = column[rows]
        elif column is not None and field.name not in ("unit", "typed"):
            picked[field.name] = [column[row] for row in rows]
    return replace(given, **picked)


def _trades(exchange: str, given: TradeColumns, looked_at: bool) -> pa.RecordBatch:
    count = len(given.received_ns)
    times_us = columns.times_us(given.times, given.unit, typed=given.typed)
    price, quantity = doubles([given.prices, given.quantities], zero=False, looked_at=looked_at)
    counted = given.ids is given.sequence
    sequence = (
        pa.array(columns.longs(given.ids, typed=given.typed))  # type: ignore[arg-type]
        if counted
        else sequence_column(given.sequence, count)
    )
    return pa.RecordBatch.from_arrays(
        [
            columns.symbols(given.symbols),
            columns.constant(exchange, count),
            pa.array(times_us // 1000),
            price,
            quantity,
            columns.sides(given.sides),
            sequence.cast(pa.string()) if counted else columns.ids(given.ids, typed=given.typed),
            sequence,
            pa.array(times_us),
            pa.array(given.received_ns // 1000),
            columns.constant("live", count),
        ],
        schema=TRADES.arrow_schema,
    )


def _trade_refusal(given: TradeColumns, row: int) -> Refusal | None:
    return (
        columns.symbol_refusal(given.symbols[row])
        or columns.id_refusal("trade_id", given.ids[row])
        or number_refusal("price", given.prices[row], zero=False)
        or number_refusal("quantity", given.quantities[row], zero=False)
        or columns.time_refusal(given.times[row], given.unit)
        or (None if isinstance(given.sides, np.ndarray) else columns.side_refusal(given.sides[row]))
        or sequence_refusal(given.sequence, row)
    )


def _quotes(exchange: str, given: QuoteColumns, looked_at: bool) -> pa.RecordBatch:
    count, received_us = len(given.received_ns), given.received_ns // 1000
    numbers = [given.bid_prices, given.bid_quantities, given.ask_prices, given.ask_quantities]
    times_us, told = _quote_times(given, received_us)
    return pa.RecordBatch.from_arrays(
        [
            columns.symbols(given.symbols),
            columns.constant(exchange, count),
            pa.array(times_us // 1000),
            *doubles(numbers, zero=True, looked_at=looked_at),
            columns.ids(given.ids, typed=given.typed),
            sequence_column(given.sequence, count),
            pa.array(times_us),
            pa.array(received_us),
            columns.constant("live", count),
            columns.words(told, pa.array(["received", "exchange"])),
        ],
        schema=QUOTES.arrow_schema,
    )


def _quote_times(given: QuoteColumns, received_us: Int64s) -> tuple[Int64s, npt.NDArray[np.int32]]:
    """Event times, and where each is from: 0 its receiver, 1 the exchange."""
    told = np.zeros(len(received_us), np.int32)
    if given.times is None:
        return received_us, told
    printed = [time for time in given.times if time is not None]
    if len(printed) == len(told):
        return columns.times_us(printed, given.unit), told + 1
    times_us = received_us.copy()
    if printed:
        told[:] = np.fromiter((time is not None for time in given.times), np.int32, len(told))
        times_us[told == 1] = columns.times_us(printed, given.unit)
    return times_us, told


def _quote_refusal(given: QuoteColumns, row: int) -> Refusal | None:
    time = given.times[row] if given.times is not None else None
    return (
        columns.symbol_refusal(given.symbols[row])
        or columns.id_refusal("update_id", given.ids[row])
        or number_refusal("bid_price", given.bid_prices[row])
        or number_refusal("bid_quantity", given.bid_quantities[row])
        or number_refusal("ask_price", given.ask_prices[row])
        or number_refusal("ask_quantity", given.ask_quantities[row])
        or (None if time is None else columns.time_refusal(time, given.unit))
        or sequence_refusal(given.sequence, row)
    )


def sequence_column(values: Sequence[int | None] | None, count: int) -> pa.Array[Any]:
    """The column `sequence_num`.

    Raises:
        UnsureError: One is no number from 0 to 2^63 - 1.
    """
    if values is None:
        return pa.nulls(count, pa.int64())
    if None not in values:
        return pa.array(columns.longs(values))  # type: ignore[arg-type]
    if present := [value for value in values if value is not None]:
        columns.longs(present)
    return pa.array(values, pa.int64())


def sequence_refusal(values: Sequence[int | None] | None, row: int) -> Refusal | None:
    """Why a row's `sequence_num` is none, or None."""
    value = values[row] if values is not None else None
    return None if value is None else columns.long_refusal("sequence_num", value)
