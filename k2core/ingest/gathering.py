"""Batches of what a connector yields: the first frames wake us, then they are let pile up, so that wake-ups are few."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from k2core.interfaces.frames import FrameBatch


class Gathering:
    """Reads a connector's frames.

    Args:
        frames: The connector's.
        linger_s: How long frames pile up.
        most: Frames in one batch, unless the connector yields more at once.
    """

    def __init__(self, frames: AsyncIterator[FrameBatch], linger_s: float, most: int) -> None:
        self._frames, self._linger_s, self._most = frames, linger_s, most
        self._coming: asyncio.Task[FrameBatch | None] | None = None
        self._kept: FrameBatch | None = None
        self.waiting = 0

    async def next(self, until: Callable[[], Awaitable[None]]) -> list[FrameBatch]:
        """The next frames, in order; empty once the connector has ended.

        Args:
            until: Waits for the moment that the frames can be used; they pile up till then.
        """
        first = self._kept or await self._pull()
        self._kept = None
        if first is None:
            await until()
            return []
        self.waiting = len(first)
        if self.waiting < self._most and self._linger_s:
            await asyncio.sleep(self._linger_s)
        await until()
        found = [first]
        while self.waiting < self._most and (more := await self._pull_ready()):
            if self.waiting + len(more) > self._most:
                self._kept = more
                break
            found.append(more)
            self.waiting += len(more)
        self.waiting = 0
        return found

    async def close(self) -> None:
        """Give up what is being waited for."""
        if self._coming:
            self._coming.cancel()
            await asyncio.wait([self._coming])
        if isinstance(self._frames, AsyncGenerator):
            await self._frames.aclose()

    async def _pull(self) -> FrameBatch | None:
        coming = self._coming or asyncio.ensure_future(self._one())
        self._coming = coming
        await asyncio.wait([coming])
        self._coming = None
        return coming.result()

    async def _pull_ready(self) -> FrameBatch | None:
        """What is there already; what is not is waited for by the next `_pull`, for a generator cannot be left."""
        self._coming = self._coming or asyncio.ensure_future(self._one())
        await asyncio.sleep(0)  # the task's first step takes what is queued
        return await self._pull() if self._coming.done() else None

    async def _one(self) -> FrameBatch | None:
        return await anext(self._frames, None)
