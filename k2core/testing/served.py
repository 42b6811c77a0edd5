"""The server side of one connection of `FakeExchange`, and the listening. Imports the WebSocket library.

Writes go to the transport as ready-made frames, many in one write, so that a burst costs the client one read; the
library keeps the handshake, the closing and what clients send.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from k2core.testing.handshakes import answer
from k2core.testing.speaking import DialectError, speak

if TYPE_CHECKING:
    from k2core.testing.exchange import Drop, FakeExchange

NO_DELAY_BURST = 500


def wire_frame(payload: bytes, first: int = 0x81) -> bytes:
    """A server's WebSocket frame; `first` is the header's first byte, by default a whole text message."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    head = struct.pack("!BBH", first, 126, size) if size < 65_536 else struct.pack("!BBQ", first, 127, size)
    return head + payload


class CountedConnection(ServerConnection):
    """The library's connection, with an eye on the pings and pongs that count against the client's limit."""

    served: ServedConnection | None = None

    def process_event(self, event: Any) -> None:
        """Note control frames, then go on as ever."""
        if self.served and isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG):
            self.served.pongs += event.opcode is Opcode.PONG
            self.served.count_control()
        super().process_event(event)


class ServedConnection:
    """One client's connection.

    Attributes:
        number: Connections of a server count from 0.
        path: Path and query the client asked for.
        streams: What it is subscribed to.
        frames: How many data frames were written to it.
        pongs: How many pongs came from it.
    """

    def __init__(self, exchange: FakeExchange, wire: CountedConnection, number: int, path: str) -> None:
        self.number, self.path = number, path
        self.streams: set[str] = speak(exchange, "on_connect", path)
        self.frames = self.pongs = 0
        self.open = True
        self._exchange, self._wire = exchange, wire
        self._silent = False
        self._control: deque[float] = deque()

    async def send(
        self,
        frames: Sequence[bytes],
        *,
        stream: str | None = None,
        rate: float | None = None,
        burst: int | None = None,
        ledger: bool = True,
    ) -> int:
        """Write frames; see `FakeExchange.send`. Returns how many were written before the connection ended."""
        step = burst or (max(1, int(rate / 100)) if rate else NO_DELAY_BURST)
        start = time.monotonic()
        for at in range(0, len(frames), step):
            if rate and (early := start + at / rate - time.monotonic()) > 0:
                await asyncio.sleep(early)
            part = frames[at : at + step]
            if stream is not None:
                part = [speak(self._exchange, "wrap", self.path, stream, f) for f in part]
            if not await self._write_messages(part):
                return at
            self._note(part, ledger)
        return len(frames)

    def _note(self, frames: Sequence[bytes], ledger: bool) -> None:
        if ledger:
            self.frames += len(frames)
            self._exchange.counts["frames"] += len(frames)
            if self._exchange.ledger:
                self._exchange.sent.extend((self.number, f) for f in frames)

    async def _write_messages(self, frames: Iterable[bytes]) -> bool:
        protocol = self._wire.protocol
        if not protocol.extensions:
            return await self.write(b"".join(map(wire_frame, frames)))
        if not self.open or self._ending:
            return False
        for frame in frames:
            protocol.send_text(frame)
        return await self.write(b"".join(protocol.data_to_send()))

    async def write(self, data: bytes) -> bool:
        """Write raw bytes, whatever they are, with flow control; False once the connection ends or has ended."""
        if not self.open or self._ending:
            return False
        if self._silent or self._exchange.muted:
            return True
        self._wire.transport.write(data)
        try:
            await self._wire.drain()
        except (ConnectionError, ConnectionClosed):
            return False
        return self.open

    @property
    def _ending(self) -> bool:
        """Whether nothing more can be written: closed, closing, or our side's end was sent because theirs came."""
        protocol = self._wire.protocol
        return protocol.state is not State.OPEN or protocol.eof_sent or self._wire.transport.is_closing()

    async def send_bomb(self, size: int) -> None:
        """Write a compressed message that unpacks to `size` zero bytes."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        zeros = bytes(1 << 20)
        packed = b"".join(packer.compress(zeros[: min(len(zeros), size - at)]) for at in range(0, size, len(zeros)))
        packed += packer.flush(zlib.Z_SYNC_FLUSH)
        await self.write(wire_frame(packed[:-4], first=0xC1))

    async def ping(self) -> None:
        """Send a ping that nobody waits for."""
        await self.write(wire_frame(b"%d" % self.number, first=0x89))

    async def drop(self, how: Drop, code: int) -> None:
        """End the connection; see `FakeExchange.drop`."""
        if how == "silent":
            self._silent = True
            self.streams = set()
            transport = self._wire.transport
            if isinstance(transport, asyncio.Transport) and transport.is_reading():
                transport.pause_reading()
            return
        if how == "close":
            await self._wire.close(code)
        elif how == "reset":
            sock = self._wire.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()
        self._exchange.notify()

    def abort(self) -> None:
        """Close the socket at once."""
        self.open = False
        self._wire.transport.abort()

    def count_control(self) -> None:
        """Note one incoming message; a client over the limit is disconnected."""
        self._exchange.counts["control"] += 1
        self._exchange.notify()
        limit = self._exchange.limits.control_per_second
        now = time.monotonic()
        self._control.append(now)
        while self._control[0] <= now - 1:
            self._control.popleft()
        if limit is not None and len(self._control) > limit and self.open:
            self.kick("too many control messages")

    def kick(self, reason: str) -> None:
        """Disconnect a client that broke a limit."""
        self.open = False
        self._exchange.counts["kicked"] += 1
        self._wire.protocol.fail(1008, reason)
        self._wire.transport.writelines([d for d in self._wire.protocol.data_to_send() if d])
        self._wire.transport.close()

    async def serve_messages(self) -> None:
        """Answer the client until it goes."""
        async with asyncio.TaskGroup() as tasks:
            chores = [tasks.create_task(chore()) for chore in (self._ping_for_ever, self._beat_for_ever, self._age)]
            try:
                await self.send(speak(self._exchange, "greeting", self.path), ledger=False)
                async for message in self._wire:
                    await self._answer(message if isinstance(message, bytes) else message.encode())
            except ConnectionClosed:
                self.open = False
            finally:
                self.open = False
                for chore in chores:
                    chore.cancel()

    async def _answer(self, message: bytes) -> None:
        exchange = self._exchange
        exchange.received.append((self.number, message))
        self.count_control()
        replies, streams = speak(exchange, "answer", message, set(self.streams), set(exchange.refused_streams))
        most = exchange.limits.streams_per_connection
        if most is not None and len(streams) > most:
            self.kick("too many streams")
        self.streams = set(streams)  # as exchanges do: data may come before the acknowledgement
        if exchange.ack_delay:
            await asyncio.sleep(exchange.ack_delay)
        if exchange.withhold_acks:
            exchange.withhold_acks -= 1
            replies = []
        if replies:
            await self.send(replies, ledger=False)
        exchange.notify()

    async def _ping_for_ever(self) -> None:
        while every := self._exchange.limits.ping_interval:
            await asyncio.sleep(every)
            await self.ping()

    async def _beat_for_ever(self) -> None:
        while every := self._exchange.limits.heartbeat_interval:
            await asyncio.sleep(every)
            await self.send(speak(self._exchange, "heartbeat", self.streams), ledger=False)

    async def _age(self) -> None:
        if age := self._exchange.limits.max_age:
            await asyncio.sleep(age)
            await self._wire.close(1001)


async def listen(exchange: FakeExchange, served: dict[int, ServedConnection]) -> Server:
    """Start the server: handshakes and REST through `process_request`, connections into `served`."""

    async def serve_one(wire: ServerConnection) -> None:
        assert isinstance(wire, CountedConnection)
        assert wire.request is not None
        try:
            connection = ServedConnection(exchange, wire, len(served), wire.request.path)
            wire.served = served[connection.number] = connection
            exchange.counts["connects"] += 1
            exchange.notify()
            await connection.serve_messages()
        except* DialectError:  # it stands in `dialect_errors`, and was logged
            await wire.close(1011, "the dialect raised")
        exchange.notify()

    return await serve(
        serve_one,
        "127.0.0.1",
        exchange.port,
        process_request=lambda wire, request: answer(exchange, request),
        create_connection=CountedConnection,
        compression="deflate" if exchange.compression else None,
        ping_interval=None,
        close_timeout=1,
        max_size=1 << 20,
    )
