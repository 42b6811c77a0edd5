"""A segment: the records that one append gave to one topic, and its bytes in the file.

    id      (topic number << 40) + segment number; a topic's segment numbers rise by one, without a hole
    head    <number u64> <topic u32> <version u32> <timestamp_us i64> <records u32> <partitions u32>
            then per partition the next offset (i64), then per partition the count of its records here (u32),
            then CRC32C of sizes and data (u32), then CRC32C of all the head before it (u32)
    sizes   bytes of each datum (u32), in order of partition
    data    the datums joined, in order of partition

All little-endian. Every read checks both sums, and that number and topic are the asked ones: a flipped bit, a block of
another place or an older state of this one is a `LogCorruptError`, never other bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c
import numpy as np
import numpy.typing as npt

from k2core.broker.specs import Split
from k2core.errors import LogCorruptError
from k2core.interfaces.broker import LogBlock

_FIXED = struct.Struct("<QIIqII")
_SUMS = struct.Struct("<II")
TOPIC_SHIFT = 40
WHAT_TO_DO = (
    "stop k2 and put undamaged files back from a backup, or move the log's files away: a new log then starts, and what "
    "the tables have not stored yet has to be fetched from the exchanges again"
)


def row_id(topic: int, number: int) -> int:
    """The row of a segment."""
    return (topic << TOPIC_SHIFT) + number


@dataclass(frozen=True, slots=True)
class Head:
    """What a segment says about itself.

    Args:
        number: Its number within its topic.
        topic: The topic's number in this file.
        version: Schema version of its records.
        timestamp_us: Append time, Unix µs.
        ends: Next offset of every partition after this segment, int64[partitions].
        counts: Records of every partition in it, int64[partitions].
        body_sum: CRC32C of sizes and data.
    """

    number: int
    topic: int
    version: int
    timestamp_us: int
    ends: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    body_sum: int

    def pack(self) -> bytes:
        """The bytes of the head."""
        fixed = _FIXED.pack(
            self.number, self.topic, self.version, self.timestamp_us, int(self.counts.sum()), len(self.ends)
        )
        text = (
            fixed + self.ends.tobytes() + self.counts.astype(np.uint32).tobytes() + self.body_sum.to_bytes(4, "little")
        )
        return text + int(google_crc32c.value(text)).to_bytes(4, "little")


def body_sum(split: Split) -> int:
    """CRC32C of sizes and data."""
    return int(google_crc32c.extend(google_crc32c.value(split.sizes.tobytes()), split.data))


def read_head(text: bytes, topic: int, number: int, name: str) -> Head:
    """A segment's head.

    Raises:
        LogCorruptError: It is damaged, or belongs elsewhere.
    """
    if isinstance(text, bytes) and len(text) >= _FIXED.size + _SUMS.size:
        body, head_sum = _SUMS.unpack_from(text, len(text) - _SUMS.size)
        found, of, version, timestamp_us, _, partitions = _FIXED.unpack_from(text)
        whole = len(text) == _FIXED.size + 12 * partitions + _SUMS.size
        if whole and head_sum == google_crc32c.value(text[:-4]) and (found, of) == (number, topic):
            ends = np.frombuffer(text, "<i8", partitions, _FIXED.size)
            counts = np.frombuffer(text, "<u4", partitions, _FIXED.size + 8 * partitions).astype(np.int64)
            return Head(number, topic, version, timestamp_us, ends, counts, body)
    raise LogCorruptError(f"log: the head of segment {number} of topic {name} is damaged; {WHAT_TO_DO}")


def check_body(head: Head, sizes: bytes, data: bytes, name: str) -> npt.NDArray[np.uint32]:
    """The sizes of a segment's datums, once both are proved to be what was written.

    Raises:
        LogCorruptError: They are not.
    """
    records = int(head.counts.sum())
    whole = isinstance(sizes, bytes) and isinstance(data, bytes) and len(sizes) == 4 * records
    if whole and google_crc32c.extend(google_crc32c.value(sizes), data) == head.body_sum:
        return np.frombuffer(sizes, "<u4")
    where = ", ".join(f"{p}@{head.ends[p] - head.counts[p]}" for p in np.flatnonzero(head.counts).tolist())
    raise LogCorruptError(
        f"log: records of topic {name} are damaged (segment {head.number}, partition@offset {where}); {WHAT_TO_DO}"
    )


def blocks(head: Head, sizes: npt.NDArray[np.uint32], data: bytes, name: str, at: list[int]) -> Iterator[LogBlock]:
    """The blocks of a segment at or above the next offsets `at`, which move on behind each of them."""
    held = np.flatnonzero(head.counts)
    rows = np.cumsum(head.counts[held])
    cuts = np.cumsum(sizes, dtype=np.int64)
    low = cut = 0
    every = (held, head.ends[held], rows, cuts[rows - 1])
    for partition, end, high, edge in zip(*(column.tolist() for column in every), strict=True):
        first, start = end - (high - low), at[partition]
        if end > start:
            if start > first:  # read in part before: its rest
                low, first, cut = low + start - first, start, int(cuts[low + start - first - 1])
            at[partition] = end
            yield LogBlock(name, partition, first, head.version, head.timestamp_us, sizes[low:high], data[cut:edge])
        low, cut = high, edge
