"""Records to datums, a column at a time.

Each column writes its bytes into one matrix (a row a record); what counts is cut out of it in one step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.avro import varint
from k2core.errors import SchemaError
from k2core.records.data_type import Column

WIDEST = 256
"""Bytes of a string beyond which a matrix would be mostly air; such batches take the reference path."""


@dataclass(slots=True)
class _Block:
    """Bytes of one column: `body` and `mask` are n × width."""

    body: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]


AT_ONCE = 16_384
"""Records whose matrix still fits the processor's caches."""


def encode_batch(columns: tuple[Column, ...], batch: pa.RecordBatch) -> tuple[npt.NDArray[np.uint32], bytes] | None:
    """Encode a batch that has every column of `columns`, in their order.

    Returns:
        Bytes of each datum and the datums joined, or None where a value is too wide for this path.

    Raises:
        SchemaError: A column that may not be null has nulls.
    """
    parts = []
    for start in range(0, batch.num_rows, AT_ONCE):
        part = _encode_part(columns, batch.slice(start, AT_ONCE))
        if part is None:
            return None
        parts.append(part)
    if not parts:
        return np.zeros(0, np.uint32), b""
    return np.concatenate([sizes for sizes, _ in parts]), b"".join(data for _, data in parts)


def _encode_part(columns: tuple[Column, ...], batch: pa.RecordBatch) -> tuple[npt.NDArray[np.uint32], bytes] | None:
    n, blocks = batch.num_rows, []
    for column in columns:
        got = _column(column, batch.column(column.name), n)
        if got is None:
            return None
        blocks.append(got)
    mask = np.concatenate([b.mask for b in blocks], axis=1)
    body = np.concatenate([b.body for b in blocks], axis=1)
    return mask.sum(axis=1, dtype=np.uint32), body[mask].tobytes()


def _column(column: Column, values: Any, n: int) -> _Block | None:
    if not column.nullable:
        if values.null_count:
            raise SchemaError(f"column {column.name} may not be null, but {values.null_count} of {n} values are")
        return _plain(column, values, n)
    if values.null_count == n:
        return _Block(np.zeros((n, 1), np.uint8), np.ones((n, 1), bool))
    present = None if values.null_count == 0 else values.is_valid().to_numpy(zero_copy_only=False)
    block = _plain(column, values, n)
    return block and _optional(block, present, n)


def _optional(block: _Block, present: npt.NDArray[np.bool_] | None, n: int) -> _Block:
    """Union with null: branch 0 (null, nothing follows) or 1 (the value)."""
    branch = np.full((n, 1), 2, np.uint8)
    if present is not None:
        branch[~present] = 0
        block.mask &= present[:, None]
    return _Block(
        np.concatenate([branch, block.body], axis=1), np.concatenate([np.ones((n, 1), bool), block.mask], axis=1)
    )


def _plain(column: Column, values: Any, n: int) -> _Block | None:
    if column.kind == "double":
        doubles = values.fill_null(0.0).to_numpy(zero_copy_only=False).astype("<f8", copy=False)
        return _Block(np.ascontiguousarray(doubles).view(np.uint8).reshape(n, 8), np.ones((n, 8), bool))
    if column.kind == "long":
        longs = values.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
        block = _empty(n, varint.width_of(longs))
        varint.write(longs, block.body, block.mask)
        return block
    if column.kind == "bytes":
        return None
    return _words(values, n) if pa.types.is_dictionary(values.type) else _strings(values, n)


def _empty(n: int, width: int) -> _Block:
    return _Block(np.zeros((n, width), np.uint8), np.zeros((n, width), bool))


def _words(values: Any, n: int) -> _Block | None:
    """A dictionary column: every word is encoded once, rows pick theirs."""
    words = [w.encode() for w in values.dictionary.to_pylist() if w is not None]
    if any(len(w) > WIDEST for w in words) or len(words) != len(values.dictionary):
        return None
    table = _strings(pa.array([w.decode() for w in words] or [""]), max(1, len(words)))
    codes = values.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return table and _Block(table.body[codes], table.mask[codes])


def _strings(values: Any, n: int) -> _Block | None:
    """A plain string column: a length varint and the bytes."""
    if values.type != pa.string():
        values = values.cast(pa.string())
    _, offset_bytes, data = values.buffers()
    offsets = np.frombuffer(offset_bytes, np.int32)[values.offset : values.offset + n + 1].astype(np.int64)
    lengths = np.diff(offsets)
    widest = int(lengths.max())
    if widest > WIDEST:
        return None
    head = varint.width_of(lengths)
    block = _empty(n, head + widest)
    varint.write(lengths, block.body[:, :head], block.mask[:, :head])
    if widest:
        raw = np.frombuffer(data, np.uint8)
        at = offsets[:-1, None] + np.arange(widest)
        block.body[:, head:] = raw[np.minimum(at, len(raw) - 1)]
        block.mask[:, head:] = np.arange(widest) < lengths[:, None]
    return block
