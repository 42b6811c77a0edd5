"""A block of frames as an Arrow record batch with its checksum, and back.

A file is an Arrow IPC stream, zstd inside, so that pyarrow, polars and duckdb read it without k2. Each batch carries
the CRC-32 of what it holds in its own metadata; the last one is empty and says how many frames the file has.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from k2core.interfaces.frames import FrameBatch

COLUMNS = (
    pa.field("received_ns", pa.int64(), nullable=False),
    pa.field("connection", pa.int32(), nullable=False),
    pa.field("number", pa.int64(), nullable=False),
    pa.field("frame", pa.binary(), nullable=False),
)
CRC, FRAMES = b"crc32", b"frames"
"""Keys of a batch's metadata: the checksum, and in the last one the number of frames in the file."""


def block(batches: Sequence[FrameBatch], schema: pa.Schema) -> pa.RecordBatch:
    """The frames of some batches, in their order."""
    frames = [frame for batch in batches for frame in batch.frames]
    received = np.concatenate([np.asarray(batch.received_ns, np.int64) for batch in batches])
    sizes = [len(batch) for batch in batches]
    connections = np.repeat(np.array([batch.connection for batch in batches], np.int32), sizes)
    numbers = np.concatenate([np.arange(b.first_number, b.first_number + len(b), dtype=np.int64) for b in batches])
    arrays = [pa.array(received), pa.array(connections), pa.array(numbers), pa.array(frames, pa.binary())]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def checksum(records: pa.RecordBatch) -> int:
    """CRC-32 over every column, and over the length of every frame."""
    crc = 0
    for column in records.columns[:3]:
        crc = zlib.crc32(np.ascontiguousarray(column.to_numpy()).tobytes(), crc)
    lengths, payload = _frames(records.column(3))
    return zlib.crc32(payload, zlib.crc32(lengths, crc))


def _frames(column: Any) -> tuple[bytes, Any]:
    if not len(column):
        return b"", b""
    _, offset_bytes, data = column.buffers()
    offsets = np.frombuffer(offset_bytes, np.int32, column.offset + len(column) + 1)[column.offset :]
    first, last = int(offsets[0]), int(offsets[-1])
    return np.diff(offsets).astype("<i4").tobytes(), memoryview(data)[first:last] if data else b""


def batches_of(records: pa.RecordBatch) -> Iterator[FrameBatch]:
    """The batches that a block was made of: runs of one connection without a hole in the numbers."""
    if not records.num_rows:
        return
    received, connections, numbers = (column.to_numpy() for column in records.columns[:3])
    breaks = (np.diff(connections) != 0) | (np.diff(numbers) != 1)
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), records.num_rows]
    frames: list[Any] = records.column(3).to_pylist()
    times = received.tolist()
    for first, end in pairwise(edges):
        yield FrameBatch(frames[first:end], times[first:end], int(connections[first]), int(numbers[first]))
