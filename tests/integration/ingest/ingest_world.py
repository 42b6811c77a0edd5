"""A pipeline, a log that can refuse, and what the log holds afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from k2core.avro.codec import Codec
from k2core.broker.specs import topic_spec
from k2core.clock import SystemClock
from k2core.config.settings import IngestSettings
from k2core.ingest.pipeline import IngestPipeline
from k2core.interfaces.broker import Broker, EncodedBatch, Offsets, Producer
from k2core.interfaces.connector import Connector
from k2core.interfaces.frames import FrameBatch
from k2core.interfaces.normalizer import Normalizer
from k2core.records.builtin import DEAD_LETTERS, TRADES
from k2core.records.data_type import DataType
from k2core.records.topics import Topic
from k2core.telemetry.metrics import Metrics
from k2core.testing.memory_log import MemoryLog
from tests.integration.feed.toy_exchange import FACTS, ToyNormalizer

LOGGER = logging.getLogger("k2.ingest.test")
TOPICS = {kind.name: Topic("crypto", kind.name, "toy").name for kind in (TRADES, DEAD_LETTERS)}


class Tape(Connector):
    """Yields batches that a test puts in; ends when it is closed, or never."""

    def __init__(self, batches: Sequence[FrameBatch] = (), *, ends: bool = True) -> None:
        self.waiting = list(batches)
        self._ends, self._more, self.closed = ends, asyncio.Event(), False
        self.taken = 0

    def put(self, *batches: FrameBatch) -> None:
        self.waiting += batches
        self._more.set()

    async def frames(self) -> AsyncIterator[FrameBatch]:
        while not (self.closed and self._ends and not self.waiting):
            while self.waiting:
                self.taken += 1
                yield self.waiting.pop(0)
            self._more.clear()
            if not (self.closed and self._ends):
                await self._more.wait()

    async def __aexit__(self, *_: object) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        self._more.set()


class Reluctant(Producer):
    """Refuses as often as it is told to, before it passes on."""

    def __init__(self, inner: Producer) -> None:
        self._inner = inner
        self.refusals: list[Exception] = []
        self.for_ever: Exception | None = None
        self.calls = 0

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        self.calls += 1
        if self.for_ever:
            raise self.for_ever
        if self.refusals:
            raise self.refusals.pop(0)
        return self._inner.produce(batches)


@dataclass
class World:
    connector: Connector
    log: Broker = field(default_factory=lambda: MemoryLog(SystemClock()))
    normalizer: Normalizer = field(default_factory=ToyNormalizer)
    settings: IngestSettings = field(default_factory=lambda: IngestSettings(linger_ms=1))
    drain_s: float = 5.0

    def __post_init__(self) -> None:
        self.metrics, self.stop = Metrics(), asyncio.Event()
        self.log.ensure_topics([topic_spec(Topic.parse(TOPICS[k.name]), k) for k in (TRADES, DEAD_LETTERS)])
        self.producer = Reluctant(self.log.producer())
        self.pipeline = IngestPipeline(
            self.connector, self.normalizer, FACTS, {"trades": TRADES}, self.producer, {}, SystemClock(),
            self.metrics, LOGGER, self.settings, drain_s=self.drain_s,
        )  # fmt: skip

    def stored(self, kind: DataType) -> list[dict[str, Any]]:
        """The log's records of a data type, by partition and offset."""
        consumer, codec, rows = self.log.consumer([TOPICS[kind.name]]), Codec(kind), []
        while blocks := consumer.poll(1000, 0):
            for block in sorted(blocks, key=lambda b: (b.partition, b.first_offset)):
                decoded = codec.decode(block.version, block.sizes, block.data)
                assert not decoded.bad
                rows += decoded.batch.to_pylist()
        consumer.close()
        return rows

    def ids(self) -> list[int]:
        return [int(r["trade_id"]) for r in self.stored(TRADES)]

    async def until(self, holds: Callable[[], bool], within: float = 60) -> None:
        async with asyncio.timeout(within):
            while not holds():  # noqa: ASYNC110 - the log is another thread's
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    """Runs the pipeline; on leaving it is stopped, and its accounts must close."""
    task = asyncio.create_task(world.pipeline.run(world.stop))
    try:
        yield world
        world.stop.set()
        async with asyncio.timeout(60):
            await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
    check_accounts(world)


def check_accounts(world: World) -> None:
    result = world.pipeline.result
    assert result.frames == result.yielding + result.control + result.rejected + result.unaccounted
    assert sum(result.records.values()) == len(world.stored(TRADES))
    assert result.rejected == len(world.stored(DEAD_LETTERS))
    for outcome in ("yielding", "control", "rejected"):
        assert world.metrics.value("k2_ingest_frames_total", outcome=outcome) == getattr(result, outcome)
