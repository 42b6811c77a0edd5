"""`Restoring`: brings shed records of one table back: reads them from the log, appends them again, notes that they are back.

Three steps, each safe to do again: `bring_back` produces the records of a range at new positions with source `replay`,
the running writers store them as they store any, and once the table has them, `note` says so in one atomic step. Killed
anywhere, the same command does it again: a copy that is stored is a duplicate of nobody twice. Records that were refused
stay dead letters. What retention removed is named as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from k2core.admission.admit import Admission
from k2core.avro.codec import Codec
from k2core.errors import BrokerError, OffsetGoneError, SinkError
from k2core.interfaces.broker import Broker, EncodedBatch, LogBlock, Partition, Producer
from k2core.interfaces.shed import ANY, Shed, counted
from k2core.interfaces.sink import Head, SinkTable
from k2core.records.data_type import DataType

SOURCE = "replay"
IDLE_S = 1.0
"""How long a read waits for records that the log must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """Of one table.

    Args:
        data_type: Its data type.
        broker: The log.
        producer: Appends to it.
        table: The table; only its head is read, and ranges are noted.
        admission: Log blocks to rows, as the writer does it.
        batch_records: Records read at once.
        pace: Called before each batch is appended; waits until the writers take more.
        appended: Told how many records each batch had, once it is appended.
    """

    data_type: DataType
    broker: Broker
    producer: Producer
    table: SinkTable
    admission: Admission
    batch_records: int = 10_000
    pace: Callable[[], None] = lambda: None
    appended: Callable[[int], None] = lambda records: None

    def ranges(self, symbols: Sequence[str] | None = None) -> list[Shed]:
        """What is shed and not back yet, of these symbols.

        Raises:
            SinkError: The table cannot be read.
        """
        return [one for one in self.table.head().shed if one.state == "shed" and one.concerns(symbols)]

    def bring_back(self, one: Shed, symbols: Sequence[str] | None = None) -> list[Shed]:
        """Append the records of a range again.

        Args:
            one: From `ranges`.
            symbols: Only these; None for all.

        Returns:
            What to `note` once the table has it: parts that are restored, and such as are lost.

        Raises:
            SinkError: Records of this data type have no ids: what is stored could not be told from what comes again.
            BrokerError: The log cannot be read or takes nothing; what was appended until then comes again.
        """
        if self.data_type.id_column is None:
            raise SinkError(
                f"{self.data_type.name}: records without ids cannot be brought back: a second run would double"
            )
        names = one.names if symbols is None or ANY in one.names else one.names & set(symbols)
        while True:
            start = min(max(one.first_offset, self._start(one.place)), one.next_offset)
            try:
                found, back = self._again(one, names, start)
                break
            except OffsetGoneError:  # retention passed meanwhile: from what is left, what comes twice is no harm
                if self._start(one.place) <= start:
                    raise
        wanted = replace(one, symbols=tuple(pair for pair in one.symbols if pair[0] in names))
        return self._done(wanted, start, found, back)

    def _again(self, one: Shed, names: frozenset[str], start: int) -> tuple[Counter[str], int]:
        """Append what is left of a range; how much of each symbol, and the offset behind it."""
        found: Counter[str] = Counter()
        back = one.next_offset
        for blocks in self._blocks(one.place, start, one.next_offset):
            batch = self._chosen(blocks, names)
            if batch.num_rows:
                names_of: Any = batch.column("symbol").to_pylist()
                found.update(names_of)
                self.pace()
                back = max(back, self._append(one, batch))
                self.appended(batch.num_rows)
        return found, back

    def is_back(self, done: Sequence[Shed], head: Head) -> bool:
        """Whether a head accounts for all that was appended."""
        return all(head.offsets.get(one.place, 0) >= (one.back_offset or 0) for one in done)

    def note(self, done: Sequence[Shed]) -> Head:
        """Say in the table what became of ranges; only where `is_back` holds.

        Raises:
            SinkError: The table cannot be reached; call again.
        """
        return self.table.restore(done)

    def _done(self, one: Shed, start: int, found: Counter[str], back: int) -> list[Shed]:
        """What became of a range that was read from `start` on, symbol by symbol where retention had come before."""
        restored = replace(one, state="restored", back_offset=back, back_us=self._appended_us(one, back))
        exact = one.rule and ANY not in one.names  # else `found` counts records too that the table has
        missed = {name: count - (found[name] if exact else 0) for name, count in one.symbols}
        lost = counted(missed.items()) if start > one.first_offset else ()
        if not lost:
            return [restored]
        names = {name for name, _ in lost}
        whole = sum(count for _, count in lost) == one.records
        parts = (
            replace(restored, symbols=tuple(pair for pair in one.symbols if pair[0] not in names)),
            replace(one, state="lost", next_offset=one.next_offset if whole else start, symbols=lost),
            replace(restored, first_offset=start, symbols=counted((n, found[n]) for n in names if exact)),
        )
        return [part for part in parts if part.symbols]

    def _start(self, place: Partition) -> int:
        return self.broker.starts([place[0]]).get(place, 0)

    def _blocks(self, place: Partition, first: int, after: int) -> Iterator[list[LogBlock]]:
        """Blocks of one partition, first <= offset < after, in bounded groups."""
        if first >= after:
            return
        consumer = self.broker.consumer([place[0]])
        try:
            ends = self.broker.ends([place[0]])
            consumer.only(frozenset({place}))
            consumer.seek({**ends, place: first})
            while consumer.positions().get(place, first) < after:
                polled = consumer.poll(self.batch_records, IDLE_S)
                mine = [b for b in polled if (b.topic, b.partition) == place]
                if not mine and not polled:
                    raise BrokerError(f"the log gave nothing of {place[0]}/{place[1]} below offset {after}")
                yield [_below(b, after) for b in mine if b.first_offset < after]
        finally:
            consumer.close()

    def _chosen(self, blocks: Sequence[LogBlock], names: frozenset[str]) -> pa.RecordBatch:
        """Readable records of some symbols as record columns, marked as replayed."""
        schema = self.data_type.arrow_schema
        rows = self.admission.admit(blocks, enrich=False).rows.select(schema.names)
        if ANY not in names:
            symbols: Any = rows.column("symbol").cast(pa.string())
            rows = rows.filter(pc.is_in(symbols, value_set=pa.array(sorted(names), pa.string())))
        if "source" in schema.names:
            at, field = schema.get_field_index("source"), schema.field("source")
            marked: Any = pa.array([SOURCE] * rows.num_rows, pa.string()).cast(field.type)
            rows = rows.set_column(at, field, marked)
        batches = rows.cast(schema).unify_dictionaries().combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)

    def _append(self, one: Shed, batch: pa.RecordBatch) -> int:
        sizes, data = Codec(self.data_type).encode(batch)
        places = np.full(batch.num_rows, one.partition, np.int32)
        ends = self.producer.produce([EncodedBatch(one.topic, self.data_type.versions, places, sizes, data)])
        return ends[one.place]

    def _appended_us(self, one: Shed, back: int) -> int | None:
        """When the last record below an offset was appended; that of the range where nothing was."""
        if back == one.next_offset:
            return one.last_us
        times = [block.timestamp_us for blocks in self._blocks(one.place, back - 1, back) for block in blocks]
        return max(times, default=None)


def _below(block: LogBlock, after: int) -> LogBlock:
    """The block's records below an offset."""
    keep = min(len(block), after - block.first_offset)
    sizes = block.sizes[:keep]
    return replace(block, sizes=sizes, data=block.data[: int(sizes.sum())])
