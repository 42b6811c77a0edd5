"""Confluent framing, `00 iiii datum` with a schema id of four bytes, put on and taken off whole batches.

    magic 0 │ id, big-endian uint32 │ Avro datum

The key of a record is its symbol: the datum's first field, where the schema says that this is a string named `symbol`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from k2core.plugin import EncodedBatch

Message = dict[str, Any]
FRAME = 5
MAGIC = b"\x00"


def head_of(schema_id: int) -> bytes:
    """What stands before every datum of a schema."""
    return MAGIC + schema_id.to_bytes(4, "big")


def id_of(head: bytes) -> int | None:
    """The schema id that a record begins with; None where it is not framed."""
    return int.from_bytes(head[1:], "big") if len(head) == FRAME and head[:1] == MAGIC else None


def has_symbol(schema: str) -> bool:
    """Whether a datum begins with its symbol."""
    parsed = json.loads(schema)
    fields = parsed.get("fields", []) if isinstance(parsed, dict) else []
    return [(one["name"], one["type"]) for one in fields[:1]] == [("symbol", "string")]


def messages_of(batch: EncodedBatch, head: bytes, *, keyed: bool) -> Iterator[tuple[int, list[Message]]]:
    """A batch as the client's `produce_batch` takes it, by partition; records of one partition keep their order.

    The client (2.16) documents a partition of each message, and ignores it: it must be that of the call.
    """
    order = np.argsort(batch.partitions, kind="stable")
    sizes = batch.sizes[order].astype(np.int64)
    stops = np.cumsum(batch.sizes, dtype=np.int64)[order]
    starts, ends = (stops - sizes).tolist(), stops.tolist()
    counts = np.bincount(batch.partitions)
    places = np.flatnonzero(counts)
    last = 0
    for partition, count in zip(places.tolist(), counts[places].tolist(), strict=True):
        first, last = last, last + count
        yield partition, _messages(batch.data, head, starts[first:last], ends[first:last], keyed=keyed)


def _messages(data: bytes, head: bytes, starts: list[int], stops: list[int], *, keyed: bool) -> list[Message]:
    if not keyed:
        return [{"value": head + data[a:b]} for a, b in zip(starts, stops, strict=True)]
    # An Avro string is its length, doubled (zigzag), and its bytes: one byte of length holds up to 63.
    return [
        {"value": head + data[a:b], "key": data[a + 1 : a + 1 + (data[a] >> 1)] if data[a] < 128 else None}
        for a, b in zip(starts, stops, strict=True)
    ]
