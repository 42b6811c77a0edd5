"""Topics of data types, and an encoded batch put in order of its partitions. Knows nothing of SQLite."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k2core.errors import SchemaError
from k2core.interfaces.broker import EncodedBatch, TopicSpec
from k2core.records.data_type import DataType
from k2core.records.topics import PARTITIONS, Topic


def topic_spec(topic: Topic, data_type: DataType, partitions: int = PARTITIONS) -> TopicSpec:
    """The topic of one data type of one exchange, with every schema of its lineage as canonical JSON."""
    texts = (data_type.avro_schema(version) for version in range(1, data_type.versions + 1))
    schemas = tuple(json.dumps(text, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for text in texts)
    return TopicSpec(name=topic.name, partitions=partitions, subject=f"{topic.name}-value", schemas=schemas)


@dataclass(frozen=True, slots=True)
class Split:
    """The records of one batch, ordered by partition; those of one partition keep their order.

    Args:
        counts: Records of each partition, int64[partitions].
        sizes: Bytes of each datum, uint32[n].
        data: The datums joined.
    """

    counts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.uint32]
    data: bytes


def by_partition(batch: EncodedBatch, partitions: int) -> Split:
    """Put a batch in order of its partitions. A batch that is in order already costs next to nothing.

    Args:
        batch: Records of one topic.
        partitions: How many the topic has.

    Raises:
        SchemaError: The batch contradicts itself, or names a partition that the topic does not have.
    """
    parts = np.asarray(batch.partitions)
    sizes = np.ascontiguousarray(batch.sizes, dtype=np.uint32)
    ends = np.cumsum(sizes, dtype=np.int64)
    if len(parts) != len(sizes) or (int(ends[-1]) if len(ends) else 0) != len(batch.data):
        raise SchemaError(
            f"batch for {batch.topic}: {len(parts)} partitions, {len(sizes)} sizes and {len(batch.data)} bytes do not "
            "describe the same records; nothing was appended"
        )
    if len(parts) and not (int(parts.min()) >= 0 and int(parts.max()) < partitions):
        raise SchemaError(f"batch for {batch.topic} names a partition outside 0 to {partitions - 1}")
    counts = np.bincount(parts, minlength=partitions)
    if not bool((parts[1:] < parts[:-1]).any()):
        return Split(counts, sizes, batch.data)
    order = np.argsort(parts.astype(np.int16) if partitions <= 32_767 else parts, kind="stable")
    stops = ends[order]
    starts = (stops - sizes[order]).tolist()
    data = b"".join([batch.data[a:b] for a, b in zip(starts, stops.tolist(), strict=True)])
    return Split(counts, sizes[order], data)
