"""`Joined`: the records of many blocks as one sequence, decoded in as few calls as there are schema versions.

Blocks are small where little happens (a few records each), and every decoding call has a fixed cost: so the blocks of
one poll are joined across partitions and topics first. Bytes that cannot be read cost their neighbours nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.avro.codec import Codec
from k2core.interfaces.broker import LogBlock, Partition

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the record at `row` of the joined sequence is refused."""

    row: int
    reason: str
    detail: str
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """The readable records of a `Joined`.

    Args:
        batch: Their columns.
        rows: Where each lies in the joined sequence, rising.
        failures: The others.
    """

    batch: pa.RecordBatch
    rows: Longs
    failures: list[Failure]


class Joined:
    """Blocks, put together by partition; partitions in the order in which they first come."""

    def __init__(self, blocks: Sequence[LogBlock]) -> None:
        by_partition: dict[Partition, list[LogBlock]] = {}
        for block in blocks:
            if len(block):
                by_partition.setdefault((block.topic, block.partition), []).append(block)
        self.by_partition = by_partition
        self.blocks = [block for group in by_partition.values() for block in group]
        self.topics = list(dict.fromkeys(topic for topic, _ in by_partition))
        self.counts = np.array([len(b) for b in self.blocks], np.int64)
        self.ends = np.cumsum(self.counts)
        self._datum_ends: dict[int, Longs] = {}

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.blocks else 0

    @cached_property
    def offsets(self) -> Longs:
        """Log offset of each record."""
        first = np.array([b.first_offset for b in self.blocks], np.int64)
        found: Longs = np.arange(len(self)) + np.repeat(first - (self.ends - self.counts), self.counts)
        return found

    @cached_property
    def timestamps(self) -> Longs:
        """Append time of each record, Unix µs."""
        return self._spread([b.timestamp_us for b in self.blocks])

    @cached_property
    def partitions(self) -> Longs:
        """Partition number of each record."""
        return self._spread([b.partition for b in self.blocks])

    @cached_property
    def topic_codes(self) -> Longs:
        """Index into `topics` of each record."""
        code = {topic: k for k, topic in enumerate(self.topics)}
        return self._spread([code[b.topic] for b in self.blocks])

    def _spread(self, values: Sequence[int]) -> Longs:
        return np.repeat(np.array(values, np.int64), self.counts)

    def place(self, row: int) -> tuple[LogBlock, int]:
        """The block that a record lies in, and its place in there."""
        k = int(np.searchsorted(self.ends, row, side="right"))
        return self.blocks[k], row - int(self.ends[k] - self.counts[k])

    def datum(self, row: int) -> bytes:
        """The bytes of one record."""
        block, at = self.place(row)
        k = row - at
        if k not in self._datum_ends:
            self._datum_ends[k] = np.cumsum(block.sizes, dtype=np.int64)
        end = int(self._datum_ends[k][at])
        return bytes(block.data[end - int(block.sizes[at]) : end])

    def read(self, codec: Codec) -> Read:
        """Decode everything."""
        versions = np.array([b.version for b in self.blocks], np.int64)
        known = (versions >= 1) & (versions <= codec.data_type.versions)
        failures = self._unknown(codec, np.flatnonzero(~known))
        batches, rows = [], []
        for version in np.unique(versions[known]).tolist():
            batch, at, failed = self._read_version(codec, version, versions == version)
            batches.append(batch)
            rows.append(at)
            failures += failed
        return Read(*_in_order(codec, batches, rows), failures)

    def _read_version(
        self, codec: Codec, version: int, chosen: npt.NDArray[np.bool_]
    ) -> tuple[pa.RecordBatch, Longs, list[Failure]]:
        blocks = self.blocks if chosen.all() else [b for b, take in zip(self.blocks, chosen, strict=True) if take]
        sizes = np.concatenate([b.sizes for b in blocks])
        decoded = codec.decode(version, sizes, b"".join([b.data for b in blocks]))
        rows = np.flatnonzero(np.repeat(chosen, self.counts))
        failures = [Failure(int(rows[k]), "undecodable", detail) for k, detail in decoded.bad]
        return decoded.batch, np.delete(rows, [k for k, _ in decoded.bad]) if failures else rows, failures

    def _unknown(self, codec: Codec, blocks: npt.NDArray[np.intp]) -> list[Failure]:
        lineage = f"the lineage of {codec.data_type.name} (versions 1 to {codec.data_type.versions})"
        return [
            Failure(row, "unknown-schema", f"schema version {self.blocks[k].version} is not of {lineage}")
            for k in blocks.tolist()
            for row in range(int(self.ends[k] - self.counts[k]), int(self.ends[k]))
        ]


def _in_order(codec: Codec, batches: list[pa.RecordBatch], rows: list[Longs]) -> tuple[pa.RecordBatch, Longs]:
    schema = codec.data_type.arrow_schema
    if not batches:
        return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema), np.zeros(0, np.int64)
    if len(batches) == 1:
        return batches[0], rows[0]
    whole = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    at = np.concatenate(rows)
    order: Any = np.argsort(at, kind="stable")
    return whole.take(order).combine_chunks().to_batches()[0], at[order]
