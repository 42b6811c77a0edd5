"""`IngestPipeline`: one connector into the log. Async and best effort up to the append, exact in its accounts.

While one batch is normalized, encoded and appended in a worker thread, the next one is gathered; there is never more
than one in flight, so that order is kept. Survives what `digest` and `appending` survive, and a connector that does not
end when it is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from k2core.clock import Clock
from k2core.config.settings import IngestSettings
from k2core.errors import ConnectorError
from k2core.ingest.appending import Appending
from k2core.ingest.digest import Digest, Digested
from k2core.ingest.gathering import Gathering
from k2core.ingest.measuring import Measures
from k2core.interfaces.broker import EncodedBatch, Producer
from k2core.interfaces.connector import Connector
from k2core.interfaces.frames import ConnectorFacts, FrameBatch
from k2core.interfaces.normalizer import Normalizer
from k2core.records.builtin import DEAD_LETTERS
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from k2core.avro.codec import Codec


@dataclass
class IngestResult:
    """The accounts of a run: frames = yielding + control + rejected + unaccounted, all of them in the log.

    Args:
        unsaved: Frames that were received but are not in the log, because the time to stop was over.
    """

    exchange: str
    frames: int = 0
    yielding: int = 0
    control: int = 0
    rejected: int = 0
    unaccounted: int = 0
    unsaved: int = 0
    records: dict[str, int] = field(default_factory=dict)


class IngestPipeline:
    """Runs one connector.

    Args:
        connector: Where frames come from; opened and closed by `run`.
        normalizer: Reads them.
        facts: What the connector declares.
        data_types: Those it was asked for, by name.
        producer: Appends to the log; closed by whoever made it.
        codecs: By data type name; made where they are missing.
        clock: The time.
        metrics: Counters.
        logger: Named for the connector.
        settings: `[ingest]`.
        drain_s: How long `run` takes to stop, at most.
        thread: Where normalizing and appending happen; see `Appending`.
    """

    def __init__(
        self,
        connector: Connector,
        normalizer: Normalizer,
        facts: ConnectorFacts,
        data_types: Mapping[str, DataType],
        producer: Producer,
        codecs: Mapping[str, Codec],
        clock: Clock,
        metrics: Metrics,
        logger: logging.Logger,
        settings: IngestSettings,
        *,
        drain_s: float = 10.0,
        thread: Executor | None = None,
    ) -> None:
        from k2core.avro.codec import Codec

        made = {name: Codec(kind) for name, kind in {**data_types, DEAD_LETTERS.name: DEAD_LETTERS}.items()}
        self.connector, self.exchange = connector, facts.exchange
        self._digest = Digest(normalizer, facts, data_types, {**made, **codecs}, settings.payload_bytes, logger)
        self._measures = Measures(metrics, facts.exchange, clock)
        self._appending = Appending(producer, clock, metrics, logger, thread, self._measures.timed)
        self._clock, self._metrics, self._logger = clock, metrics, logger
        self._settings, self._drain_s = settings, drain_s
        self._in_flight: asyncio.Task[None] | None = None
        self.result = IngestResult(facts.exchange)

    async def run(self, stop: asyncio.Event) -> IngestResult:
        """Capture until `stop`; then close the connector, put what is queued into the log, and give the accounts.

        Raises:
            ConfigError: The connector's settings are wrong.
            BrokerError: The log refuses for good.
            ConnectorError: The connector ended by itself.
        """
        settings = self._settings
        async with AsyncExitStack() as opened:
            connector = await opened.enter_async_context(self.connector)
            gathering = Gathering(connector.frames(), settings.linger_ms / 1000, settings.batch_frames)
            pump, told = asyncio.create_task(self._pump(gathering)), asyncio.create_task(stop.wait())
            try:
                await asyncio.wait([pump, told], return_when=asyncio.FIRST_COMPLETED)
                if pump.done():
                    pump.result()
                    raise ConnectorError(f"{self.exchange}: the connector ended by itself")
                await self._drain(opened, pump, gathering)
            finally:
                await cancelled(pump, told, *filter(None, [self._in_flight]))
                await gathering.close()
                self._appending.close()
        return self.result

    async def _pump(self, gathering: Gathering) -> None:
        pump = asyncio.current_task()
        assert pump
        try:
            while batches := await gathering.next(self._stored):
                self._in_flight = asyncio.create_task(self._store(batches))
                self._in_flight.add_done_callback(lambda flown: failure(flown) and pump.cancel())
        except asyncio.CancelledError:
            if self._in_flight and (error := failure(self._in_flight)):
                raise error from None  # that is what cancelled us: it must be known even while no frames come
            raise

    async def _stored(self) -> None:
        """Wait until nothing is in flight; raises what its storing raised."""
        if self._in_flight:
            await asyncio.wait([self._in_flight])
            flown, self._in_flight = self._in_flight, None
            flown.result()

    async def _store(self, batches: list[FrameBatch]) -> None:
        frames = sum(map(len, batches))
        self.result.unsaved += frames
        digested = Digested()

        def make() -> list[EncodedBatch]:
            return self._digest(batches, self._clock.now_ms(), digested)

        await self._appending.append(make)
        self.result.unsaved -= frames
        self._measures.stored(batches, digested)
        self._count(digested)

    def _count(self, digested: Digested) -> None:
        """Only what is durable is counted."""
        for outcome in ("yielding", "control", "rejected", "unaccounted"):
            if n := getattr(digested, outcome):
                setattr(self.result, outcome, getattr(self.result, outcome) + n)
                self._metrics.add("k2_ingest_frames_total", abs(n), exchange=self.exchange, outcome=outcome)
        self.result.frames += digested.frames
        for name, n in digested.records.items():
            self.result.records[name] = self.result.records.get(name, 0) + n
            self._metrics.add("k2_ingest_records_total", n, exchange=self.exchange, data_type=name)

    async def _drain(self, opened: AsyncExitStack, pump: asyncio.Task[None], gathering: Gathering) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                await opened.aclose()
                await asyncio.wait([pump])
        except TimeoutError:
            left = int(self.connector.facts().get("queue_frames", 0)) + gathering.waiting
            self.result.unsaved += left
            self._logger.error(
                "%s: stopped after %g s with %d frames that are not in the log",
                self.exchange,
                self._drain_s,
                self.result.unsaved,
            )
        else:
            pump.result()


def failure(task: asyncio.Task[None]) -> BaseException | None:
    """What a task raised, where it is done."""
    return task.exception() if task.done() and not task.cancelled() else None


async def cancelled(*tasks: asyncio.Task[object]) -> None:
    """Cancel tasks and see them end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
