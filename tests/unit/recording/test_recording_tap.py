"""Frames kept on their way: none is lost, none changed; a disk that refuses stops no capture."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from k2core.clock import SystemClock
from k2core.interfaces.connector import Connector
from k2core.interfaces.frames import FrameBatch
from k2core.recording.names import recordings
from k2core.recording.reader import opened
from k2core.recording.replaying import ReplayConnector, Window, files_of
from k2core.recording.settings import RecordingSettings
from k2core.recording.tap import RecordingConnector
from k2core.recording.writer import RecordingWriter
from k2core.telemetry.metrics import Metrics


class Some(Connector):
    """Yields batches, and waits before the last until it is told."""

    def __init__(self, count: int) -> None:
        self.count, self.go_on = count, asyncio.Event()

    async def frames(self) -> AsyncIterator[FrameBatch]:
        """Batches of 10."""
        for n in range(self.count):
            if n == self.count - 1:
                await self.go_on.wait()
            yield FrameBatch([b"%d" % (10 * n + i) for i in range(10)], [10 * n + i for i in range(10)], n % 3, 4 * n)


def tapped(inner: Connector, folder: Path, **settings: float) -> tuple[RecordingConnector, Metrics]:
    """A connector that is kept."""
    metrics = Metrics()
    made = RecordingSettings.model_validate({"path": folder, **settings})
    writer = RecordingWriter(made, "x", "x", ["trades"], SystemClock())
    return RecordingConnector(inner, writer, "x", metrics, logging.getLogger("test.tap")), metrics


def kept(folder: Path) -> list[bytes]:
    """Frames in files."""
    return [f for path in recordings(folder) for batch in opened(path).batches() for f in batch.frames]


async def until(true: Callable[[], bool]) -> None:
    """Wait, at most 5 s."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - what is waited for is a thread's counter
            await asyncio.sleep(0.01)


async def test_every_frame_passes_and_is_kept(tmp_path: Path) -> None:
    inner = Some(500)
    inner.go_on.set()
    tap, metrics = tapped(inner, tmp_path, block_frames=64, file_bytes=2048)
    passed = [frame async for batch in tap.frames() for frame in batch.frames]
    assert passed == [b"%d" % n for n in range(5000)]
    assert kept(tmp_path) == passed
    assert metrics.value("k2_recording_frames_total", exchange="x", outcome="kept") == 5000
    assert all(opened(path).sealed for path in recordings(tmp_path))


async def test_a_quiet_market_is_flushed_in_time(tmp_path: Path) -> None:
    inner = Some(2)
    tap, _ = tapped(inner, tmp_path, flush_s=0.02)
    frames = tap.frames()
    await anext(frames)
    waiting = asyncio.ensure_future(anext(frames))
    await until(lambda: tap.kept == 10)
    assert kept(tmp_path) == [b"%d" % n for n in range(10)]
    inner.go_on.set()
    await waiting
    assert [batch async for batch in frames] == []


async def test_a_disk_that_refuses_stops_no_capture_and_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.write_text("a file where the folder should be")
    inner = Some(50)
    tap, metrics = tapped(inner, folder, block_frames=10)
    frames = tap.frames()
    for _ in range(25):
        await anext(frames)
    await until(lambda: tap.lost > 0)
    folder.unlink()
    inner.go_on.set()
    assert sum([1 async for _ in frames]) == 25
    assert tap.kept + tap.lost == 500
    assert tap.kept == len(kept(folder)) > 0
    assert metrics.value("k2_recording_frames_total", exchange="x", outcome="lost") == tap.lost


async def test_a_replay_gives_the_same_frames_and_times_again(tmp_path: Path) -> None:
    inner = Some(40)
    inner.go_on.set()
    tap, _ = tapped(inner, tmp_path)
    live = [batch async for batch in tap.frames()]
    ended = asyncio.Event()
    source = ReplayConnector(files_of(tmp_path), SystemClock(), ended.set, window=Window(35, 361))
    async with source:
        frames = source.frames()
        again: list[FrameBatch] = []
        reading = asyncio.create_task(_collect(frames, again))
        await asyncio.wait_for(ended.wait(), 5)
    await reading
    wanted = [
        (b.first_number + n, t, f) for b in live for n, (t, f) in enumerate(zip(b.received_ns, b.frames, strict=True))
    ]
    found = [
        (b.first_number + n, t, f) for b in again for n, (t, f) in enumerate(zip(b.received_ns, b.frames, strict=True))
    ]
    assert found == [row for row in wanted if 35 <= row[1] < 361]
    assert source.complete


async def _collect(frames: AsyncIterator[FrameBatch], into: list[FrameBatch]) -> None:
    async for batch in frames:
        into.append(batch)
