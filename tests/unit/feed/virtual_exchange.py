"""A loop whose time jumps, a clock on it, and an exchange in memory: a day of connections takes milliseconds."""

from __future__ import annotations

import asyncio
import logging
import random
import selectors
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from k2core.clock import Clock
from k2core.feed.dialer import Dialer, Link, LinkEvents
from k2core.feed.driver import FeedConnector
from k2core.feed.settings import FeedSettings
from k2core.interfaces.connector import WebSocketFeed
from k2core.interfaces.frames import FrameBatch
from k2core.telemetry.metrics import Metrics

T = TypeVar("T")
DAY = 86_400.0


class _Jumping(selectors.SelectSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        if not found and timeout:
            self.loop.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """Whenever nothing is ready, time jumps to the next timer."""

    def __init__(self) -> None:
        selector = _Jumping()
        super().__init__(selector)
        selector.loop, self.now = self, 0.0

    def time(self) -> float:
        return self.now


class LoopClock(Clock):
    """The running loop's time."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000 + round(self.monotonic() * 1e9)


def virtually(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function in virtual time."""

    async def main() -> T:
        return await work()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@dataclass(eq=False)
class Peer(Link):
    """One connection, seen from the exchange; as a `Link` it is what the driver writes to."""

    exchange: MemoryExchange
    events: LinkEvents
    number: int
    at: float
    ended_at: float | None = None
    received: list[tuple[float, Opcode, bytes]] = field(default_factory=list)
    reading: bool = True

    def __post_init__(self) -> None:
        self.protocol = ServerProtocol()

    def write(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self.exchange.welcome(self, event)
            elif isinstance(event, Frame):
                self.received.append((asyncio.get_running_loop().time(), event.opcode, bytes(event.data)))
                if event.opcode is Opcode.TEXT:
                    self.exchange.answer(self, bytes(event.data))
        self.flush()

    def flush(self) -> None:
        """Let the driver have what the protocol wants written; later, as on a network."""
        for data in self.protocol.data_to_send():
            asyncio.get_running_loop().call_soon(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if self.ended_at is None:
            self.events.received(data) if data else self.cut()

    def send(self, *frames: bytes) -> None:
        """Send frames to the driver, in one read."""
        if self.ended_at is None:
            for frame in frames:
                self.protocol.send_text(frame)
            self.events.received(b"".join(self.protocol.data_to_send()))

    def ping(self) -> None:
        self.protocol.send_ping(b"hello")
        self.flush()

    def cut(self) -> None:
        """End the connection without closing it."""
        if self.ended_at is None:
            self.ended_at = asyncio.get_running_loop().time()
            self.events.lost(None)

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.ended_at = self.ended_at or asyncio.get_running_loop().time()

    abort = close


class MemoryExchange(Dialer):
    """An exchange without sockets. `away`: dials fail. `refusal`: status and headers for handshakes."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.dials: list[float] = []
        self.away = False
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.acks = True
        self.on_welcome: Callable[[Peer], None] = lambda peer: None

    @property
    def live(self) -> list[Peer]:
        return [p for p in self.peers if p.ended_at is None]

    async def dial(self, host: str, port: int, *, secure: bool, events: LinkEvents) -> Link:
        self.dials.append(asyncio.get_running_loop().time())
        if self.away:
            raise ConnectionRefusedError("away")
        peer = Peer(self, events, len(self.peers), self.dials[-1])
        self.peers.append(peer)
        return peer

    def welcome(self, peer: Peer, request: Request) -> None:
        if self.refusals:
            status, headers = self.refusals.pop(0)
            response = peer.protocol.reject(status, "")
            for name, value in headers.items():
                response.headers[name] = value
        else:
            response = peer.protocol.accept(request)
            asyncio.get_running_loop().call_soon(self.on_welcome, peer)
        peer.protocol.send_response(response)

    def answer(self, peer: Peer, message: bytes) -> None:
        if self.acks:
            peer.protocol.send_text(b'{"ack":' + message.rpartition(b":")[2])


@dataclass
class Driven:
    """A connector on a memory exchange, and what it yielded."""

    exchange: MemoryExchange
    connector: FeedConnector
    batches: list[FrameBatch] = field(default_factory=list)

    async def read(self) -> None:
        async for batch in self.connector.frames():
            self.batches.append(batch)


@contextmanager
def at_the_end(task: asyncio.Task[None]) -> Iterator[None]:
    try:
        yield
    finally:
        task.cancel()


async def driven(
    feed: WebSocketFeed,
    exchange: MemoryExchange,
    script: Callable[[Driven], Awaitable[None]],
    settings: FeedSettings | None = None,
    seed: int = 7,
) -> Driven:
    """Run a feed against a memory exchange while a script runs; closes it at the end."""
    connector = FeedConnector(
        feed, LoopClock(), logging.getLogger("k2.toy"), Metrics(), "toy", settings, dialer=exchange,
        rng=random.Random(seed),
    )  # fmt: skip
    found = Driven(exchange, connector)
    async with connector:
        reader = asyncio.create_task(found.read())
        with at_the_end(reader):
            await script(found)
            await connector.close()
            await reader
    return found
