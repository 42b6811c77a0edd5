"""Selecting rows from lanes: the same predicates as the cold half, on sealed slices, newest first where that saves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.interfaces.broker import Offsets
from k2core.interfaces.query import Selection
from k2core.query.arrays import longs
from k2core.query.keyorder import PLACE, in_key_order, join_tables
from k2core.query.slices import Lane, Slice
from k2core.records.data_type import DataType


def columns_of(data_type: DataType, selection: Selection) -> pa.Schema:
    """Schema of an answer: the selected columns and those of the key, in the table's order."""
    schema = data_type.table_schema
    if selection.columns is None:
        return schema
    wanted = {*selection.columns, *PLACE, data_type.order}
    return pa.schema([f for f in schema if f.name in wanted])


def select(lanes: Iterable[Lane], selection: Selection, low: Offsets, high: Offsets, data_type: DataType) -> pa.Table:
    """Selected rows at positions low ≤ offset < high: with a limit, the first ones in key order; else all, unordered."""
    order, schema = data_type.order, columns_of(data_type, selection)
    found: list[pa.RecordBatch] = []
    best = _Best(selection.limit)
    for lane, piece in _by_time(lanes, selection.descending):
        if best.closed_to(piece, descending=selection.descending):
            continue
        at = _rows_of(lane, piece, selection, low.get(lane.partition, 0), high.get(lane.partition, 0), order)
        if at is None or len(at):
            rows = piece.rows.select(schema.names)
            found.append(rows if at is None else rows.take(at))
            best.add(longs(found[-1], order), descending=selection.descending)
    table = join_tables([pa.Table.from_batches([b]) for b in found], schema)
    if selection.limit is None:
        return table
    return in_key_order(table, order, descending=selection.descending, limit=selection.limit)


class _Best:
    """Remembers the order value that a row must reach to be among the first `limit`."""

    def __init__(self, limit: int | None) -> None:
        self._limit, self._values = limit, np.empty(0, np.int64)

    def add(self, values: npt.NDArray[np.int64], *, descending: bool) -> None:
        if self._limit is None:
            return
        joined = np.concatenate([self._values, values if descending else -values])
        if len(joined) > self._limit > 0:
            joined = np.partition(joined, len(joined) - self._limit)[-self._limit :]
        self._values = joined

    def closed_to(self, piece: Slice, *, descending: bool) -> bool:
        """Whether no row of a slice can be among the first `limit`; ties stay in."""
        if self._limit is None or len(self._values) < self._limit or not len(self._values):
            return False
        return bool((piece.high_ms if descending else -piece.low_ms) < self._values.min())


def _by_time(lanes: Iterable[Lane], descending: bool) -> Iterator[tuple[Lane, Slice]]:
    pieces = [(lane, piece) for lane in lanes for piece in lane.slices]
    pieces.sort(key=lambda p: -p[1].high_ms if descending else p[1].low_ms)
    return iter(pieces)


def _rows_of(
    lane: Lane, piece: Slice, wanted: Selection, low: int, high: int, order: str
) -> npt.NDArray[np.intp] | None:
    """Places of the selected rows in a slice; None for all of them."""
    if piece.last_offset < low or piece.first_offset >= high:
        return np.empty(0, np.intp)
    tests: list[npt.NDArray[np.bool_]] = []
    if piece.first_offset < low or piece.last_offset >= high:
        offsets = longs(piece.rows, "log_offset")
        tests.append((offsets >= low) & (offsets < high))
    if wanted.start_ms is not None and piece.low_ms < wanted.start_ms:
        tests.append(longs(piece.rows, order) >= wanted.start_ms)
    if wanted.end_ms is not None and piece.high_ms >= wanted.end_ms:
        tests.append(longs(piece.rows, order) < wanted.end_ms)
    if wanted.as_of_us is not None and piece.last_us > wanted.as_of_us:
        tests.append(longs(piece.rows, "log_timestamp") <= wanted.as_of_us)
    if wanted.after is not None:
        tests.append(_beyond(lane, piece, wanted, order))
    if not tests:
        return None
    return np.flatnonzero(np.logical_and.reduce(tests))


def _beyond(lane: Lane, piece: Slice, wanted: Selection, order: str) -> Any:
    """Rows strictly beyond the key `after`, in the direction of the answer."""
    assert wanted.after is not None
    ms, topic, partition, offset = wanted.after
    values, offsets = longs(piece.rows, order), longs(piece.rows, "log_offset")
    here, there = lane.partition, (topic, partition)
    if wanted.descending:
        tie: Any = offsets < offset if here == there else here < there
        return (values < ms) | ((values == ms) & tie)
    tie = offsets > offset if here == there else here > there
    return (values > ms) | ((values == ms) & tie)
