"""Worlds of files: the shipped writer and store on the real Iceberg sink, with power cuts at any sync.

Dearer by far than the worlds in memory, and so for what only files can show: that everything which a swap points to is
durable before it, and that look-ups in real tables find ids of any age. Read back by pyiceberg alone.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import k2_plugin_iceberg.files as files
from k2_plugin_binance import FACTS
from k2_plugin_binance.normalizer import BinanceNormalizer
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from k2_plugin_memory.settings import MemorySettings
from k2_plugin_memory.store import MemoryStore
from pyiceberg.catalog.sql import SqlCatalog

from k2core.admission import Admission
from k2core.component import Context
from k2core.config.settings import WriterSettings
from k2core.ingest.digest import Digest, Digested
from k2core.interfaces.broker import TopicSpec
from k2core.interfaces.frames import FrameBatch
from k2core.records.builtin import DEAD_LETTERS, QUOTES, TRADES
from k2core.records.topics import PARTITIONS, Topic
from k2core.telemetry.metrics import Metrics
from k2core.testing.clock import ManualClock
from k2core.writer.pipeline import WriterPipeline
from tests.simulation.capture import LOGGER
from tests.simulation.disk import Disk, PowerCut
from tests.simulation.exchange import SYMBOLS, Exchange
from tests.simulation.log import SimLog
from tests.simulation.oracle import Oracle, WrongError
from tests.simulation.virtual import Inline
from tests.simulation.world import CODECS


class FileWorld:
    """One warehouse on one disk, one writer after the other.

    Args:
        seed: Decides everything but names of files.
        told: Counts what happened.
        folder: An empty one.
    """

    def __init__(self, seed: int, told: Counter[str], folder: Path) -> None:
        self.dice, self.told, self.folder = random.Random(seed), told, folder
        self.data_type = self.dice.choice((TRADES, QUOTES))
        self.facts = FACTS.channels[self.data_type.name]
        self.clock = ManualClock()
        self.topic = Topic("crypto", self.data_type.name, "binance").name
        channel = "@trade" if self.data_type is TRADES else "@bookTicker"
        self.exchange = Exchange(self.dice, self.clock, channel, self.data_type is TRADES, told)
        self.oracle = Oracle(self.data_type, self.topic, self.exchange)
        self.log = SimLog(self.clock, self.oracle.appended, lambda offsets: None, 3600)
        for topic in (self.topic, Topic("crypto", DEAD_LETTERS.name, "binance").name):
            self.log.ensure_topics([TopicSpec(name=topic, partitions=PARTITIONS, subject=f"{topic}-value", schemas=())])
        self.producer = self.log.producer()
        self.digest = Digest(BinanceNormalizer(), FACTS, {self.data_type.name: self.data_type}, CODECS, 65_536, LOGGER)
        self.kept: dict[Any, int] = {}
        self.disk = Disk(folder)
        self.sink: IcebergSink | None = None
        self.writer: WriterPipeline | None = None

    def tick(self) -> None:
        """One thing happens; the power may go within it."""
        if self.dice.random() < 0.12:
            self.disk.left = self.dice.randrange(12)
        try:
            action = self.dice.choices((self.append, self.write, self.pass_time, self.maintain), (5, 6, 2, 1))[0]
            action()
            if self.dice.random() < 0.08:
                raise PowerCut
        except PowerCut:
            self.told["power cuts"] += 1
            self._close()
            self.told["files lost"] += self.disk.cut()
            self.check()

    def append(self) -> None:
        """New records, and copies of old ones."""
        frames = []
        for _ in range(self.dice.randint(1, 6)):
            known = list(self.exchange.issued)
            if known and self.dice.random() < 0.3:
                identity = self.dice.choice(known)
            else:
                symbol = self.dice.choice(SYMBOLS)
                identity = symbol, self.exchange.last[symbol] + 1
                self.exchange.last[symbol] += 1
                self.exchange.issued[identity] = self.clock.now_ms()
            frames.append(self.exchange.payload(*identity, wrong_day=self.dice.random() < 0.05))
        times = [self.clock.now_ns()] * len(frames)
        self.producer.produce(self.digest([FrameBatch(frames, times)], self.clock.now_ms(), Digested()))

    def write(self) -> None:
        """A writer reads and commits."""
        writer = self.writer or self._open()
        while writer.step(0):
            pass
        self.told["commits"] += writer.commit()
        self.kept = dict(writer.committed)

    def pass_time(self) -> None:
        self.clock.advance(self.dice.choice((1, 30, 4000, 100_000)))

    def maintain(self) -> None:
        if self.writer is not None:
            self.told["maintained"] += 1
            self.writer.parts.table.maintain()

    def check(self) -> None:
        """The table on disk, read by pyiceberg alone, is what the log's prefix means; nothing acknowledged is gone."""
        self._open()
        assert self.writer is not None
        head = self.writer.parts.table.head()
        if behind := {p: o for p, o in self.kept.items() if head.offsets.get(p, 0) < o}:
            raise WrongError(f"commits were lost: {behind}, the table says {dict(head.offsets)}")
        catalog = SqlCatalog("k2", uri=f"sqlite:///{self.folder}/catalog.db")
        try:
            rows = catalog.load_table(self.data_type.table or "").scan().to_arrow().to_pylist()
        finally:
            catalog.close()
        self.told["rows read back"] += len(rows)
        self.oracle.check_table(tuple(rows), head.offsets)
        self.oracle.check_fields(tuple(rows))

    def end(self) -> None:
        """Write the rest, look once more, let go of everything."""
        self.disk.left = -1
        self.write()
        if {p: o for p, o in self.kept.items() if o} != self.log.ends([self.topic]):
            raise WrongError("not everything was stored")
        self._close()
        self.check()

    def close(self) -> None:
        self._close()

    def _open(self) -> WriterPipeline:
        files.os = self.disk  # type: ignore[assignment]
        settings = IcebergSettings(warehouse=self.folder, manifest_merge_min=3, slice_settle_s=10, slice_minutes=1)
        context = Context(clock=self.clock, logger=LOGGER, metrics=Metrics(), instance="lake")
        self.sink = IcebergSink(settings, context)
        self.sink.__dict__["_pool"] = Inline()
        self.writer = WriterPipeline(
            data_type=self.data_type, topics=[self.topic], consumer=self.log.consumer([self.topic]),
            producer=self.log.producer(), broker=self.log, sink_table=self.sink.table(self.data_type),
            dedup=MemoryStore(MemorySettings(window_minutes=1), self.clock),
            admission=Admission(self.data_type, {"binance": self.facts}), settings=WriterSettings(), clock=self.clock,
            metrics=Metrics(), logger=LOGGER, owner="writer",
        )  # fmt: skip
        self.writer.start()
        return self.writer

    def _close(self) -> None:
        """The process is no more."""
        if self.sink is not None:
            self.sink.close()
        self.sink = self.writer = None
        import os

        files.os = os


def live(seed: int, told: Counter[str], steps: int = 30) -> str:
    """Live one world of files.

    Raises:
        WrongError: Something is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        world = FileWorld(seed, told, Path(folder))
        try:
            for _ in range(steps):
                world.tick()
            world.end()
        finally:
            world.close()
    return f"{sorted(told.items())}"
