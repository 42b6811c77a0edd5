"""Frames between the sockets and whoever reads the feed: bounded, per connection in order, never dropping.

A full queue stops its connections from reading; TCP then pushes back to the exchange. What one read brought is always
taken, so that the bound is passed by at most one read a connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from k2core.interfaces.frames import FrameBatch


@dataclass(slots=True)
class Run:
    """Consecutive frames of one connection that came with one read, or some that were merged."""

    first_number: int
    frames: list[bytes]
    received_ns: int


class FrameQueue:
    """The queue.

    Args:
        frames: Frames that may wait.
        bytes_: Bytes that may wait.
        batch_frames: Frames in one batch, at most.
    """

    def __init__(self, frames: int, bytes_: int, batch_frames: int) -> None:
        self._most_frames, self._most_bytes, self._batch = frames, bytes_, batch_frames
        self._lanes: dict[int, deque[Run]] = {}
        self._paused: list[Callable[[], None]] = []
        self._event = asyncio.Event()
        self._error: BaseException | None = None
        self.frames = self.bytes = self.pauses = 0
        self.closed = False

    @property
    def full(self) -> bool:
        """Whether connections must stop reading."""
        return self.frames >= self._most_frames or self.bytes >= self._most_bytes

    @property
    def fill(self) -> float:
        """Share of its bounds that is in use."""
        return max(self.frames / self._most_frames, self.bytes / self._most_bytes)

    def push(self, connection: int, run: Run) -> None:
        """Take the frames of one read."""
        self._lanes.setdefault(connection, deque()).append(run)
        self.frames += len(run.frames)
        self.bytes += sum(map(len, run.frames))
        self._event.set()

    def wait_for_room(self, resume: Callable[[], None]) -> None:
        """Call `resume` once half of the queue is free."""
        self.pauses += 1
        self._paused.append(resume)

    def close(self) -> None:
        """No more will come; `get` gives what is left, then None."""
        self.closed = True
        self._event.set()

    def fail(self, error: BaseException) -> None:
        """`get` raises this."""
        self._error = error
        self._event.set()

    async def get(self) -> FrameBatch | None:
        """The next frames of the connection that has waited longest; None once closed and empty."""
        while not self._lanes:
            if self._error:
                raise self._error
            if self.closed:
                return None
            self._event.clear()
            await self._event.wait()
        batch = self._take(next(iter(self._lanes)))
        if self._paused and self.frames <= self._most_frames // 2 and self.bytes <= self._most_bytes // 2:
            waiting, self._paused = self._paused, []
            for resume in waiting:
                resume()
        return batch

    def _take(self, connection: int) -> FrameBatch:
        lane = self._lanes.pop(connection)
        first = lane[0].first_number
        frames: list[bytes] = []
        times: list[int] = []
        while lane and lane[0].first_number == first + len(frames) and (room := self._batch - len(frames)) > 0:
            run = lane[0]
            part = run.frames[:room]
            if len(part) == len(run.frames):
                lane.popleft()
            else:
                lane[0] = Run(run.first_number + room, run.frames[room:], run.received_ns)
            frames += part
            times += [run.received_ns] * len(part)
        if lane:
            self._lanes[connection] = lane  # to the end: connections take turns
        self.frames -= len(frames)
        self.bytes -= sum(map(len, frames))
        return FrameBatch(frames, times, connection, first)
