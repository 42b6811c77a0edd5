"""Datums to columns: all rows advance together, field by field, each row at its own place in the bytes.

Bytes are not trusted: every read is bounded by its row's end, and a row that does not fit its schema is named with the
column where it failed; its neighbours are not touched by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.avro import varint
from k2core.records.data_type import Column

Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Rows:
    """The bytes of n datums, and how far each has been read."""

    def __init__(self, sizes: npt.NDArray[np.uint32], data: bytes) -> None:
        self.n = len(sizes)
        self.buffer = np.zeros(len(data) + varint.PADDING, np.uint8)
        self.buffer[: len(data)] = np.frombuffer(data, np.uint8)
        ends = np.cumsum(sizes, dtype=np.int64)
        if int(ends[-1] if self.n else 0) != len(data):
            raise ValueError(f"{self.n} datums of {int(ends[-1]) if self.n else 0} bytes in all, but {len(data)} given")
        self.ends = ends
        self.at: Longs = ends - sizes
        self.failed: dict[int, str] = {}

    def advance(self, by: Longs | int, column: Column, wrong: Mask | None = None) -> None:
        """Move on; rows that would pass their end, or are `wrong`, failed at this column and are held at their end."""
        self.at = self.at + by
        over = self.at > self.ends
        if wrong is not None:
            over |= wrong
        if over.any():
            for row in np.flatnonzero(over):
                self.failed.setdefault(int(row), f"does not fit its schema at column {column.name}")
            self.at = np.where(over, self.ends, self.at)

    def finish(self) -> None:
        """Rows with bytes left over failed."""
        for row in np.flatnonzero(self.at != self.ends):
            self.failed.setdefault(int(row), "has bytes left over behind its last column")


def decode_rows(columns: tuple[Column, ...], rows: Rows) -> list[Any]:
    """Arrow arrays of the columns, in their order; rows in `rows.failed` hold nothing of use."""
    arrays = [_column(column, rows) for column in columns]
    rows.finish()
    return arrays


def _column(column: Column, rows: Rows) -> Any:
    present = _branch(column, rows) if column.nullable else None
    if column.kind == "double":
        return _doubles(column, rows, present)
    if column.kind == "long":
        return _longs(column, rows, present)
    return _texts(column, rows, present)


def _branch(column: Column, rows: Rows) -> Mask | None:
    """Which rows have a value; None where all have."""
    tags = rows.buffer[rows.at]
    rows.advance(1, column, (tags != 2) & (tags != 0))
    return None if (tags == 2).all() else tags == 2


def _longs(column: Column, rows: Rows, present: Mask | None) -> Any:
    values, lengths = varint.read(rows.buffer, rows.at)
    if present is None:
        rows.advance(lengths, column, lengths == 0)
        return pa.array(values)
    rows.advance(np.where(present, lengths, 0), column, present & (lengths == 0))
    return pa.array(values, mask=~present)


def _doubles(column: Column, rows: Rows, present: Mask | None) -> Any:
    values = np.ndarray((len(rows.buffer) - 7,), "<f8", rows.buffer, 0, (1,))[rows.at]
    rows.advance(8 if present is None else np.where(present, 8, 0), column)
    return pa.array(values) if present is None else pa.array(values, mask=~present)


def _texts(column: Column, rows: Rows, present: Mask | None) -> Any:
    sizes, lengths = varint.read(rows.buffer, rows.at)
    wrong = (lengths == 0) | (sizes < 0) | (sizes > rows.ends - rows.at)
    if present is not None:
        lengths, sizes, wrong = np.where(present, lengths, 0), np.where(present, sizes, 0), wrong & present
    sizes = np.where(wrong, 0, sizes)
    rows.advance(lengths, column, wrong)
    start = rows.at
    rows.advance(sizes, column)
    sizes = np.minimum(sizes, rows.at - start)
    if column.words:
        same = _constant(column, rows, start, sizes, present)
        if same is not None:
            return same
    return _gather(column, rows, start, sizes, present)


def _constant(column: Column, rows: Rows, start: Longs, sizes: Longs, present: Mask | None) -> Any | None:
    """A words column in which every row has the same word of at most eight bytes: the usual case for all but symbols."""
    if not rows.n or present is not None or sizes[0] > 8 or (sizes != sizes[0]).any():
        return None
    size = int(sizes[0])
    keep = np.uint64((1 << (8 * size)) - 1)
    words = np.ndarray((len(rows.buffer) - 7,), "<u8", rows.buffer, 0, (1,))[start] & keep
    if (words != words[0]).any():
        return None
    try:
        word = rows.buffer[int(start[0]) : int(start[0]) + size].tobytes().decode()
    except UnicodeDecodeError:
        return None
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows.n, np.int32), pa.int32()), pa.array([word]))


def _gather(column: Column, rows: Rows, start: Longs, sizes: Longs, present: Mask | None) -> Any:
    offsets = np.zeros(rows.n + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    where = np.repeat(start - offsets[:-1], sizes) + np.arange(offsets[-1])
    valid = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    buffers = [valid, pa.py_buffer(offsets.astype(np.int32).tobytes()), pa.py_buffer(rows.buffer[where].tobytes())]
    raw = pa.Array.from_buffers(pa.binary(), rows.n, buffers)
    if column.kind == "bytes":
        return raw
    try:
        text = raw.cast(pa.string())
    except pa.ArrowInvalid:
        text = _readable(column, rows, raw)
    return text.dictionary_encode() if column.words else text


def _readable(column: Column, rows: Rows, raw: Any) -> Any:
    """The same strings with those that are no UTF-8 emptied, and their rows failed."""
    texts: list[str | None] = []
    for row, value in enumerate(raw.to_pylist()):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            rows.failed.setdefault(row, f"is not UTF-8 at column {column.name}")
            texts.append("")
    return pa.array(texts, pa.string())
