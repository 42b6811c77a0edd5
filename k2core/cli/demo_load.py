"""The load of `k2 demo degradation`: trades appended to the log faster than the writer takes them, told by their ids.

Each symbol's ids run from 1 without a hole, so that the proof needs no copy of what was sent. The log gets them in small
pieces, since a reader takes whole pieces; and it gets a bounded number of them, whatever the writer can take.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from k2core.avro.codec import Codec
from k2core.errors import K2Error
from k2core.interfaces.broker import EncodedBatch, Producer
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic, partition_of

TOPIC = Topic("crypto", TRADES.name, "binance")
TIERS = {
    1: ("BTCUSDT", "ETHUSDT"),
    2: ("SOLUSDT", "XRPUSDT", "ADAUSDT"),
    3: ("DOGEUSDT", "LTCUSDT", "TRXUSDT", "PEPEUSDT"),
}
SYMBOLS = tuple(symbol for symbols in TIERS.values() for symbol in symbols)
PIECE = 5 * len(SYMBOLS)
"""Records of one segment of the log."""
AT_ONCE = 50_000
"""Records that are appended at once, at most."""


@dataclass(slots=True)
class Load:
    """Appends trades of all symbols in turn.

    Args:
        producer: Appends to the log.
        most: Trades in all.
        issued: By symbol, the largest id.
    """

    producer: Producer
    most: int
    issued: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 0))
    codec: Codec = field(default_factory=lambda: Codec(TRADES))

    @property
    def records(self) -> int:
        """How many were sent."""
        return sum(self.issued.values())

    def send(self, records: int) -> None:
        """Append about so many.

        Raises:
            K2Error: It would be more than `most` in all.
        """
        each = max(0, min(records, AT_ONCE)) // len(SYMBOLS)
        if self.records + each * len(SYMBOLS) > self.most:
            raise K2Error(
                f"the writer took {self.records:,} trades, and more is not sent: this machine is too fast for it"
            )
        if each:
            self.producer.produce(list(_pieces(self._batch(each))))

    def _batch(self, each: int) -> EncodedBatch:
        symbols = np.tile(np.arange(len(SYMBOLS), dtype=np.int32), each)
        firsts = np.array([self.issued[symbol] for symbol in SYMBOLS], np.int64)
        ids = np.repeat(np.arange(1, each + 1), len(SYMBOLS)) + np.tile(firsts, each)
        sizes, data = self.codec.encode(_trades(symbols, ids, int(time.time() * 1000)))
        for symbol in SYMBOLS:
            self.issued[symbol] += each
        places = np.array([partition_of(symbol) for symbol in SYMBOLS], np.int32)
        return EncodedBatch(TOPIC.name, TRADES.versions, places[symbols], sizes, data)


def _pieces(batch: EncodedBatch) -> Iterator[EncodedBatch]:
    ends = np.concatenate(([0], np.cumsum(batch.sizes, dtype=np.int64)))
    for at in range(0, len(batch.sizes), PIECE):
        to = min(at + PIECE, len(batch.sizes))
        yield replace(
            batch, partitions=batch.partitions[at:to], sizes=batch.sizes[at:to], data=batch.data[ends[at] : ends[to]]
        )


def _trades(symbols: Any, ids: Any, now_ms: int) -> pa.RecordBatch:
    n, schema = len(ids), TRADES.arrow_schema
    given = dict(_columns(symbols, ids, now_ms))
    return pa.RecordBatch.from_arrays([given.get(f.name, pa.nulls(n, f.type)) for f in schema], schema=schema)


def _columns(symbols: Any, ids: Any, now_ms: int) -> Iterator[tuple[str, Any]]:
    n = len(ids)
    zeros: Any = pa.array(np.zeros(n, np.int32))
    yield "symbol", pa.DictionaryArray.from_arrays(pa.array(symbols), pa.array(SYMBOLS))
    yield "exchange", pa.DictionaryArray.from_arrays(zeros, pa.array([TOPIC.exchange]))
    yield "source", pa.DictionaryArray.from_arrays(zeros, pa.array(["live"]))
    yield "exchange_timestamp_ms", pa.array(np.full(n, now_ms, np.int64))
    yield "price", pa.array(100.0 + (ids % 100) / 100.0)
    yield "quantity", pa.array(np.full(n, 0.5))
    yield "trade_id", pa.array(ids).cast(pa.string())
    yield "sequence_num", pa.array(ids)
