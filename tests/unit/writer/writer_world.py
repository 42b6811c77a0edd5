"""A small world for the writer: a log, a table, any number of writers on them, a clock that moves when told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from k2_plugin_memory.settings import MemorySettings
from k2_plugin_memory.store import MemoryStore

from k2core.admission import Admission
from k2core.avro.codec import Codec
from k2core.clock import Clock
from k2core.config.settings import WriterSettings
from k2core.interfaces.broker import TopicSpec
from k2core.interfaces.frames import ChannelFacts
from k2core.records.builtin import DEAD_LETTERS, TRADES
from k2core.records.topics import PARTITIONS, partition_of
from k2core.telemetry.metrics import Metrics
from k2core.testing.memory_log import MemoryLog
from k2core.testing.memory_sink import MemoryLake, MemorySinkTable
from k2core.writer.pipeline import WriterPipeline

TOPIC = "market.crypto.trades.binance"
DEAD_TOPIC = "market.crypto.dead_letters.binance"
START_US = 1_790_000_000_000_000
CODEC, DEAD = Codec(TRADES), Codec(DEAD_LETTERS)


class SetClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.us = START_US

    def now_ns(self) -> int:
        return self.us * 1000

    def monotonic(self) -> float:
        return self.us / 1e6


def trade(symbol: str, trade_id: str | None, at_ms: int, **other: Any) -> dict[str, Any]:
    return {
        "symbol": symbol, "exchange": "binance", "exchange_timestamp_ms": at_ms, "price": 1.5, "quantity": 2.0,
        "side": "buy", "trade_id": trade_id, **other,
    }  # fmt: skip


@dataclass
class WriterWorld:
    """`window_s` is the dedup window; `issued` what was appended: per partition, a list of (symbol, id, good)."""

    facts: ChannelFacts = field(default_factory=lambda: ChannelFacts(ids="contiguous"))
    window_s: float = 3600
    settings: WriterSettings = field(default_factory=WriterSettings)
    partitions: int = 2
    store_class: type[MemoryStore] = MemoryStore

    def __post_init__(self) -> None:
        self.clock = SetClock()
        self.log = MemoryLog(self.clock)
        for name, partitions in ((TOPIC, self.partitions), (DEAD_TOPIC, PARTITIONS)):
            self.log.ensure_topics([TopicSpec(name=name, partitions=partitions, subject=f"{name}-value", schemas=())])
        self.table = MemoryLake(TRADES)
        self.issued: dict[int, list[tuple[str, str | None, bool]]] = {}
        self.metrics = Metrics()
        self.made = 0
        self._read: dict[int, pa.RecordBatch] = {}

    def append(self, *records: dict[str, Any]) -> None:
        """Append records of one symbol as one block."""
        batch = pa.RecordBatch.from_pylist(list(records), schema=pa.schema([(n, t) for n, t in PLAIN]))
        sizes, data = CODEC.encode(batch)
        number = partition_of(records[0]["symbol"], self.partitions)
        self.log.append((TOPIC, number), TRADES.versions, sizes.tolist(), data)
        good = [(r["symbol"], r["trade_id"], r["price"] > 0 and bool(r["trade_id"])) for r in records]
        self.issued.setdefault(number, []).extend(good)

    def trades(self, symbol: str, *ids: int) -> None:
        self.append(*(trade(symbol, str(i), self.clock.us // 1000) for i in ids))

    def writer(self, fault: Callable[[str], None] = lambda name: None, **changes: Any) -> WriterPipeline:
        """A new writer, not started. Its dedup store's `fault` is the same, where the class has one."""
        self.made += 1
        settings = MemorySettings(window_minutes=self.window_s / 60)
        dedup = changes.pop("dedup", None) or self.store_class(settings, self.clock)
        if hasattr(dedup, "fault"):
            dedup.fault = fault
        given: dict[str, Any] = {
            "data_type": TRADES, "topics": [TOPIC], "consumer": self.log.consumer([TOPIC]),
            "producer": self.log.producer(), "broker": self.log, "sink_table": MemorySinkTable(self.table, fault),
            "dedup": dedup, "settings": self.settings, "clock": self.clock, "metrics": self.metrics,
            "admission": Admission(TRADES, {"binance": self.facts}, partitions=self.partitions),
            "logger": logging.getLogger("k2.write.test"), "owner": f"test:{self.made}", **changes,
        }  # fmt: skip
        return WriterPipeline(**given)

    def finish(self, writer: WriterPipeline) -> None:
        """Write everything that is in the log."""
        if not writer.started:
            writer.start()
        while writer.step(0) or writer.waiting:
            writer.commit()

    def wanted(self) -> Counter[tuple[int, int]]:
        """What the table must hold: the first copy of each identity below its offsets, by position."""
        found: Counter[tuple[int, int]] = Counter()
        for number, records in self.issued.items():
            seen = set()
            for offset, (symbol, trade_id, good) in enumerate(
                records[: self.table.main.offsets.get((TOPIC, number), 0)]
            ):
                if good and (symbol, trade_id) not in seen:
                    seen.add((symbol, trade_id))
                    found[number, offset] += 1
        return found

    def stored(self) -> Counter[tuple[int, int]]:
        """What it holds."""
        return Counter((r["log_partition"], r["log_offset"]) for r in self.table.rows)

    def buried(self) -> set[str]:
        """Origins of the dead letters that are durable."""
        for (topic, _), blocks in self.log.blocks.items():
            for block in blocks if topic == DEAD_TOPIC else ():
                if id(block) not in self._read:
                    self._read[id(block)] = DEAD.decode(block.version, block.sizes, block.data).batch
        return {origin for batch in self._read.values() for origin in batch.column("origin").to_pylist()}

    def check(self) -> None:
        """The table is what the log's prefix means, and every refused record below its offsets has a dead letter."""
        wanted, stored = self.wanted(), self.stored()
        assert stored == wanted, f"missing {wanted - stored}, twice or never issued {stored - wanted}"
        refused = {
            f"{TOPIC}/{number}/{offset}"
            for number, records in self.issued.items()
            for offset, (_, _, good) in enumerate(records[: self.table.main.offsets.get((TOPIC, number), 0)])
            if not good
        }
        assert refused <= self.buried()
        for released in self.log.released.values():
            for place, offset in released.items():
                assert offset <= self.table.reached.get(place, 0), "retention may remove what no commit carried"


PLAIN = [
    ("symbol", pa.string()), ("exchange", pa.string()), ("exchange_timestamp_ms", pa.int64()), ("price", pa.float64()),
    ("quantity", pa.float64()), ("side", pa.string()), ("trade_id", pa.string()),
]  # fmt: skip
