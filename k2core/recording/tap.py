"""`RecordingConnector`: any connector, with its frames kept in files on their way.

Blocks are compressed and written in a thread of their own, one at a time; while one is under way the next is gathered,
and one that is full waits, which pushes back. Survives: a disk that is full or refuses. Capture goes on; what is not kept
is counted and said once, and keeping resumes with the next block that fits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from k2core.interfaces.connector import Connector
from k2core.interfaces.frames import FrameBatch
from k2core.recording.writer import RecordingWriter
from k2core.telemetry.metrics import Metrics


class RecordingConnector(Connector):
    """Passes on what another connector yields, and keeps it.

    Args:
        inner: The connector.
        writer: Where frames are kept; closed when the connector has ended.
        exchange: For metrics.
        metrics: `k2_recording_frames_total`.
        logger: Named for the connector.
    """

    def __init__(
        self, inner: Connector, writer: RecordingWriter, exchange: str, metrics: Metrics, logger: logging.Logger
    ) -> None:
        self._inner, self._writer, self._exchange = inner, writer, exchange
        self._metrics, self._logger = metrics, logger
        self._pending: list[FrameBatch] = []
        self._frames = self._bytes = 0
        self._thread = ThreadPoolExecutor(1, "k2-recording")
        self._writing: asyncio.Task[None] | None = None
        self.kept = self.lost = 0
        self._failing = False

    async def frames(self) -> AsyncIterator[FrameBatch]:
        """What the inner connector yields; ends with it, everything then sealed."""
        ticking = asyncio.create_task(self._tick())
        try:
            async for batch in self._inner.frames():
                await self._keep(batch)
                yield batch
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            await self._finish()

    async def _keep(self, batch: FrameBatch) -> None:
        self._pending.append(batch)
        self._frames += len(batch)
        self._bytes += sum(map(len, batch.frames))
        settings = self._writer.settings
        if self._frames >= settings.block_frames or self._bytes >= settings.block_bytes:
            await self._flush()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._writer.settings.flush_s)
            await self._flush()

    async def _flush(self) -> None:
        """Hand the block to the thread; wait for the one before."""
        await self._settled()
        if self._pending:
            taken, self._pending = self._pending, []
            self._frames = self._bytes = 0
            self._writing = asyncio.create_task(self._write(taken))

    async def _settled(self) -> None:
        while self._writing:
            writing = self._writing
            await asyncio.wait([writing])
            if self._writing is writing:
                self._writing = None
                writing.result()

    async def _write(self, batches: list[FrameBatch]) -> None:
        count = sum(map(len, batches))
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.write, batches)
        except (OSError, pa.ArrowException) as error:
            self.lost += count
            self._metrics.add("k2_recording_frames_total", count, exchange=self._exchange, outcome="lost")
            if not self._failing:
                self._logger.error("raw frames of %s are not kept until this is mended: %s", self._exchange, error)
            self._failing = True
            return
        self.kept += count
        self._metrics.add("k2_recording_frames_total", count, exchange=self._exchange, outcome="kept")
        if self._failing:
            self._logger.warning("raw frames of %s are kept again; %d are missing", self._exchange, self.lost)
        self._failing = False

    async def _finish(self) -> None:
        await self._flush()
        await self._settled()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.close)
        except OSError as error:
            self._logger.error("a recording of %s could not be sealed, its frames are in it: %s", self._exchange, error)
        self._thread.shutdown(wait=False)

    def facts(self) -> Mapping[str, Any]:
        """The inner connector's, and what was kept."""
        return {**self._inner.facts(), "recorded_frames": self.kept, "unrecorded_frames": self.lost}

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)
