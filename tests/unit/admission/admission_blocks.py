"""Log blocks for admission's tests."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from k2core.avro.codec import Codec
from k2core.interfaces.broker import LogBlock
from k2core.records.builtin import TRADES
from k2core.records.data_type import DataType
from k2core.records.topics import partition_of

TOPIC = "market.crypto.trades.binance"
NOW_MS = 1_790_000_000_000


def trade(trade_id: str | None = "1", **other: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "exchange": "binance", "exchange_timestamp_ms": NOW_MS, "price": 1.5, "quantity": 2.0,
        "side": "buy", "trade_id": trade_id, **other,
    }  # fmt: skip


def block(
    *records: dict[str, Any], topic: str = TOPIC, offset: int = 0, version: int | None = None,
    partition: int | None = None, data_type: DataType = TRADES,
) -> LogBlock:  # fmt: skip
    """Records of one symbol as one block of its partition, appended at `NOW_MS`."""
    names = [c.name for c in data_type.columns if c.name in records[0]]
    kinds = {"string": pa.string(), "long": pa.int64(), "double": pa.float64()}
    schema = pa.schema([(c.name, kinds[c.kind]) for c in data_type.columns if c.name in names])
    sizes, data = Codec(data_type).encode(pa.RecordBatch.from_pylist(list(records), schema=schema))
    place = partition_of(records[0]["symbol"]) if partition is None else partition
    return LogBlock(topic, place, offset, version or data_type.versions, NOW_MS * 1000, sizes, data)
