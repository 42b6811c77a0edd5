"""Rows of the tail: per symbol and topic a `Lane`, a tuple of sealed Arrow slices in log order.

Everything here is immutable, so a reader that took a lane needs no lock. Small slices (a poll brings ten rows of a
symbol) are merged by eights until they hold a thousand rows or more; about 84 bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from k2core.interfaces.broker import Partition
from k2core.query.arrays import longs, words

FULL = 1024
"""Rows from which on a slice is not merged further; eight smaller ones make less than 8,192."""

TOGETHER = 8

_PLACE = ("topic", "log_partition", "exchange", "symbol")

FEW, FEW_BYTES = 64, 512
"""Fewer rows than these count so many bytes each, buffers' paddings included."""


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Consecutive first copies of one symbol on one partition.

    Args:
        rows: `DataType.table_schema`, offsets rising.
        first_offset: Position of the first row.
        last_offset: Position of the last row.
        first_us: Append time of the first row.
        last_us: Append time of the last row, Unix µs.
        low_ms: Smallest value of the order column.
        high_ms: Largest value of the order column, Unix ms.
        size: Bytes.
    """

    rows: pa.RecordBatch
    first_offset: int
    last_offset: int
    first_us: int
    last_us: int
    low_ms: int
    high_ms: int
    size: int

    @classmethod
    def of(cls, rows: pa.RecordBatch, order: str) -> Slice:
        """Seal rows, of which there is at least one. What few rows take is estimated: asking costs more than they do."""
        offsets, times, ms = longs(rows, "log_offset"), longs(rows, "log_timestamp"), longs(rows, order)
        return cls(
            rows,
            *(int(offsets[0]), int(offsets[-1]), int(times[0]), int(times[-1])),
            *(int(ms.min()), int(ms.max()), rows.nbytes if len(ms) >= FEW else len(ms) * FEW_BYTES),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One symbol on one topic, and so on one partition."""

    partition: Partition
    exchange: str
    symbol: str
    slices: tuple[Slice, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Its name among all lanes: symbol and topic."""
        return self.symbol, self.partition[0]

    def with_slice(self, fresh: Slice, order: str) -> Lane:
        """The lane with one more slice at its end, small ones merged."""
        slices = [*self.slices, fresh]
        while (n := _mergeable(slices)) >= TOGETHER:
            slices[-n:] = [Slice.of(join(pa.Table.from_batches([s.rows for s in slices[-n:]])), order)]
        return Lane(self.partition, self.exchange, self.symbol, tuple(slices))

    def without_first(self) -> Lane:
        """The lane without its oldest slice."""
        return Lane(self.partition, self.exchange, self.symbol, self.slices[1:])


def join(rows: pa.Table) -> pa.RecordBatch:
    """A table as one batch, its dictionaries made one."""
    batches = rows.to_batches()
    if len(batches) > 1:
        batches = rows.unify_dictionaries().combine_chunks().to_batches()
    if not batches:
        return pa.RecordBatch.from_pylist([], rows.schema)
    joined: pa.RecordBatch = batches[0]
    return joined


def pieces_of(rows: pa.RecordBatch, order: str) -> Iterator[tuple[Partition, str, str, Slice]]:
    """Cut rows into (partition, exchange, symbol, slice); those of a partition lie in log order."""
    if not rows.num_rows:
        return
    codes, topics = words(rows, "symbol")[1].astype(np.int64), words(rows, "topic")[1]
    kinds, whole = codes * (int(topics.max()) + 1) + topics, rows
    cuts = np.empty(0, np.intp)
    if (kinds != kinds[0]).any():
        ordered = np.argsort(kinds, kind="stable")
        cuts = np.flatnonzero(np.diff(kinds[ordered])) + 1
        whole = rows.take(ordered)
    for start, stop in zip([0, *cuts], [*cuts, len(kinds)], strict=True):
        part = whole.slice(start, stop - start)
        topic, number, exchange, symbol = (part.column(name)[0].as_py() for name in _PLACE)
        yield (topic, number), exchange, symbol, Slice.of(part, order)


def _mergeable(slices: list[Slice]) -> int:
    """How many of the newest slices are small and of one tier (powers of eight) or below."""
    limit = slices[-1].rows.num_rows
    if limit >= FULL:
        return 0
    tier, n = (limit.bit_length() - 1) // 3, 0
    for piece in reversed(slices):
        rows = piece.rows.num_rows
        if rows >= FULL or (rows.bit_length() - 1) // 3 > tier:
            break
        n += 1
    return min(n, TOGETHER)
