"""`k2 record`: raw frames to files, nothing else. What a normalizer makes of them can be decided, or mended, later."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import click

from k2core.cli.processes import Process, process
from k2core.cli.session import current
from k2core.config.build import Capture
from k2core.errors import K2Error
from k2core.interfaces.connector import Connector

TELL_S = 0.5


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder; else `[recording] path`.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop by itself after so long.")
def record(out: Path | None, seconds: float | None) -> None:
    """Keep the raw frames of the configured exchanges in files, until Ctrl-C."""
    if out:
        current().overrides["recording", "path"] = str(out.absolute())
    with process("record") as self:
        self.assembly.config.recording.path.mkdir(parents=True, exist_ok=True)  # now, not when frames come
        taps = [tapped(self, capture, _driven(self, capture)) for capture in self.assembly.captures()]
        asyncio.run(_run(self, taps, seconds))
        kept, lost = (sum(int(tap.facts()[f"{n}_frames"]) for tap in taps) for n in ("recorded", "unrecorded"))
        self.logger.info("recorded frames=%d into %s", kept, self.assembly.config.recording.path)
        if not kept:
            self.logger.warning("no frame came: is the exchange there, and do the symbols trade?")
        if lost:
            raise K2Error(f"{lost:,} frames could not be kept; the log says why and when")


def tapped(self: Process, capture: Capture, source: Connector) -> Connector:
    """A connector whose frames are kept on their way."""
    from k2core.recording.tap import RecordingConnector
    from k2core.recording.writer import RecordingWriter

    assembly = self.assembly
    exchange = capture.facts.exchange
    writer = RecordingWriter(assembly.config.recording, exchange, capture.instance, capture.data_types, assembly.clock)
    return RecordingConnector(source, writer, exchange, assembly.metrics, self.logger.getChild(capture.instance))


def _driven(self: Process, capture: Capture) -> Connector:
    from k2core.cli.ingest import connector

    return connector(self, capture)


async def _run(self: Process, taps: list[Connector], seconds: float | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    self.signals.call(lambda: loop.call_soon_threadsafe(stop.set))
    telling = asyncio.create_task(_tell(self, taps))
    with _ended_after(seconds, stop):
        try:
            async with asyncio.TaskGroup() as group:
                for tap in taps:
                    group.create_task(_drain(tap, stop, self.assembly.config.run.drain_s))
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


@contextlib.contextmanager
def _ended_after(seconds: float | None, stop: asyncio.Event) -> Iterator[None]:
    timer = asyncio.get_running_loop().call_later(seconds, stop.set) if seconds else None
    try:
        yield
    finally:
        if timer:
            timer.cancel()


async def _drain(tap: Connector, stop: asyncio.Event, drain_s: float) -> None:
    """Read a connector to its end: until it is asked to stop, and then what it still holds."""
    async with contextlib.AsyncExitStack() as opened:
        source = await opened.enter_async_context(tap)
        reading = asyncio.create_task(_read(source.frames()))
        told = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([reading, told], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                async with asyncio.timeout(drain_s):
                    await opened.aclose()
                    await asyncio.wait([reading])
            reading.result()
        finally:
            told.cancel()
            reading.cancel()
            await asyncio.gather(reading, told, return_exceptions=True)


async def _read(frames: AsyncIterator[object]) -> None:
    async for _ in frames:
        pass


async def _tell(self: Process, taps: list[Connector]) -> None:
    while True:
        self.status.publish("running", facts={f"connector {n}": dict(tap.facts()) for n, tap in enumerate(taps)})
        await asyncio.sleep(TELL_S)
