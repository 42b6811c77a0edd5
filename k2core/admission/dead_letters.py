"""Refused records as records of the `dead_letters` data type, ready to be produced.

A dead letter is identified by its origin, `topic/partition/offset`: a writer that was killed between producing it and
the commit that passes it produces it again, and readers of that topic see the same origin twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from k2core.admission.admit import DeadRecord
from k2core.avro.codec import Codec
from k2core.interfaces.broker import EncodedBatch
from k2core.records.builtin import DEAD_LETTERS
from k2core.records.topics import PARTITIONS, Topic, partition_of

STAGE = "admit"
PAYLOAD_BYTES = 65_536
"""Bytes of a refused record that its dead letter keeps."""


def dead_letter_topic(topic: str) -> str:
    """The topic of what is refused in `topic`: `market.{asset_class}.dead_letters.{exchange}`."""
    parsed = Topic.parse(topic)
    return Topic(parsed.asset_class, DEAD_LETTERS.name, parsed.exchange).name


def dead_letter_batch(dead: Sequence[DeadRecord], now_ms: int, payload_bytes: int = PAYLOAD_BYTES) -> pa.RecordBatch:
    """Refused records in the Arrow schema of `DEAD_LETTERS`.

    Args:
        dead: What was refused.
        now_ms: When, Unix ms.
        payload_bytes: Longer payloads are cut.
    """
    columns: dict[str, Any] = {
        "symbol": [d.symbol for d in dead],
        "exchange": [Topic.parse(d.partition[0]).exchange for d in dead],
        "exchange_timestamp_ms": [now_ms] * len(dead),
        "reason": [d.reason for d in dead],
        "detail": [d.detail for d in dead],
        "stage": [STAGE] * len(dead),
        "origin": [f"{d.partition[0]}/{d.partition[1]}/{d.offset}" for d in dead],
        "payload": [d.payload[:payload_bytes] for d in dead],
    }
    return pa.RecordBatch.from_pydict(columns, schema=DEAD_LETTERS.arrow_schema)


def encode_dead_letters(
    dead: Sequence[DeadRecord], now_ms: int, partitions: int = PARTITIONS, payload_bytes: int = PAYLOAD_BYTES
) -> list[EncodedBatch]:
    """Refused records as encoded batches, one a topic.

    Args:
        dead: What was refused.
        now_ms: When, Unix ms.
        partitions: Partitions of the dead letters' topics.
        payload_bytes: Longer payloads are cut.
    """
    codec = Codec(DEAD_LETTERS)
    by_topic: dict[str, list[DeadRecord]] = {}
    for record in dead:
        by_topic.setdefault(dead_letter_topic(record.partition[0]), []).append(record)
    batches = []
    for topic, records in by_topic.items():
        sizes, data = codec.encode(dead_letter_batch(records, now_ms, payload_bytes))
        places = np.array([partition_of(r.symbol, partitions) for r in records], np.int32)
        batches.append(EncodedBatch(topic, DEAD_LETTERS.versions, places, sizes, data))
    return batches
