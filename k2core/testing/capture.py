"""`capturing`: a connector and its normalizer at work on a local exchange, for end-to-end tests of a plugin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from k2core.clock import SystemClock
from k2core.component import Component, Context
from k2core.feed.driver import FeedConnector
from k2core.feed.settings import FeedSettings
from k2core.interfaces.connector import Connector, WebSocketFeed
from k2core.interfaces.frames import NormalizedBatch, Rejected
from k2core.interfaces.normalizer import Normalizer
from k2core.telemetry.metrics import Metrics
from k2core.testing.local import LocalExchange
from k2core.testing.oracle import OracleReport, compare

QUICK = FeedSettings(backoff_initial_s=0.01, backoff_max_s=0.05, overlap_s=0.05)
"""Waits of a tenth of what they are in earnest."""
_STEP_S = 0.02


class Capture:
    """What a connector captured so far.

    Attributes:
        connector: At work; `facts()` counts what it did.
        batches: What the normalizer made of its frames.
        frames: How many there were.
    """

    def __init__(self, connector: Connector, normalizer: Normalizer) -> None:
        self.connector, self._normalizer = connector, normalizer
        self.batches: list[NormalizedBatch] = []
        self.frames = 0
        self._more = asyncio.Event()

    @property
    def rejected(self) -> list[Rejected]:
        """Every frame that was refused."""
        return [one for batch in self.batches for one in batch.rejected]

    def rows(self, data_type: str) -> list[dict[str, Any]]:
        """Every record, in the order of its frames."""
        return [row for b in self.batches if data_type in b.records for row in b.records[data_type].to_pylist()]

    def verdict(self, local: LocalExchange, data_type: str) -> OracleReport:
        """What was captured beside what the exchange issued, in every column that the exchange knows of."""
        import pyarrow as pa

        issued = local.issued(data_type)
        return compare(issued, pa.Table.from_pylist(self.rows(data_type)), list(issued[0]) if issued else [])

    async def until(self, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait for something: looked at with each batch, and many times a second besides.

        Raises:
            TimeoutError: It did not hold in time.
        """
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._more.clear()
                try:
                    await asyncio.wait_for(self._more.wait(), _STEP_S)
                except TimeoutError:
                    continue

    async def until_complete(self, local: LocalExchange, *data_types: str) -> None:
        """Wait until nothing of what the exchange issued is missing."""
        for data_type in data_types:
            await self.until(lambda d=data_type: bool(self.rows(d)) and not self.verdict(local, d).missing)  # type: ignore[misc]

    async def _read(self) -> None:
        async for batch in self.connector.frames():
            self.batches.append(self._normalizer.normalize(batch))
            self.frames += len(batch)
            self._more.set()


@asynccontextmanager
async def capturing(
    local: LocalExchange,
    connector: Component[WebSocketFeed] | Component[Connector | WebSocketFeed],
    normalizer: Component[Normalizer],
    **settings: Any,
) -> AsyncIterator[Capture]:
    """Capture a local exchange, through k2's own driver.

    Args:
        local: The exchange, entered already.
        connector: The plugin's.
        normalizer: Likewise.
        settings: Laid over those that reach the exchange.
    """
    logger = logging.getLogger(f"k2.test.{connector.name}")
    context = Context(clock=SystemClock(), logger=logger, metrics=Metrics())
    made = connector.factory(connector.settings.model_validate({**local.settings(), **settings}), context)
    if isinstance(made, WebSocketFeed):
        made = FeedConnector(made, context.clock, logger, context.metrics, connector.name, QUICK)
    capture = Capture(made, normalizer.factory(normalizer.settings(), context))
    reading: asyncio.Task[None] | None = None
    try:
        async with made:
            reading = asyncio.create_task(capture._read())
            yield capture
    finally:
        if reading is not None:
            await asyncio.wait_for(reading, 10)
