"""A small table with everything that makes reading hard, and a brute-force reader to compare with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from k2_plugin_iceberg.source import IcebergSource
from pyiceberg.catalog.sql import SqlCatalog

from k2core.plugin import Clock, Context, Metrics, Ownership, Selection, partition_of
from k2core.records.builtin import TRADES

TOPICS = ("market.crypto.trades.binance", "market.crypto.trades.kraken")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BTC/USD", "ΩMEGA", "X")
NOON_MS = 4_102_358_400_000 + 86_400_000 - 60_000
"""A minute before midnight: rows of two dates. Later than any real clock, by which tables are made."""
Row = dict[str, Any]


class ManualClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = NOON_MS * 1_000_000

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / 1e9


class World:
    """One warehouse with its writer; rows are made by a seed."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.settings = IcebergSettings(warehouse=root, slice_settle_s=0, **settings)
        self.clock = ManualClock()
        self.context = Context(clock=self.clock, logger=logging.getLogger("test"), metrics=Metrics(), instance="lake")
        self.random = np.random.default_rng(7)
        self.offsets: dict[tuple[str, int], int] = {}
        self.ids: dict[tuple[str, str], int] = {}
        self._sink = IcebergSink(self.settings, self.context)
        self.table = self._sink.table(TRADES)
        self.parts = frozenset((t, p) for t in TOPICS for p in range(16))
        self.owned: Ownership = self.table.take_over(self.parts, dict.fromkeys(TOPICS, "id"), "test")
        self.sources: list[IcebergSource] = []

    def source(self) -> Any:
        """The table as another process reads it."""
        made = IcebergSource(self.settings, self.context)
        self.sources.append(made)
        return made.table(TRADES)

    def rows(self, n: int) -> list[Row]:
        """Trades of both exchanges: few distinct times (ties), some late, contiguous ids."""
        made = []
        base = self.clock.now_ms()
        for stamp in np.sort(self.random.integers(0, 20, n)).tolist():
            topic = TOPICS[int(self.random.integers(2))]
            symbol = SYMBOLS[int(self.random.choice(5, p=[0.5, 0.2, 0.1, 0.1, 0.1]))]
            late = 30_000 if self.random.random() < 0.1 else 0
            ms = base + int(self.random.integers(0, 8)) * 5000 - late
            made.append(self.row(topic, symbol, ms, base * 1000 + stamp * 1_000_000))
        return made

    def row(self, topic: str, symbol: str, ms: int, appended_us: int) -> Row:
        """One trade at the next position."""
        exchange, partition = topic.rpartition(".")[2], partition_of(symbol)
        offset = self.offsets.get((topic, partition), 0)
        number = self.ids[exchange, symbol] = self.ids.get((exchange, symbol), 100) + 1
        self.offsets[topic, partition] = offset + 1
        return {
            "symbol": symbol, "exchange": exchange, "exchange_timestamp_ms": ms,
            "price": round(float(self.random.integers(90, 110)) + 0.25, 2),
            "quantity": float(self.random.integers(1, 9)), "side": "buy" if number % 2 else None,
            "trade_id": str(number), "sequence_num": number, "exchange_timestamp_us": None,
            "received_timestamp_us": ms * 1000, "source": "live", "exchange_date": ms // 86_400_000, "id_epoch": 0,
            "topic": topic, "log_partition": partition, "log_offset": offset, "log_timestamp": appended_us,
        }  # fmt: skip

    def commit(self, rows: list[Row]) -> int:
        """Store rows; returns the snapshot's id."""
        expect = dict(self.table.head().offsets)
        head = self.table.commit(self.table.stage(as_table(rows)), self.owned, expect, dict(self.offsets))
        return int(head.snapshot_id)

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.ns += int(seconds * 1e9)

    def brute(self, snapshot_id: int | None = None) -> list[Row]:
        """All rows of a snapshot, by pyiceberg alone."""
        catalog = SqlCatalog("k2", uri=self.settings.uri)
        try:
            scan = catalog.load_table(TRADES.table).scan(snapshot_id=snapshot_id)
            return scan.to_arrow().to_pylist()
        finally:
            catalog.close()

    def close(self) -> None:
        for source in self.sources:
            source.close()
        self._sink.close()


def as_table(rows: list[Row]) -> pa.Table:
    columns = []
    for field in TRADES.table_schema:
        cells = [r[field.name] for r in rows]
        kind = pa.int32() if pa.types.is_date32(field.type) else field.type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        columns.append(pa.array(cells, kind).cast(field.type))
    return pa.table(columns, schema=TRADES.table_schema)


def key(row: Row) -> tuple[int, str, int, int]:
    return row["exchange_timestamp_ms"], row["topic"], row["log_partition"], row["log_offset"]


def wanted(row: Row, s: Selection) -> bool:
    """Whether a selection wants a row, as its docstring says."""
    ms, place = row["exchange_timestamp_ms"], (row["topic"], row["log_partition"])
    beyond = s.after is None or (key(row) < s.after if s.descending else key(row) > s.after)
    return (
        beyond
        and row["log_offset"] < s.below.get(place, 0)
        and (s.symbols is None or row["symbol"] in s.symbols)
        and (s.exchanges is None or row["exchange"] in s.exchanges)
        and (s.start_ms is None or ms >= s.start_ms)
        and (s.end_ms is None or ms < s.end_ms)
        and (s.as_of_us is None or row["log_timestamp"] <= s.as_of_us)
    )


def brute_scan(rows: list[Row], s: Selection) -> list[Row]:
    found = sorted((r for r in rows if wanted(r, s)), key=key, reverse=s.descending)
    return found[: s.limit]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty table."""
    made = World(tmp_path / "ware [house]* it's", snapshots_to_keep=4, hour_tags=0, day_tags=0)
    yield made
    made.close()


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Several commits, a compaction in between, expired snapshots."""
    made = World(tmp_path_factory.mktemp("busy") / "lake", snapshots_to_keep=5, hour_tags=0, day_tags=0, cursors=3)
    for n in (300, 40, 5):
        made.commit(made.rows(n))
        made.move(15)
    made.move(2 * 86_400)
    assert made.table.maintain().counts["files_compacted"] > 0
    for n in (60, 1, 200, 30):
        made.commit(made.rows(n))
        made.move(20)
    yield made
    made.close()


@pytest.fixture
def oracle() -> Any:
    """`oracle.scan(rows, selection)` by brute force, `oracle.key(row)`."""

    class Oracle:
        scan = staticmethod(brute_scan)
        key = staticmethod(key)
        wanted = staticmethod(wanted)

    return Oracle


@pytest.fixture
def new_world(tmp_path: Path) -> Iterator[Any]:
    """Makes further tables: `new_world(name, **settings)`."""
    made: list[World] = []

    def make(name: str, **settings: Any) -> World:
        made.append(World(tmp_path / name, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()
