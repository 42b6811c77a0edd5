"""A full `Connector` for Pit, on a WebSocket client library: what an author writes who wants no driver of core's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, ClassVar

from k2core.plugin import Connector, FrameBatch
from tests.contract.pit_feed import PitDialect, PitFeed, PitFeedSuite, PitSettings

ENDED = (b'{"ch":"ok"', b'{"ch":"no"', b'{"ch":"beat"')


class PitConnector(Connector):
    """One connection; its steps can be broken one by one."""

    most_bytes: int | None = 1 << 20

    def __init__(self, settings: PitSettings) -> None:
        self.settings = settings
        self.wanted = [f"{one.symbol}:{'trades' if one.data_type == 'trades' else 'top'}" for one in
                       PitFeed(settings).subscriptions()]  # fmt: skip
        self.refused: dict[str, str] = {}
        self.closed, self.connects, self.number = asyncio.Event(), 0, 0
        self.socket: Any = None

    def facts(self) -> Mapping[str, Any]:
        return {"connects": self.connects, "refused_subscriptions": self.refused}

    async def frames(self) -> AsyncIterator[FrameBatch]:
        from websockets.exceptions import WebSocketException

        while not self.closed.is_set():
            try:
                async for frame in self.one_connection():
                    for each in self.taken(frame):
                        yield FrameBatch([each], [time.time_ns()], self.connects, self.number)
                        self.number += 1
            except (WebSocketException, OSError, TimeoutError) as error:
                await self.rest(self.pause(error))
            finally:
                if self.socket is not None:
                    self.socket.transport.abort()

    async def rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.closed.wait()
        except TimeoutError:
            return

    def taken(self, frame: bytes) -> list[bytes]:
        """What goes on of a frame."""
        return [frame]

    def pause(self, error: Exception) -> float:
        response = getattr(error, "response", None)
        asked = response.headers.get("Retry-After") if response is not None else None
        return float(asked) if asked else self.settings.backoff_s

    async def one_connection(self) -> AsyncIterator[bytes]:
        from websockets.asyncio.client import connect

        self.socket = await connect(
            self.settings.websocket_url,
            max_size=self.most_bytes,
            ping_interval=None,
            close_timeout=0.2,
            compression=None,
        )
        self.connects, self.number = self.connects + 1, 0
        self.opened()
        await self.subscribe()
        while not self.closed.is_set():
            async with asyncio.timeout(self.settings.frame_timeout_s):
                frame = await self.socket.recv(decode=False)
            if self.pending and time.monotonic() > self.patient_until:
                raise TimeoutError("not acknowledged")
            if frame.startswith(b'{"ch":"no"'):
                self.refused |= dict.fromkeys(self.asked[self.answered(frame)], "refused")
            elif frame.startswith(b'{"ch":"ok"'):
                self.answered(frame)
            if frame.startswith(ENDED):
                continue
            yield frame

    def opened(self) -> None:
        """Something may be done to a fresh connection."""

    async def subscribe(self) -> None:
        """Ask for each stream by itself."""
        self.asked = {n: [stream] for n, stream in enumerate(self.wanted) if stream not in self.refused}
        self.pending = set(self.asked)
        self.patient_until = time.monotonic() + self.settings.ack_timeout_s
        for number, streams in self.asked.items():
            await self.socket.send(json.dumps({"sub": streams, "id": number}))

    def answered(self, frame: bytes) -> int:
        """Note an answer; which request it names."""
        number: int = json.loads(frame)["id"]
        self.pending.discard(number)
        return number

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed.set()
        if self.socket is not None:
            await self.socket.close()


class QuietDialect(PitDialect):
    farewell = b""


class PitConnectorSuite(PitFeedSuite):
    """The standard tests on a full connector."""

    quick: ClassVar = {"frame_timeout_s": 1.0, "ack_timeout_s": 0.5, "backoff_s": 0.02}

    def dialect(self) -> PitDialect:
        return QuietDialect()
