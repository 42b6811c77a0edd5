"""`MemoryIdentities`: look-ups in a table in memory, by brute force: the model that real sinks' are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from k2core.interfaces.broker import Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.identities import IdentityBatch, Stream, number_of
from k2core.testing.memory_table import Row

if TYPE_CHECKING:
    from k2core.testing.memory_sink import MemoryLake

Fault = Callable[[str], None]
NOTHING_YET = 1 << 62


class MemoryIdentities(StoredIdentities):
    """Look-ups by brute force; knows of ids what it is told by `declared`, as real tables do."""

    def __init__(self, lake: MemoryLake, fault: Fault, facts: Mapping[str, ChannelFacts]) -> None:
        self._lake, self._fault, self._facts = lake, fault, facts

    def declared(self, facts: Mapping[str, ChannelFacts]) -> MemoryIdentities:
        """The same, knowing what connectors declare."""
        return MemoryIdentities(self._lake, self._fault, {**self._facts, **facts})

    def _rows(self, partition: Partition) -> list[Row]:
        return [r for r in self._lake.rows if (r["topic"], r["log_partition"]) == partition]

    def contains(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which are stored below the batch's own offsets."""
        self._fault("look-up")
        first: dict[tuple[Stream, str], int] = {}
        for row in self._rows(batch.partition):
            key = _stream(row), row[self._lake.id_column]
            first[key] = min(first.get(key, row["log_offset"]), row["log_offset"])
        keys = [(batch.streams[s], str(i)) for s, i in zip(batch.stream.tolist(), batch.ids.tolist(), strict=True)]
        own = batch.offsets.tolist()
        return np.array([first.get(k, NOTHING_YET) < o for k, o in zip(keys, own, strict=True)], bool)

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        """Rows of one partition, in no order."""
        rows = [r for r in self._rows(partition) if r["log_timestamp"] >= since_us]
        for part in (rows[::2], rows[1::2]):
            if part:
                yield _identities(self._lake, partition, part, self._of(part[0]))

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        """The largest mark key of each stream among older rows."""
        self._fault("marks")
        found: dict[Stream, int] = {}
        for row in self._rows(partition):
            if row["log_timestamp"] < before_us:
                number = number_of(row[self._lake.id_column]) if self._of(row).ids != "opaque" else None
                key = row[self._lake.data_type.order] if number is None else number
                found[_stream(row)] = max(key, found.get(_stream(row), -1))
        return found

    def _of(self, row: Row) -> ChannelFacts:
        return self._facts.get(row["topic"], self._facts.get(row["exchange"], ChannelFacts(ids="opaque")))


def _stream(row: Row) -> Stream:
    return Stream(row["exchange"], row["symbol"], row["id_epoch"])


def _identities(lake: MemoryLake, partition: Partition, rows: list[Row], facts: ChannelFacts) -> IdentityBatch:
    streams = sorted({_stream(r) for r in rows})
    numbers = [number_of(r[lake.id_column]) for r in rows]
    texts = np.array([r[lake.id_column] for r in rows], object)
    return IdentityBatch(
        data_type=lake.data_type.name, partition=partition, kind=facts.ids, streams=tuple(streams),
        stream=np.array([streams.index(_stream(r)) for r in rows], np.int32), event_time=facts.event_time,
        ids=texts if None in numbers else np.array(numbers, np.int64),
        order_ms=np.array([r[lake.data_type.order] for r in rows], np.int64),
        offsets=np.array([r["log_offset"] for r in rows], np.int64),
        timestamps_us=np.array([r["log_timestamp"] for r in rows], np.int64),
    )  # fmt: skip
