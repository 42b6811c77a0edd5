"""`Admission`: log blocks in, rows of the table and dead records out: what the writer stores and the tail shows.

A pure function of the records, their positions and their append times: no clock, no state. The writer and every tail
put each block through this same code, so a row seen hot is the row that is later stored, and a replay after a crash
refuses and admits exactly the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.admission.checks import Limits, Placed, coded, failures, plain
from k2core.admission.enrichment import Enrichment
from k2core.admission.identities import Ids
from k2core.admission.joined import Failure, Joined, Longs
from k2core.avro.codec import Codec
from k2core.interfaces.broker import LogBlock, Partition
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.records.data_type import DataType
from k2core.records.topics import PARTITIONS, Topic

DAY_MS = 86_400_000
UNKNOWN = ChannelFacts(ids="opaque", event_time="received")
"""What holds of an exchange that no connector here declares: nothing is taken for granted."""


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """A record of the log that cannot become a row.

    Args:
        partition: Where it lies.
        offset: Its offset there.
        reason: Stable slug.
        detail: What was wrong, in a sentence.
        payload: Its datum.
        symbol: Empty where it could not be read.
    """

    partition: Partition
    offset: int
    reason: str
    detail: str
    payload: bytes
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What was read of one partition.

    Args:
        partition: Which.
        first_offset: Offset of the first record read, refused or not.
        next_offset: Offset after the last record read.
        start: First of its rows in `Admitted.rows`.
        stop: After its last row.
        identities: Of those rows; None where the data type has no identity.
    """

    partition: Partition
    first_offset: int
    next_offset: int
    start: int
    stop: int
    identities: IdentityBatch | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """Rows in the data type's `table_schema`, the parts they belong to, and what was refused."""

    rows: pa.Table
    parts: list[Part]
    dead: list[DeadRecord]


