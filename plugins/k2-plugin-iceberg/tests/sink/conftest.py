"""A warehouse on disk, real rows with real positions, and pyiceberg alone as the reader."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from pyiceberg.catalog.sql import SqlCatalog

from k2core.plugin import Clock, Context, DataType, Metrics, Ownership, partition_of
from k2core.records.builtin import TRADES

TOPIC = "market.crypto.trades.binance"
PARTS = frozenset((TOPIC, p) for p in range(16))


class ManualClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = time.time_ns()

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / 1e9

    def move(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


def words(codes: np.ndarray, values: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(values))


class Tape:
    """Makes trades: Zipf symbols, random walk prices, contiguous ids and offsets, as they come from the log."""

    def __init__(self, symbols: int = 40, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.names = [f"SYM{i:03d}USDT" for i in range(symbols)]
        weights = 1 / np.arange(1, symbols + 1) ** 1.1
        self.weights = weights / weights.sum()
        self.partition = np.array([partition_of(n) for n in self.names])
        self.offsets: dict[tuple[str, int], int] = {}
        self.ids = np.arange(symbols) * 1_000_000

    def trades(self, rows: int, at_ms: int, span_ms: int = 5000) -> pa.Table:
        """`rows` trades appended within `span_ms` from `at_ms` on."""
        r = self.random
        code = r.choice(len(self.names), rows, p=self.weights)
        ms = np.sort(r.integers(at_ms, at_ms + span_ms, rows))
        part = self.partition[code]
        offset, number = np.empty(rows, np.int64), np.empty(rows, np.int64)
        for i in range(rows):
            key = (TOPIC, int(part[i]))
            offset[i] = self.offsets.get(key, 0)
            self.offsets[key] = int(offset[i]) + 1
            number[i] = self.ids[code[i]]
            self.ids[code[i]] += 1
        zero = np.zeros(rows, np.int64)
        steps = np.cumsum(r.choice([0, 0, 0, 0.01, -0.01], rows))
        columns: dict[str, Any] = {
            "symbol": words(code, self.names),
            "exchange": words(zero, ["binance"]),
            "exchange_timestamp_ms": ms - 40,
            "price": np.round(100 + code + steps, 2),
            "quantity": np.round(r.lognormal(0, 1, rows), 3) + 0.001,
            "side": words(r.integers(0, 2, rows), ["buy", "sell"]),
            "trade_id": pa.array([str(n) for n in number]),
            "sequence_num": number,
            "exchange_timestamp_us": (ms - 40) * 1000,
            "received_timestamp_us": ms * 1000 + r.lognormal(6, 1, rows).astype(np.int64),
            "source": words(zero, ["live"]),
            "exchange_date": pa.array(((ms - 40) // 86_400_000).astype(np.int32)).cast(pa.date32()),
            "id_epoch": zero,
            "topic": words(zero, [TOPIC]),
            "log_partition": part.astype(np.int32),
            "log_offset": offset,
            "log_timestamp": ms // 10 * 10_000 + 10_000,
        }
        return pa.table({n: columns[n] for n in TRADES.table_schema.names}, schema=TRADES.table_schema)


class Lake:
    """One warehouse, opened as often as wanted; every opening is as good as another process."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock, self.tape = root, ManualClock(), Tape()
        self._open: list[IcebergSink] = []

    def settings(self, **changes: Any) -> IcebergSettings:
        return IcebergSettings(warehouse=self.root, **changes)

    def context(self) -> Context:
        return Context(clock=self.clock, logger=logging.getLogger("test"), metrics=Metrics(), instance="lake")

    def table(self, data_type: DataType = TRADES, **settings: Any) -> Any:
        sink = IcebergSink(self.settings(**settings), self.context())
        self._open.append(sink)
        return sink.table(data_type)

    def own(self, table: Any, owner: str = "one") -> Ownership:
        owned: Ownership = table.take_over(PARTS, {TOPIC: "id-1"}, owner)
        return owned

    def ingest(self, table: Any, owned: Ownership, rows: int, span_ms: int = 5000) -> pa.Table:
        """Stage and commit fresh trades, as a writer does."""
        expect = dict(self.tape.offsets)
        fresh = self.tape.trades(rows, self.clock.now_ms(), span_ms)
        table.commit(table.stage(fresh), owned, expect, dict(self.tape.offsets))
        return fresh

    def read(self) -> pa.Table:
        """All rows, by pyiceberg alone, in the order of their positions."""
        catalog = SqlCatalog("k2", uri=f"sqlite:///{self.root}/catalog.db")
        try:
            return by_position(catalog.load_table(TRADES.table).scan().to_arrow())
        finally:
            catalog.close()

    def close(self) -> None:
        for sink in self._open:
            sink.close()


def by_position(rows: pa.Table) -> pa.Table:
    plain = [f.with_type(f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in TRADES.table_schema]
    rows = rows.select(TRADES.table_schema.names).cast(pa.schema(plain))
    order = [("topic", "ascending"), ("log_partition", "ascending"), ("log_offset", "ascending")]
    return rows.sort_by(order).combine_chunks()


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """An empty warehouse."""
    made = Lake(tmp_path / "ware house")
    yield made
    made.close()


@pytest.fixture
def same_rows() -> Any:
    """Asserts that two tables hold the same rows, whatever their order."""

    def check(left: pa.Table, *right: pa.Table) -> None:
        expected = by_position(pa.concat_tables([by_position(r) for r in right]))
        assert by_position(left).equals(expected)

    return check
