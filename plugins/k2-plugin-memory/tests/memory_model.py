"""A table that knows everything, and batches made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from k2core.plugin import Clock, IdentityBatch, SinkError, StoredIdentities, Stream

PLACE = ("market.crypto.trades.binance", 3)
BTC, ETH = Stream("binance", "BTCUSDT"), Stream("binance", "ETHUSDT")
SECOND = 1_000_000


class Now(Clock):
    def __init__(self, us: int = 0) -> None:
        self.us = us

    def now_ns(self) -> int:
        return self.us * 1000

    def monotonic(self) -> float:
        return self.us / 1e6


def batch(
    ids: list[Any], offset: int = 0, *, kind: str = "contiguous", at_us: int = 0, event_time: str = "exchange",
    streams: tuple[Stream, ...] = (BTC,), stream: list[int] | None = None, order_ms: list[int] | None = None,
) -> IdentityBatch:  # fmt: skip
    n = len(ids)
    numbers = all(isinstance(i, int) for i in ids)
    return IdentityBatch(
        data_type="trades", partition=PLACE, kind=kind, streams=streams,  # type: ignore[arg-type]
        stream=np.array(stream or [0] * n, np.int32), ids=np.array(ids, np.int64 if numbers else object),
        order_ms=np.array(order_ms or [at_us // 1000] * n, np.int64), event_time=event_time,
        offsets=np.arange(offset, offset + n), timestamps_us=np.full(n, at_us, np.int64),
    )  # fmt: skip


class Table(StoredIdentities):
    """Holds batches; counts what it is asked."""

    def __init__(self, *stored: IdentityBatch) -> None:
        self.stored, self.asked, self.away = list(stored), 0, False

    def contains(self, batch: IdentityBatch) -> Any:
        if self.away:
            raise SinkError("catalog away")
        self.asked += len(batch)
        have: dict[tuple[Stream, str], int] = {}
        for b in self.stored:
            for s, i, o in zip(b.stream.tolist(), b.ids.tolist(), b.offsets.tolist(), strict=True):
                have.setdefault((b.streams[s], str(i)), o)
        rows = zip(batch.stream.tolist(), batch.ids.tolist(), batch.offsets.tolist(), strict=True)
        return np.array([have.get((batch.streams[s], str(i)), 1 << 62) < o for s, i, o in rows], bool)

    def load(self, partition: Any, since_us: int) -> Iterator[IdentityBatch]:
        yield from (b.where(b.timestamps_us >= since_us) for b in self.stored)

    def marks(self, partition: Any, before_us: int) -> dict[Stream, int]:
        found: dict[Stream, int] = {}
        for b in self.stored:
            old = b.where(b.timestamps_us < before_us)
            keys = old.ids if old.kind != "opaque" and old.ids.dtype.kind == "i" else old.order_ms
            for s, key in zip(old.stream.tolist(), keys.tolist(), strict=True):
                found[b.streams[s]] = max(key, found.get(b.streams[s], -1))
        return found