class Admission:
    """Admits the records of one data type. Keeps no state; any number of threads.

    Args:
        data_type: Whose records.
        facts: What connectors declare, by exchange name; of others nothing is taken for granted.
        max_future_s: Seconds that an event time may lie after its append time.
        max_past_days: Days that an event time may lie before its append time.
        partitions: Partitions of every topic.
        enrichment: What works out the data type's `added` columns.
    """

    def __init__(
        self,
        data_type: DataType,
        facts: Mapping[str, ChannelFacts],
        *,
        max_future_s: float = 86_400,
        max_past_days: float = 36_500,
        partitions: int = PARTITIONS,
        enrichment: Enrichment | None = None,
    ) -> None:
        self._enrichment = enrichment or Enrichment()
        self._plain_schema = data_type.without_added().table_schema
        self.data_type, self.facts = data_type, dict(facts)
        self._codec = Codec(data_type)
        self._limits = Limits(
            future_ms=int(max_future_s * 1000), past_ms=int(max_past_days * DAY_MS), partitions=partitions
        )

    def admit(self, blocks: Sequence[LogBlock], *, enrich: bool = True) -> Admitted:
        """Decode, check and enrich with positions.

        Args:
            blocks: As polled; those of one partition in offset order.
            enrich: Whether enrichers run; without, their columns are null.
        """
        joined = Joined(blocks)
        read = joined.read(self._codec)
        placed = _place(joined, read.batch, read.rows)
        refused, found = failures(self.data_type, placed, self._limits)
        dead = read.failures + [Failure(int(read.rows[f.row]), f.reason, f.detail, f.symbol) for f in found]
        batch, rows, codes = read.batch, read.rows, placed.symbol_codes
        if refused is not None:
            kept = ~refused
            batch, rows, codes = batch.filter(pa.array(kept)), rows[kept], codes[kept]
        table = self._table(joined, batch, rows, enrich=enrich)
        parts = self._parts(joined, batch, rows, (codes, placed.symbols))
        return Admitted(table, parts, _dead(joined, dead))

    def _table(self, joined: Joined, batch: pa.RecordBatch, rows: Longs, *, enrich: bool) -> pa.Table:
        days = np.floor_divide(_times(batch, self.data_type), DAY_MS).astype(np.int32)
        codes: Any = pa.array(joined.topic_codes[rows].astype(np.int32), pa.int32())
        topics = pa.DictionaryArray.from_arrays(codes, pa.array(joined.topics, pa.string()))
        added: list[Any] = [
            pa.array(days).view(pa.date32()),
            pa.array(np.zeros(len(rows), np.int64)),
            topics,
            pa.array(joined.partitions[rows].astype(np.int32)),
            pa.array(joined.offsets[rows]),
            pa.array(joined.timestamps[rows]),
        ]
        columns = [*batch.columns, *added]
        if self.data_type.added and not enrich:
            columns += [pa.nulls(len(rows), f.type) for f in list(self.data_type.table_schema)[len(columns) :]]
        elif self.data_type.added:
            columns += self._enrichment.columns(pa.RecordBatch.from_arrays(columns, schema=self._plain_schema))
        return pa.Table.from_arrays(columns, schema=self.data_type.table_schema)

    def _parts(
        self, joined: Joined, batch: pa.RecordBatch, rows: Longs, symbols: tuple[npt.NDArray[np.int32], list[str]]
    ) -> list[Part]:
        ids = Ids(plain(batch.column(self.data_type.id_column))) if self.data_type.id_column else None
        times, offsets, stamps = _times(batch, self.data_type), joined.offsets[rows], joined.timestamps[rows]
        parts: list[Part] = []
        end = 0
        for partition, blocks in joined.by_partition.items():
            end += sum(len(b) for b in blocks)
            start = parts[-1].stop if parts else 0
            stop = int(np.searchsorted(rows, end))
            own = slice(start, stop)
            identities = None
            if ids is not None:
                exchange = Topic.parse(partition[0]).exchange
                facts = self.facts.get(exchange, UNKNOWN)
                streams, stream = _streams(exchange, symbols[0][own], symbols[1])
                identities = IdentityBatch(
                    data_type=self.data_type.name, partition=partition, kind=facts.ids, streams=streams,
                    stream=stream, ids=ids.of(start, stop), order_ms=times[own], event_time=facts.event_time,
                    offsets=offsets[own], timestamps_us=stamps[own],
                )  # fmt: skip
            parts.append(Part(partition, blocks[0].first_offset, blocks[-1].next_offset, start, stop, identities))
        return parts


def _place(joined: Joined, batch: pa.RecordBatch, rows: Longs) -> Placed:
    codes, symbols = coded(batch.column("symbol"))
    return Placed(
        batch=batch, partitions=joined.partitions[rows], timestamps=joined.timestamps[rows],
        topic_codes=joined.topic_codes[rows], exchanges=[Topic.parse(t).exchange for t in joined.topics],
        symbols=symbols, symbol_codes=codes,
    )  # fmt: skip


def _streams(
    exchange: str, codes: npt.NDArray[np.int32], symbols: list[str]
) -> tuple[tuple[Stream, ...], npt.NDArray[np.int32]]:
    """The distinct streams of a part, and each row's index into them."""
    present = np.flatnonzero(np.bincount(codes, minlength=len(symbols)))
    renumber = np.zeros(len(symbols), np.int32)
    renumber[present] = np.arange(len(present), dtype=np.int32)
    return tuple(Stream(exchange, symbols[k]) for k in present.tolist()), renumber[codes]


def _times(batch: pa.RecordBatch, data_type: DataType) -> Longs:
    times: Longs = batch.column(data_type.order).to_numpy(zero_copy_only=False)
    return times


def _dead(joined: Joined, found: list[Failure]) -> list[DeadRecord]:
    dead = []
    for failure in sorted(found, key=lambda f: f.row):
        block, at = joined.place(failure.row)
        place, offset = (block.topic, block.partition), block.first_offset + at
        datum = joined.datum(failure.row)
        dead.append(DeadRecord(place, offset, failure.reason, failure.detail, datum, failure.symbol))
    return dead
