"""Reading a hole: records that left the tail before they were committed, from the log, through the same code.

A hole is judged by the tail's own window, whose identities carry their first position: a record that is read again is
its own first copy, not a duplicate of itself. What cannot be read in time is named as missing, never left out silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from k2core.errors import BrokerError, QueryError
from k2core.interfaces.broker import Consumer, LogBlock, Partition
from k2core.query.answer import Missing
from k2core.query.follower import POLL_RECORDS, Follower, Parts
from k2core.query.gate import Deadline
from k2core.query.slices import Lane, join, pieces_of

Holes = Mapping[Partition, tuple[int, int]]


@dataclass(slots=True)
class Filled:
    """Rows of holes as lanes, and what could not be had."""

    lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    read: int = 0


def fill(parts: Parts, follower: Follower, holes: Holes, deadline: Deadline) -> Filled:
    """Read ranges of the log again.

    Args:
        parts: What the tail is made of.
        follower: Whose window decides.
        holes: Per partition, first and next offset.
        deadline: When it has to be done.
    """
    filled = Filled()
    for partition, (first, after) in sorted(holes.items()):
        consumer = parts.broker.consumer([partition[0]])
        try:
            for blocks in _blocks(consumer, parts, partition, first, after, deadline):
                _add(parts, follower, blocks, filled, deadline)
                first = min(after, blocks[-1].next_offset)
        except (BrokerError, QueryError) as error:
            filled.missing.append(Missing(*partition, first, after, str(error)))
        finally:
            consumer.close()
    return filled


def _blocks(
    consumer: Consumer, parts: Parts, partition: Partition, first: int, after: int, deadline: Deadline
) -> Iterator[Sequence[LogBlock]]:
    """Blocks of one partition, first ≤ offset < after; the other partitions are skipped."""
    ends = parts.broker.ends([partition[0]])
    consumer.seek({**ends, partition: first})
    while consumer.positions().get(partition, first) < after:
        polled = consumer.poll(POLL_RECORDS, min(0.5, deadline.left()))
        mine = [_below(b, after) for b in polled if (b.topic, b.partition) == partition and b.first_offset < after]
        if mine:
            yield mine
        elif not polled:
            raise BrokerError(f"the log gave nothing at offset {first} of {partition[0]}/{partition[1]}")


def _below(block: LogBlock, after: int) -> LogBlock:
    """The block's records below an offset."""
    keep = after - block.first_offset
    if keep >= len(block):
        return block
    sizes = block.sizes[:keep]
    return LogBlock(
        block.topic, block.partition, block.first_offset, block.version, block.timestamp_us, sizes,
        block.data[: int(sizes.sum())],
    )  # fmt: skip


def _add(parts: Parts, follower: Follower, blocks: Sequence[LogBlock], filled: Filled, deadline: Deadline) -> None:
    admitted = parts.admission.admit(blocks)
    order = parts.data_type.order
    filled.read += sum(len(b) for b in blocks)
    batch = join(admitted.rows)
    for part in admitted.parts:
        rows = batch.slice(part.start, part.stop - part.start)
        if part.identities is not None:
            fresh = follower.judge(part.identities, timeout=deadline.left())
            if fresh is None:
                raise QueryError("the tail was busy", kind="timeout", status=503, retry_after=1)
            rows = rows.filter(pa.array(fresh))
        for partition, exchange, symbol, piece in pieces_of(rows, order):
            lane = filled.lanes.get((symbol, partition[0])) or Lane(partition, exchange, symbol, ())
            filled.lanes[lane.key] = lane.with_slice(piece, order)
