"""Least and greatest values of some columns in each file, computed from the rows before they are written.

One pass over the whole sorted table serves all of its files; reading the footers back would cost as much again as
writing the files. Bounds are never truncated: they are exact, and readers prune by them.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_Column = tuple[list[bytes | None], list[bytes | None], list[int]]


class Bounds:
    """Bounds and null counts of a sorted table's slices, by field id."""

    def __init__(self, rows: pa.Table, slices: list[tuple[int, int]], columns: dict[str, int]) -> None:
        self._sizes = [b - a for a, b in slices]
        self._ids = list(columns.values())
        self._columns = [_bounds(rows[name], slices) for name in columns]

    def of(self, index: int) -> dict[str, dict[int, Any]]:
        """The metrics of slice `index`, as keywords of a `DataFile`."""
        found = [
            (i, low[index], high[index], nulls[index])
            for i, (low, high, nulls) in zip(self._ids, self._columns, strict=True)
        ]
        return {
            "value_counts": dict.fromkeys(self._ids, self._sizes[index]),
            "null_value_counts": {i: nulls for i, _, _, nulls in found},
            "lower_bounds": {i: low for i, low, _, _ in found if low is not None},
            "upper_bounds": {i: high for i, _, high, _ in found if high is not None},
        }


def one_chunk(column: Any) -> Any:
    """A column as a single array, whatever pyarrow makes of it."""
    array = column.combine_chunks()
    return array.chunk(0) if isinstance(array, pa.ChunkedArray) else array


def _bounds(column: Any, slices: list[tuple[int, int]]) -> _Column:
    if pa.types.is_dictionary(column.type):
        return _words(column, slices)
    return _numbers(column, slices)


def _numbers(column: Any, slices: list[tuple[int, int]]) -> _Column:
    starts = np.array([a for a, _ in slices])
    kind = "<i" if pa.types.is_int32(column.type) else "<q"
    nulls = [0] * len(slices)
    low = high = column
    if column.null_count:
        info = np.iinfo(np.int32 if kind == "<i" else np.int64)
        low, high = pc.fill_null(column, int(info.max)), pc.fill_null(column, int(info.min))
        nulls = np.add.reduceat(column.is_null().to_numpy().astype(np.int64), starts).tolist()
    lows = np.minimum.reduceat(low.to_numpy(), starts).tolist()
    highs = np.maximum.reduceat(high.to_numpy(), starts).tolist()
    empty = [n == b - a for n, (a, b) in zip(nulls, slices, strict=True)]
    return (
        [None if e else struct.pack(kind, v) for v, e in zip(lows, empty, strict=True)],
        [None if e else struct.pack(kind, v) for v, e in zip(highs, empty, strict=True)],
        nulls,
    )


def _words(column: Any, slices: list[tuple[int, int]]) -> _Column:
    """Strings of few distinct values: the codes that occur in a slice name the values that do."""
    array = one_chunk(column)
    names = [str(v).encode() for v in array.dictionary.to_pylist()]
    codes: npt.NDArray[np.int64] = pc.fill_null(array.indices, -1).to_numpy().astype(np.int64)
    lows: list[bytes | None] = []
    highs: list[bytes | None] = []
    nulls: list[int] = []
    for start, stop in slices:
        part = codes[start:stop]
        present = sorted(names[c] for c in np.unique(part).tolist() if c >= 0)
        lows.append(present[0] if present else None)
        highs.append(present[-1] if present else None)
        nulls.append(int(np.count_nonzero(part < 0)))
    return lows, highs, nulls
