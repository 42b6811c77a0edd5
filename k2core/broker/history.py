"""Is this the log that fed a table? Asked by everybody who joins the two: the writer, every tail, and capture.

Where somebody puts an older copy of the log back, or another log, offsets that a table accounts for already name other
records; those would be passed over, or served as if they were stored. So each commit keeps, per partition, a stamp of
the last record that it accounts for: its append time and the CRC32C of its bytes. Two histories do not share one at the
same offset. What retention has removed cannot be compared; then only the ends are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import google_crc32c

from k2core.errors import TopicChangedError
from k2core.interfaces.broker import Broker, Consumer, LogBlock, Offsets, Partition

WHAT_TO_DO = "Bring the right log back; or move this one away and give the sink a new warehouse"


class Told(Protocol):
    """What a table says of the log that fed it: a `Head` or a `Snapshot`."""

    @property
    def offsets(self) -> Offsets:
        """Next offset per partition."""

    @property
    def topic_ids(self) -> Mapping[str, str]:
        """Id of every topic that ever fed it."""

    @property
    def stamps(self) -> Mapping[Partition, str]:
        """Stamp of the record before each next offset."""


def stamp_of(block: LogBlock) -> str:
    """The stamp of a block's last record: `APPEND_TIME_US-CRC32C`."""
    datum = block.data[len(block.data) - int(block.sizes[-1]) :]
    return f"{block.timestamp_us}-{int(google_crc32c.value(datum)):08x}"


def stamps_of(blocks: Iterable[LogBlock]) -> dict[Partition, tuple[int, str]]:
    """By partition, the next offset after the last of these blocks, and the stamp of its last record."""
    newest = {(block.topic, block.partition): block for block in blocks}
    return {place: (block.next_offset, stamp_of(block)) for place, block in newest.items()}


def check_history(broker: Broker, told: Told, table: str) -> None:
    """The log is the one that a table tells of, and no older copy of it. Costs one seek a partition.

    Args:
        broker: The log.
        told: What the table says.
        table: Its name, for the message.

    Raises:
        TopicChangedError: It is not; the message says where it differs, and what to do.
    """
    _check_ids(broker, told.topic_ids, table)
    topics = sorted({topic for topic, _ in told.offsets} & set(broker.topics()))
    starts, ends = broker.starts(topics), broker.ends(topics)
    for (topic, number), offset in sorted(told.offsets.items()):
        if topic in topics and ends.get((topic, number), 0) < offset:
            raise TopicChangedError(
                f"{topic}/{number} ends at offset {ends.get((topic, number), 0)}, but table {table} holds it up to "
                f"{offset}: an older copy of the log was put back. {WHAT_TO_DO}"
            )
    held = [p for p, o in told.offsets.items() if p in told.stamps and starts.get(p, 0) < o <= ends.get(p, 0)]
    for topic in topics:
        _check_stamps(broker, told, [p for p in sorted(held) if p[0] == topic], ends, table)


def _check_ids(broker: Broker, stored: Mapping[str, str], table: str) -> None:
    there = broker.topics() if stored else {}
    for topic, number in stored.items():
        if number and (topic not in there or there[topic].id != number):
            found = f"id {there[topic].id}" if topic in there else "this log has none of that name"
            raise TopicChangedError(
                f"topic {topic} is another one than the one that fed table {table} ({found}, the table says {number}): "
                f"the log was replaced. {WHAT_TO_DO}"
            )


def _check_stamps(broker: Broker, told: Told, places: Sequence[Partition], ends: Offsets, table: str) -> None:
    if not places:
        return
    topic = places[0][0]
    at_end = {place: end for place, end in ends.items() if place[0] == topic}
    consumer = broker.consumer([topic])
    try:
        for place in places:
            last = told.offsets[place] - 1
            found = record_from(consumer, at_end, place, last)
            if found and (found.first_offset != last or stamp_of(found) != told.stamps[place]):
                raise TopicChangedError(
                    f"{topic}/{place[1]} holds another record at offset {last} than the one that fed table {table}: an "
                    f"older copy of the log was put back. {WHAT_TO_DO}"
                )
    finally:
        consumer.close()


def record_from(consumer: Consumer, ends: Offsets, place: Partition, offset: int) -> LogBlock | None:
    """The first record that a partition has from an offset on, as a block; None where there is none.

    Args:
        consumer: Of the topic, to be moved about.
        ends: Next offset of every partition of the topic.
        place: The partition.
        offset: Where to look.

    Raises:
        OffsetGoneError: Retention removed it.
    """
    consumer.seek({**ends, place: offset})
    return next((first_record(b) for b in consumer.poll(1, 0) if (b.topic, b.partition) == place), None)


def first_record(block: LogBlock) -> LogBlock:
    """The first record of a block, as a block."""
    return LogBlock(
        block.topic, block.partition, block.first_offset, block.version, block.timestamp_us, block.sizes[:1],
        block.data[: int(block.sizes[0])],
    )  # fmt: skip
